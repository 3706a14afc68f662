"""Who a key is, on which host, and the one answer to every key that is no good."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.orgs.models import ApiKey, Project
from apps.orgs.services import keys as api_keys
from apps.orgs.tokens import hash_of, new_token
from apps.tenants import keys
from apps.tenants.models import KeyIndex, Org, OrgActivity
from tests.orgs.conftest import Api, join, owner_of, problem, token_for


def on(org: Any) -> str:
    return f"{org.slug}.localhost:8000"


def refused(answer: Any) -> dict[str, Any]:
    """The body of a 401 without what differs from request to request."""
    assert problem(answer) == (401, "unauthenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="mandate"'
    body = dict(answer.json())
    body.pop("request_id")
    return body


def test_a_key_opens_its_org_on_the_apex_and_on_its_host(api: Api, org: Any, owner: Any) -> None:
    for host in ("localhost:8000", on(org)):
        api.host = host
        answer = api.get("/me")
        assert answer.status_code == 200
        found = answer.json()
        assert (found["org"]["slug"], found["role"]) == ("acme", "owner")
        assert found["permissions"] == sorted(owner.permissions)
        assert found["principal"]["type"] == "api_key"


def test_every_bad_key_gets_the_same_answer(org: Any, other_org: Any, owner: Any) -> None:
    good, now = token_for(org, owner), timezone.now()
    expired, revoked, removed = (token_for(org, owner) for _ in range(3))
    ApiKey.objects.filter(key_hash=hash_of(expired)).update(expires_at=now)
    api_keys.revoke_key(key_id=ApiKey.objects.get(key_hash=hash_of(revoked)).id, by=owner, at=now)
    gone = join(org, "member")
    removed = token_for(org, gone)
    from apps.orgs.services.members import remove_member

    remove_member(member_id=gone.member_id, by=owner, at=now)
    foreign = token_for(other_org, owner_of(other_org))

    bodies = []
    for token, host in [
        ("", "localhost:8000"),
        ("nonsense", "localhost:8000"),
        (new_token(), "localhost:8000"),
        (good[:-1], "localhost:8000"),
        *(
            (bad, host)
            for bad in (expired, revoked, removed)
            for host in ("localhost:8000", on(org))
        ),
        (foreign, on(org)),
        (good, on(other_org)),
    ]:
        bodies.append(refused(Api(token, host).get("/me")))

    assert all(body == bodies[0] for body in bodies)
    assert Api(good).get("/me").status_code == 200
    assert Api(foreign).get("/me").json()["org"]["slug"] == "globex"


@pytest.mark.parametrize(
    "header", ["{}", "Basic {}", "Bearer", "Bearer {} x", "Bearer {},", "Token {}", "Bearer\t{}"]
)
def test_only_a_bearer_header_counts(api: Api, header: str) -> None:
    refused(Api().get("/me", Authorization=header.format(api.token)))
    assert Api().get("/me", Authorization=f"bearer  {api.token} ").status_code == 200


def test_a_key_of_a_suspended_org_opens_nothing(api: Api, org: Any) -> None:
    found = Org.objects.get(id=org.id)
    found.suspend()
    found.save()
    refused(api.get("/me"))


def test_an_index_row_that_points_to_another_org_opens_nothing(
    api: Api, org: Any, other_org: Any
) -> None:
    """Both have to agree: the shared index and the org's own row behind its keys."""
    KeyIndex.objects.filter(key_hash=hash_of(api.token)).update(org_id=other_org.id)
    refused(api.get("/me"))


def test_a_bad_key_leaves_no_rows_unlocked(org: Any, other_org: Any, owner: Any) -> None:
    from django.test import RequestFactory
    from rest_framework.request import Request

    from apps.orgs.api.authentication import ApiKeyAuthentication

    def authenticate(token: str) -> Any:
        request = RequestFactory().get("/v1/me", headers={"Authorization": f"Bearer {token}"})
        request.org = other_org  # type: ignore[attr-defined]
        keys.reset()
        keys.use_schema(other_org.schema)
        found = ApiKeyAuthentication().authenticate(Request(request))
        return found, keys.current()

    good, foreign = token_for(other_org, owner_of(other_org)), token_for(org, owner)
    assert authenticate(foreign) == (None, keys.Keys(other_org.schema, None))
    found, held = authenticate(good)
    assert found[1].org_id == other_org.id
    assert held == keys.Keys(other_org.schema, other_org.id)


def test_a_key_is_found_in_one_query(api: Api, org: Any, django_assert_num_queries: Any) -> None:
    """Whose it is was asked once; key, member, role, permissions and org are one query. One more is
    the plan, which this answer tells.
    """
    with django_assert_num_queries(4):  # KeyIndex, the key, that it was used, the plan
        assert api.get("/me").status_code == 200
    with django_assert_num_queries(2):
        assert api.get("/me").status_code == 200


def test_what_a_process_remembers_of_a_key_opens_nothing(api: Api, org: Any) -> None:
    """Another process takes the key or the org away: this one's memory of it is still warm."""
    index = KeyIndex.objects.filter(key_hash=hash_of(api.token))
    other = Org.objects.get(slug="globex")
    later = timezone.now() + timedelta(days=1)

    for away, back in (
        (
            lambda: index.update(org_id=other.id),
            lambda: index.update(org_id=org.id),
        ),
        (lambda: index.update(expires_at=timezone.now()), lambda: index.update(expires_at=later)),
        (lambda: set_state(org, "suspended"), lambda: set_state(org, "active")),
    ):
        assert api.get("/me").status_code == 200
        away()
        assert problem(api.get("/me")) == (401, "unauthenticated")
        back()
    index.delete()
    assert problem(api.get("/me")) == (401, "unauthenticated")


def set_state(org: Any, state: str) -> None:
    Org.objects.filter(id=org.id).update(state=state)


def test_use_is_noted(api: Api, org: Any) -> None:
    row = ApiKey.objects.get(key_hash=hash_of(api.token))
    assert row.last_used_at is None
    api.get("/me")
    row.refresh_from_db()
    assert row.last_used_at is not None


def test_a_write_tells_the_sweeper_and_a_read_does_not(api: Api, org: Any) -> None:
    long_ago = timezone.now() - timedelta(days=1)
    OrgActivity.objects.filter(org_id=org.id).update(last_write_at=long_ago)
    api.get("/projects")
    assert OrgActivity.objects.get(org_id=org.id).last_write_at == long_ago
    api.post("/projects", {"name": "Any"})
    assert OrgActivity.objects.get(org_id=org.id).last_write_at > long_ago


def test_a_browsers_session_is_no_credential_for_the_api(org: Any, owner: Any) -> None:
    from django.contrib.auth import get_user_model

    anonymous = Api(host=on(org))
    anonymous.client.force_login(get_user_model().objects.get(id=org.owner_id))
    before = Project.objects.count()
    refused(anonymous.post("/projects", {"name": "Forged"}))
    assert Project.objects.count() == before


def test_bad_keys_are_counted_against_their_address(settings: Any, org: Any) -> None:
    settings.API_RATE_LIMIT_ANONYMOUS = "3/hour"
    guesser = Api(new_token())
    guesser.client.defaults["REMOTE_ADDR"] = "198.51.100.77"
    statuses = [guesser.get("/me").status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]


def test_refusals_are_on_record_once_a_minute(api_as: Any, events: Any) -> None:
    viewer = api_as("viewer")
    start = len(events())
    for _ in range(3):
        assert problem(viewer.post("/projects", {"name": "No"})) == (403, "permission_denied")
    assert events()[start:] == [("trust.call.refused", "projects.create", {"count": 1})]
