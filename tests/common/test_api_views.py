from __future__ import annotations

import pytest
from rest_framework.response import Response

from apps.common.api import views
from tests.common.conftest import bearer

BODY = {"name": "front"}


def post(api, body=BODY, **kwargs):
    return api.post("/v1/doors", body, content_type="application/json", **kwargs)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/doors/front", "doors.view"),
        ("HEAD", "/v1/doors/front", "doors.view"),
        ("PATCH", "/v1/doors/front", "doors.edit"),
        ("POST", "/v1/doors", "doors.edit"),
    ],
)
def test_a_method_needs_its_code(api, method, path, code):
    def status(*codes):
        return api.generic(
            method, path, '{"name": "front"}', "application/json", headers=bearer(*codes)
        ).status_code

    assert status(code) in {200, 201}
    assert status("other") == 403
    assert status("") == 403


def test_a_refusal_names_the_code_that_is_missing(api):
    document = post(api, headers=bearer("doors.view")).json()
    assert document["permission"] == "doors.edit"
    assert document["detail"] == "This needs the permission doors.edit."


def test_a_method_without_an_entry_is_closed_to_everyone(api):
    answer = api.delete("/v1/doors/front", headers=bearer("doors.view", "doors.edit"))
    assert answer.status_code == 403


def test_being_somebody_can_be_enough(api):
    assert api.get("/v1/doors", headers=bearer("")).status_code == 200
    assert api.get("/v1/doors").status_code == 401


def test_a_public_view_asks_nobody(api):
    assert api.get("/v1/open").json() == {"ok": True}


def test_a_view_of_the_api_tells_the_middleware_that_it_asks_for_itself():
    assert views.ApiView.as_view().open_to_all is True


def test_options_are_not_a_way_around(api):
    assert api.options("/v1/doors", headers=bearer("")).status_code == 405


def test_a_version_is_told_and_who_has_it_gets_nothing_again(api):
    headers = bearer("doors.view")
    answer = api.get("/v1/doors/front", headers=headers)
    assert (answer.status_code, answer["ETag"]) == (200, '"7"')
    again = api.get("/v1/doors/front", headers={**headers, "If-None-Match": '"7"'})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", '"7"')
    other = api.get("/v1/doors/front", headers={**headers, "If-None-Match": '"6"'})
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("if_match", "status"), [('"7"', 200), ("*", 200), (None, 200), ('"6"', 412)]
)
def test_a_change_can_name_the_version_that_it_means(api, if_match, status):
    headers = bearer("doors.edit") | ({"If-Match": if_match} if if_match else {})
    answer = api.patch("/v1/doors/front", BODY, content_type="application/json", headers=headers)
    assert answer.status_code == status


def test_a_change_without_a_version_can_be_refused(api, monkeypatch):
    from tests.common.sample_api import DoorView

    monkeypatch.setattr(DoorView, "if_match_required", True)
    answer = api.patch(
        "/v1/doors/front", BODY, content_type="application/json", headers=bearer("doors.edit")
    )
    assert (answer.status_code, answer.json()["code"]) == (428, "precondition_required")


@pytest.fixture
def guards(monkeypatch):
    monkeypatch.setattr(views, "_post_guards", [])
    return views.guard_posts


def test_a_guard_stands_around_every_permitted_post(api, guards):
    seen = []

    def guard(request, run):
        seen.append(request.auth.rate_limit_key)
        answer = run()
        answer["X-Guarded"] = "yes"
        return answer

    guards(guard)
    guards(guard)  # a second time is the first
    answer = post(api, headers=bearer("doors.edit", name="k1"))
    assert (answer.status_code, answer["X-Guarded"], seen) == (201, "yes", ["acme:k1"])


def test_a_guard_can_answer_in_the_handlers_place(api, guards, monkeypatch):
    from tests.common.sample_api import DoorsView

    ran = []
    monkeypatch.setattr(DoorsView, "post", lambda self, request: ran.append(1) or Response({}))
    guards(lambda request, run: Response({"again": True}, status=201))
    assert post(api, headers=bearer("doors.edit")).json() == {"again": True}
    assert ran == []


def test_a_guard_sees_an_error_as_the_exception_that_it_is(api, guards):
    seen = []

    def guard(request, run):
        try:
            return run()
        except Exception as error:
            seen.append(type(error).__name__)
            raise

    guards(guard)
    assert post(api, {"name": ""}, headers=bearer("doors.edit")).status_code == 422
    assert seen == ["ValidationError"]


def test_guards_stand_in_the_order_of_their_coming(api, guards):
    order = []

    def named(name):
        def guard(request, run):
            order.append(name)
            return run()

        return guard

    guards(named("first"))
    guards(named("second"))
    post(api, headers=bearer("doors.edit"))
    assert order == ["first", "second"]


@pytest.mark.parametrize("headers", [{}, bearer("doors.view")])
def test_who_may_not_post_never_reaches_a_guard(api, guards, headers):
    seen = []
    guards(lambda request, run: seen.append(1) or run())
    assert post(api, headers=headers).status_code in {401, 403}
    assert seen == []
    assert post(api, headers=bearer("doors.edit")).status_code == 201
    assert seen == [1]


def test_a_get_has_no_guard(api, guards):
    seen = []
    guards(lambda request, run: seen.append(1) or run())
    assert api.get("/v1/doors", headers=bearer("")).status_code == 200
    assert seen == []
