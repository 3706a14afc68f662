"""`/v1/domains`: hosts and mail domains that the org says are its own, and their proof."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.openapi import example, page_of
from apps.common.pagination import NEWEST_FIRST
from apps.orgs import selectors
from apps.orgs.api.base import OrgView
from apps.orgs.api.fields import Flag, PublicId, Strict, Text
from apps.orgs.models import OrgDomain
from apps.orgs.services import domains as services
from apps.tenants.domains import NAME_MAX
from apps.tenants.selectors import origin_of

MANAGE: Final = "org.manage"
_AT: Final = "2027-01-31T12:00:00Z"
_DOMAIN: Final[dict[str, Any]] = {
    "id": "dom_0190f7c26d1e7b5a9c3e2f4b6a8d0e15",
    "kind": "host",
    "name": "agents.acme.example",
    "state": "pending",
    "primary": False,
    "url": None,
    "record": {
        "type": "TXT",
        "name": "_mandate-challenge.agents.acme.example",
        "value": "mandate-verification=Zr0c2hN3…",
    },
    "check": {"pending": False, "at": None, "outcome": "", "failing_since": None},
    "created_at": _AT,
    "verified_at": None,
}


class RecordRead(serializers.Serializer[Any]):
    """What has to be published, and stay so, for the domain to count."""

    type = serializers.CharField()
    name = serializers.CharField()
    value = serializers.CharField()


class CheckRead(serializers.Serializer[Any]):
    """What the last look-up saw; it counts for the state only if it saw or missed the record."""

    pending = serializers.BooleanField(help_text="A look-up is under way.")
    at = serializers.DateTimeField(allow_null=True)
    outcome = serializers.ChoiceField(choices=OrgDomain.Outcome.choices, allow_blank=True)
    failing_since = serializers.DateTimeField(allow_null=True)


class DomainRead(serializers.Serializer[Any]):
    id = PublicId(selectors.DOMAIN)
    kind = serializers.ChoiceField(choices=OrgDomain.Kind.choices)
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=OrgDomain.State.choices)
    primary = serializers.BooleanField(source="is_primary")
    url = serializers.SerializerMethodField(help_text="Where a verified host serves the org.")
    record = serializers.SerializerMethodField()
    check = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    verified_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field({"type": ["string", "null"]})
    def get_url(self, domain: OrgDomain) -> str | None:
        return origin_of(domain.name) if domain.is_host and domain.is_verified else None

    @extend_schema_field(RecordRead)
    def get_record(self, domain: OrgDomain) -> dict[str, str]:
        return {"type": "TXT", "name": domain.record_name, "value": domain.record_value}

    @extend_schema_field(CheckRead)
    def get_check(self, domain: OrgDomain) -> dict[str, Any]:
        seen = {
            "pending": domain.check_asked_at is not None,
            "at": domain.checked_at,
            "outcome": domain.outcome,
            "failing_since": domain.failing_since,
        }
        return dict(CheckRead(seen).data)


class DomainWrite(Strict):
    kind = serializers.ChoiceField(choices=OrgDomain.Kind.choices)
    name = Text(max_length=NAME_MAX, help_text="Without https://, port or path.")


class DomainChange(Strict):
    primary = Flag(help_text="Whether links lead to this host; false leads them to the org's own.")


class DomainFilter(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=OrgDomain.Kind.choices, required=False)


class DomainsView(OrgView):
    required = {"GET": MANAGE, "POST": MANAGE}
    filters = DomainFilter
    list_keyset = NEWEST_FIRST

    @extend_schema(
        operation_id="domains_list",
        tags=["domains"],
        parameters=[DomainFilter],
        responses=page_of(DomainRead),
    )
    def get(self, request: Request) -> Response:
        rows = selectors.list_domains(**self.read_query(DomainFilter))
        return self.answer_page(DomainRead, rows, keyset=NEWEST_FIRST)

    @extend_schema(
        operation_id="domains_create",
        tags=["domains"],
        request=DomainWrite,
        responses={201: DomainRead},
        examples=[
            example("A host", {"kind": "host", "name": "agents.acme.example"}, request=True),
            example("The host, with the record to publish", _DOMAIN, status=201),
        ],
    )
    def post(self, request: Request) -> Response:
        """Put a domain on the list; it does nothing before its record is found."""
        made = services.add_domain(**self.read(DomainWrite), by=self.by, at=timezone.now())
        return self.answer(DomainRead, made, status=201)


class DomainView(OrgView):
    required = {"GET": MANAGE, "PATCH": MANAGE, "DELETE": MANAGE}

    @extend_schema(operation_id="domains_get", tags=["domains"], responses=DomainRead)
    def get(self, request: Request, domain: str) -> Response:
        return self.answer(DomainRead, selectors.get_domain(domain))

    @extend_schema(
        operation_id="domains_change",
        tags=["domains"],
        request=DomainChange,
        responses=DomainRead,
        examples=[example("Have links lead there", {"primary": True}, request=True)],
    )
    def patch(self, request: Request, domain: str) -> Response:
        """Choose where links lead; every verified host keeps working."""
        changed = services.set_primary(
            domain_id=selectors.get_domain(domain).id,
            **self.read(DomainChange),
            by=self.by,
            at=timezone.now(),
        )
        return self.answer(DomainRead, changed)

    @extend_schema(operation_id="domains_remove", tags=["domains"], responses={204: None})
    def delete(self, request: Request, domain: str) -> Response:
        """Take it off the list; a host stops serving at once, and sessions on it end."""
        found = selectors.get_domain(domain)
        services.remove_domain(domain_id=found.id, by=self.by, at=timezone.now())
        return self.nothing()


class DomainCheckView(OrgView):
    required = {"POST": MANAGE}

    @extend_schema(
        operation_id="domains_check",
        tags=["domains"],
        request=None,
        responses={202: DomainRead},
    )
    def post(self, request: Request, domain: str) -> Response:
        """Have the record looked for; the domain's `check` says when that is done and what came
        of it.
        """
        asked = services.ask_check(
            domain_id=selectors.get_domain(domain).id, by=self.by, at=timezone.now()
        )
        return self.answer(DomainRead, asked, status=202)
