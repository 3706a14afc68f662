"""People with roles, the keys they hold, and a client that speaks to the API as one of them."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

# The near past, so that services called with it and requests that read the clock agree.
AT = timezone.now().replace(microsecond=0) - timedelta(hours=1)
ROLES = ("owner", "admin", "member", "viewer")


def join(org: Any, role: str, *, email: str = "", name: str = "") -> Any:
    """A new person who is in the org with that role; the principal of their browser session."""
    from allauth.account.models import EmailAddress

    from apps.orgs import selectors
    from apps.orgs.models import Member, Role
    from apps.tenants import keys
    from apps.tenants.models import User
    from apps.tenants.services import membership

    email = email or f"{role}-{uuid.uuid4().hex[:8]}@{org.slug}.example"
    user = User.objects.create_user(email, "mandate-demo", name=name or f"The {role}")
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    with keys.holding(org.schema, org.id):
        Member.objects.create(
            user_id=user.pk,
            label=user.name,
            email=email,
            role=Role.objects.get(slug=role),
            joined_at=timezone.now(),
        )
        membership.admit_user(org_id=org.id, user_id=user.pk, at=timezone.now())
        return selectors.find_member_principal(user_id=user.pk)


def owner_of(org: Any) -> Any:
    """The owner that the org was provisioned with."""
    from apps.orgs import selectors
    from apps.tenants import keys

    with keys.holding(org.schema, org.id):
        return selectors.find_member_principal(user_id=org.owner_id)


def token_for(org: Any, principal: Any, **fields: Any) -> str:
    """A key of that member, its token."""
    from apps.orgs.services.keys import create_key
    from apps.tenants import keys

    with keys.holding(org.schema, org.id):
        made = create_key(name="Test", by=principal, at=timezone.now(), **fields)
    return str(made.token)


@cache
def description() -> dict[str, Any]:
    """The paths of /v1 with what each operation may answer, as `/v1/schema` says."""
    from drf_spectacular.generators import SchemaGenerator

    found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return found


def is_described(method: str, answer: Any) -> bool:
    """Whether the description has this status for the operation that answered."""
    match = answer.wsgi_request.resolver_match
    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", f"/{match.route}") if match else ""
    operation = description().get(path, {}).get(method.lower())
    return operation is None or str(answer.status_code) in operation["responses"]


@dataclass
class Api:
    """Speaks to /v1 with a key, on the apex unless told otherwise."""

    token: str = ""
    host: str = "localhost:8000"
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        from apps.tenants import keys

        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        data = "" if body is None else json.dumps(body)
        with keys.holding():
            answer = self.client.generic(
                method,
                f"/v1{path}",
                data,
                content_type="application/json",
                HTTP_HOST=self.host,
                headers=sent,
            )
        assert is_described(method, answer), f"{method} {path} may answer {answer.status_code}?"
        return answer

    def get(self, path: str, **headers: str) -> Any:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("POST", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self("DELETE", path, **headers)


@pytest.fixture
def owner(org: Any) -> Any:
    return owner_of(org)


@pytest.fixture
def browser(org: Any, owner: Any) -> Any:
    """The owner's, on the org's host."""
    from tests.tenants.browsing import as_member

    return as_member(org, owner)


@pytest.fixture
def refs(acme: Any) -> dict[str, Any]:
    """One of each thing in the org, for the addresses of tests/orgs/test_views_matrix.py."""
    from tests.orgs.test_views_matrix import furnish

    return furnish(acme, owner_of(acme))


@pytest.fixture(scope="module")
def standing(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A transaction around all tests of a module: what its fixtures make stands for each of them,
    and a test takes back no more than its own changes.
    """
    from django.db import transaction

    with django_db_blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def somebody(org: Any) -> Callable[..., Any]:
    """Makes members of acme: `somebody("admin")`."""
    return lambda role, **more: join(org, role, **more)


@pytest.fixture
def api_as(org: Any) -> Callable[..., Api]:
    """A client with a key of a new member of that role: `api_as("viewer")`."""

    def make(role: str, **fields: Any) -> Api:
        who = owner_of(org) if role == "owner" else join(org, role)
        return Api(token_for(org, who, **fields))

    return make


@pytest.fixture
def api(api_as: Callable[..., Api]) -> Api:
    """The owner's client."""
    return api_as("owner")


@pytest.fixture
def events(org: Any) -> Callable[[], list[Any]]:
    """What the audit log gained since the test began: (action, subject, detail)."""
    from apps.trust.models import AuditEvent

    before = AuditEvent.objects.count()

    def since() -> list[Any]:
        rows = AuditEvent.objects.order_by("seq")[before:]
        return [(row.action, row.subject_id, row.detail) for row in rows]

    return since


def problem(answer: Any) -> tuple[int, str]:
    """Status and code of a problem document."""
    assert answer["Content-Type"] == "application/problem+json", answer.content
    found = answer.json()
    assert found["status"] == answer.status_code
    return answer.status_code, found["code"]
