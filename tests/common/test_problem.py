from __future__ import annotations

import pytest
from django.core.exceptions import RequestDataTooBig
from django.core.exceptions import ValidationError as DjangoValidationError
from django_fsm import ConcurrentTransition, TransitionNotAllowed
from rest_framework import exceptions as drf

from apps.common import errors, problem
from tests.common.conftest import bearer

pytestmark = pytest.mark.usefixtures("sample")

MEMBERS = {"type", "title", "status", "detail", "code", "instance", "request_id"}


def is_problem(answer, status, code):
    document = answer.json()
    assert answer.status_code == document["status"] == status
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Cache-Control"] == "no-store"
    assert document["code"] == code
    assert document["type"] == f"urn:mandate:problem:{code}"
    assert document["request_id"] == answer["X-Request-Id"]
    assert set(document) >= MEMBERS
    return document


def test_a_services_refusal_brings_its_members(api):
    document = is_problem(api.get("/v1/raise/conflict"), 409, "conflict")
    assert document["detail"] == "The name is taken."
    assert document["holder"] == "prj_1"
    assert document["instance"] == "/v1/raise/conflict"


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v1/doors/", "/v1/doors/a/b"])
def test_an_unknown_url_of_the_api_is_a_problem(api, settings, debug, path):
    settings.DEBUG = debug
    is_problem(api.get(path), 404, "not_found")


def test_an_answer_that_is_replaced_is_closed_with_its_request_and_not_before(api, rf):
    from django.core.signals import request_finished
    from django.http import HttpResponse

    from apps.common.middleware import ErrorMiddleware

    closed, ended = [], []
    framework = HttpResponse("debug page", status=404)
    framework._resource_closers.append(lambda: closed.append(1))
    request_finished.connect(lambda **_: ended.append(1), weak=False, dispatch_uid="t")
    answer = ErrorMiddleware(lambda request: framework)(rf.get("/v1/x"))
    request_finished.disconnect(dispatch_uid="t")
    assert (closed, ended) == ([], [])
    answer._resource_closers[-1]()
    assert closed == [1]


def test_a_missing_row_does_not_name_its_model(api):
    answer = api.get("/v1/raise/no-such-row")
    is_problem(answer, 404, "not_found")
    assert b"Secret" not in answer.content


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("path", ["/v1/raise/bug", "/v1/plain/bug"])
def test_a_bug_is_a_problem_without_a_word_about_it(api, settings, debug, path):
    settings.DEBUG = debug
    answer = api.get(path)
    document = is_problem(answer, 500, "server_error")
    assert set(document) == MEMBERS
    for word in (b"secret", b"ZeroDivision", b"Traceback", b"sample_api"):
        assert word not in answer.content


@pytest.mark.parametrize("path", ["/v1/raise/database", "/v1/plain/database"])
def test_a_database_that_is_down_is_503_and_keeps_its_address(api, path):
    answer = api.get(path)
    is_problem(answer, 503, "unavailable")
    assert b"10.0.0.7" not in answer.content
    assert b"hunter2" not in answer.content


def test_a_limit_says_when_to_come_back(api):
    answer = api.get("/v1/raise/limited")
    assert is_problem(answer, 429, "rate_limited")["retry_after"] == 12
    assert answer["Retry-After"] == "12"


def test_a_stranger_is_asked_for_credentials(api):
    answer = api.get("/v1/doors")
    is_problem(answer, 401, "unauthenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="mandate"'


def test_a_wrong_method_names_the_right_ones(api):
    answer = api.put("/v1/doors", headers=bearer("doors.edit"))
    is_problem(answer, 405, "method_not_allowed")
    assert answer["Allow"] == "GET, HEAD, POST"


def test_a_wrong_method_of_a_plain_view_keeps_its_allow(api):
    answer = api.post("/v1/schema")
    is_problem(answer, 405, "method_not_allowed")
    assert answer["Allow"] == "GET, HEAD"


def test_what_cannot_be_given_is_406(api):
    answer = api.get("/v1/open", headers={"Accept": "image/png"})
    is_problem(answer, 406, "not_acceptable")


def post(api, body, content_type="application/json"):
    return api.generic("POST", "/v1/doors", body, content_type, headers=bearer("doors.edit"))


def test_a_body_that_is_not_json_by_its_type_is_415(api):
    is_problem(post(api, "name=front", "text/plain"), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "body",
    [
        " ",
        "{",
        '{"name": "a"} x',
        '{"name": NaN}',
        '{"name": Infinity}',
        '{"name": "a", "name": "b"}',
        '{"name": "a", "extra": {"x": "\\u0000"}}',
        '{"name": "a", "extra": {"\\ud800": 1}}',
        b'{"name": "\xff"}',
        "[" * 100_000,
        '{"name": ' + "9" * 5000 + "}",
    ],
)
def test_a_body_that_cannot_be_read_is_400(api, body):
    is_problem(post(api, body), 400, "bad_request")


def test_a_body_that_is_too_large_is_413(api, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    assert post(api, '{"name": "a"}'.ljust(100)).status_code == 201
    is_problem(post(api, '{"name": "a"}'.ljust(101)), 413, "too_large")


def test_wrong_values_are_422_with_every_field(api):
    document = is_problem(post(api, '{"tags": ["ok", "long"]}'), 422, "invalid")
    assert document["errors"] == [
        {"field": "name", "message": "This field is required."},
        {"field": "tags.1", "message": "Ensure this field has no more than 3 characters."},
    ]


@pytest.mark.parametrize("body", ["[]", "3", '"text"', "null"])
def test_json_that_is_no_object_is_422_as_a_whole(api, body):
    document = is_problem(post(api, body), 422, "invalid")
    assert [error["field"] for error in document["errors"]] == [""]


def test_no_body_at_all_is_an_empty_object(api):
    document = is_problem(post(api, ""), 422, "invalid")
    assert [error["field"] for error in document["errors"]] == ["name"]


def test_a_good_body_passes(api):
    answer = post(api, '{"name": "fr\\u00f6nt \\ud83d\\ude00", "tags": ["a"]}')
    assert answer.status_code == 201
    assert answer.json() == {"name": "frönt 😀", "tags": ["a"]}


@pytest.mark.parametrize(
    ("raised", "status", "code"),
    [
        (drf.AuthenticationFailed("no such key"), 401, "unauthenticated"),
        (drf.NotAuthenticated(), 401, "unauthenticated"),
        (drf.PermissionDenied(), 403, "permission_denied"),
        (drf.Throttled(wait=3), 429, "rate_limited"),
        (drf.ParseError("line 1"), 400, "bad_request"),
        (RequestDataTooBig(), 413, "too_large"),
        (TransitionNotAllowed(), 409, "conflict"),
        (ConcurrentTransition(), 409, "conflict"),
        (DjangoValidationError({"name": ["a", "b"]}), 422, "invalid"),
        (errors.PreconditionFailed(), 412, "precondition_failed"),
    ],
)
def test_every_known_error_has_one_code(raised, status, code):
    error = problem.as_domain_error(raised)
    assert (error.status, error.code) == (status, code)


def test_why_a_key_was_refused_is_not_told():
    error = problem.as_domain_error(drf.AuthenticationFailed("no such key"))
    assert error.detail == ""


def test_an_unknown_error_stays_one():
    assert problem.as_domain_error(KeyError("x")) is None


@pytest.mark.parametrize(
    ("status", "code"), [(402, "payment_required"), (418, "im_a_teapot"), (599, "error")]
)
def test_any_status_can_be_a_problem(status, code):
    error = problem.from_status(status)
    assert (error.status, error.code) == (status, code)


def test_extra_members_cannot_replace_the_standard_ones(rf):
    error = errors.Conflict("x", status=200, type="about:blank", request_id="forged")
    document = problem.document(error, rf.get("/v1/x"))
    assert (document["status"], document["request_id"]) == (409, None)
    assert document["type"] == "urn:mandate:problem:conflict"


@pytest.fixture
def pages(settings, tmp_path):
    """Pages of our own, so that nothing here depends on the shell."""
    (tmp_path / "error.html").write_text(
        "{% load partials %}{% partialdef problem %}part: {{ problem.detail }}{% endpartialdef %}"
        "page: {{ problem.title }} {{ problem.detail }} {{ problem.request_id }}"
    )
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]


def test_a_refusal_of_a_page_is_a_page(api, pages):
    answer = api.get("/page/conflict")
    assert answer.status_code == 409
    assert answer["Content-Type"].startswith("text/html")
    assert answer.content.decode().startswith("page: The request conflicts")
    assert answer["X-Request-Id"] in answer.content.decode()


def test_a_refusal_for_htmx_goes_into_the_pages_place_for_it(api, pages):
    answer = api.get("/page/conflict", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.content) == (409, b"part: The name is taken.")
    assert (answer["HX-Retarget"], answer["HX-Reswap"]) == ("#problem", "innerHTML")


def test_a_boosted_link_gets_the_page(api, pages):
    headers = {"HX-Request": "true", "HX-Boosted": "true"}
    answer = api.get("/page/conflict", headers=headers)
    assert answer.content.startswith(b"page: ")
    assert "HX-Retarget" not in answer


def test_what_a_page_says_is_escaped(api, settings):
    settings.TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
    from django.test import RequestFactory

    answer = problem.as_page(RequestFactory().get("/x"), errors.Conflict("<script>"))
    assert answer.content == b'<p role="alert">&lt;script&gt;</p>'


@pytest.mark.parametrize("debug", [True, False])
def test_an_unknown_page_is_a_page_and_not_the_list_of_urls(api, pages, settings, debug):
    settings.DEBUG = debug
    answer = api.get("/nothing")
    assert answer.status_code == 404
    assert answer.content.startswith(b"page: Not found")


def test_a_bug_in_a_page_tells_nothing(api, pages):
    answer = api.get("/page/bug")
    assert answer.status_code == 500
    assert b"secret" not in answer.content
    assert b"page: Something went wrong on our side" in answer.content
