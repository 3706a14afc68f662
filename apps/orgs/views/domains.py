"""Domains of the org: the list, and one with the records to publish and what was seen of them."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.common.errors import Conflict, DomainError
from apps.common.forms import add_refusal
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.ids import public_id
from apps.orgs import selectors
from apps.orgs.forms import DomainForm
from apps.orgs.models import OrgDomain
from apps.orgs.pages import command, needs, org_of, post_command, principal_of
from apps.orgs.services import domains
from apps.orgs.settings_pages import page
from apps.tenants import domains as names
from apps.tenants import proofs
from apps.tenants.errors import ProofNeeded
from apps.tenants.selectors import origin_of
from apps.tenants.services.orgs import own_host

MANAGE: Final = "org.manage"
LABEL: Final = "Domains"
SEEN: Final = {
    "found": "The record was found.",
    "missing": "There is no such record yet. A new one may take an hour to be seen.",
    "different": "There is a record of Mandate’s with another value. Publish the one below.",
    "unreachable": "No name server answered. This says nothing about the record: check again.",
    "taken": (
        "The record is right, but another organization has proved this domain and uses it. "
        "It has to be removed there first."
    ),
}


@require_http_methods(["GET", "HEAD", "POST"])
@needs(MANAGE)
def index(request: HttpRequest) -> HttpResponse:
    """The hosts and mail domains; a POST puts one on the list."""
    form = _sent(request) if request.method == "POST" else None
    if form is not None and form.is_valid() and (made := _add(request, form)):
        messages.success(request, f"{made.name} is on the list. Publish its record next.")
        return see_other(_url("domain", made))
    rows = list(selectors.list_domains())
    context = page(
        request,
        LABEL,
        own=_own(request, rows),
        hosts=[_facts(row) for row in rows if row.is_host],
        mail=[_facts(row) for row in rows if not row.is_host],
        host_form=_form(form, names.HOST),
        mail_form=_form(form, names.MAIL),
        command=command(request, "/v1/domains"),
        **_warning(rows),
    )
    return render(request, "orgs/domains.html", context, status=200 if form is None else 422)


@require_safe
@needs(MANAGE)
def detail(request: HttpRequest, ref: str) -> HttpResponse:
    """One domain: what to publish, what was seen, and what can be done."""
    domain = selectors.get_domain(ref)
    context = page(
        request,
        LABEL,
        below=domain.name,
        domain=_facts(domain),
        own_host=own_host(org_of(request).slug),
        command=post_command(request, f"/v1/domains/{ref}/check", "{}"),
        **_warning([domain]),
    )
    return render_page_or_partial(request, "orgs/domain.html", "seen", context)


@require_POST
@needs(MANAGE)
def check_now(request: HttpRequest, ref: str) -> HttpResponse:
    """Have the record looked for; the page says what came of it."""
    domain = selectors.get_domain(ref)
    domains.ask_check(domain_id=domain.id, by=principal_of(request), at=timezone.now())
    return see_other(_url("domain", domain))


@require_POST
@needs(MANAGE)
def set_primary(request: HttpRequest, ref: str) -> HttpResponse:
    """Have links lead to this host, or back to the org's own."""
    domain, now = selectors.get_domain(ref), timezone.now()
    wanted = request.POST.get("primary") == "on"
    act = f"Lead links to {domain.name}" if wanted else "Lead links to the own address"
    proofs.require(request, act, at=now)
    domains.set_primary(domain_id=domain.id, primary=wanted, by=principal_of(request), at=now)
    where = domain.name if wanted else "the organization’s own address"
    messages.success(request, f"Links lead to {where} now.")
    return see_other(_url("domain", domain))


@require_POST
@needs(MANAGE)
def remove(request: HttpRequest, ref: str) -> HttpResponse:
    """Take a domain off the list; who entered by it is out, so nobody saws off their own branch."""
    domain = selectors.get_domain(ref)
    if request.brought_host == domain.name:  # type: ignore[attr-defined]
        raise Conflict(f"You are at this very host. Remove it at {org_of(request).own_url}.")
    domains.remove_domain(domain_id=domain.id, by=principal_of(request), at=timezone.now())
    messages.success(request, f"{domain.name} was removed.")
    return see_other(reverse("orgs:domains"))


def _add(request: HttpRequest, form: DomainForm) -> OrgDomain | None:
    """The domain that a valid form asks for; None if it was refused, which the form then says."""
    data, now = form.cleaned_data, timezone.now()
    try:
        names.check_name(data["kind"], data["name"])
        proofs.require(request, "Add domain", at=now)
        return domains.add_domain(**data, by=principal_of(request), at=now)
    except ProofNeeded:
        raise
    except DomainError as error:
        add_refusal(form, error)
        return None


def _sent(request: HttpRequest) -> DomainForm:
    """The one of the page's two forms that was sent."""
    is_mail = request.POST.get("kind") == names.MAIL
    return DomainForm(request.POST, of_kind=names.MAIL if is_mail else names.HOST)


def _form(sent: DomainForm | None, kind: str) -> DomainForm:
    """The form of one kind: the refused one, or an empty one."""
    return sent if sent is not None and sent.of_kind == kind else DomainForm(of_kind=kind)


def _own(request: HttpRequest, rows: list[OrgDomain]) -> dict[str, Any]:
    """The address that every org has."""
    return {
        "host": own_host(org_of(request).slug),
        "is_primary": not any(row.is_primary for row in rows),
    }


def _warning(rows: list[OrgDomain]) -> dict[str, Any]:
    """What the page says first: domains that have ended, else those that are about to."""
    lapsed = [row.name for row in rows if row.state == OrgDomain.State.LAPSED]
    failing = [row for row in rows if row.failing_since]
    return {
        "lapsed": lapsed,
        "failing": [{"name": row.name, "lapses_at": row.lapses_at} for row in failing],
    }


def _facts(domain: OrgDomain) -> dict[str, Any]:
    is_serving = domain.is_host and domain.is_verified
    return {
        "id": public_id(selectors.DOMAIN, domain.id),
        "name": domain.name,
        "is_host": domain.is_host,
        "state": domain.state,
        "is_verified": domain.is_verified,
        "is_primary": domain.is_primary,
        "is_checking": domain.check_asked_at is not None,
        "url": origin_of(domain.name) if is_serving else "",
        "record_name": domain.record_name,
        "record_value": domain.record_value,
        "seen": SEEN.get(domain.outcome, ""),
        "found": domain.outcome == OrgDomain.Outcome.FOUND,
        "checked_at": domain.checked_at,
        "verified_at": domain.verified_at,
        "created_at": domain.created_at,
    }


def _url(name: str, domain: OrgDomain) -> str:
    return reverse(f"orgs:{name}", args=[public_id(selectors.DOMAIN, domain.id)])
