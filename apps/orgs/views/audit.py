"""The audit log: what was done, whether the log still holds, and files of it to take away."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from apps.common.errors import Invalid, NotFound
from apps.common.htmx import render_page_or_partial, see_other, wants_partial
from apps.common.ids import parse_id, public_id
from apps.common.links import link, said, turn
from apps.common.pagination import Keyset, paginate
from apps.orgs.audit_files import FORMATS, TAKING, answer_export, answer_verifier, codes_for
from apps.orgs.audit_forms import AREAS, AuditFilterForm, RetentionForm
from apps.orgs.pages import check as check_may
from apps.orgs.pages import command, needs, post_command, principal_of
from apps.orgs.permissions import DATA_READ
from apps.tenants import proofs
from apps.trust import checking, proving, selectors
from apps.trust.entries import newest_checkpoint
from apps.trust.errors import NotSealed, ProofFails
from apps.trust.models import AuditEvent
from apps.trust.services import retention

VIEW: Final = "audit.view"
MANAGE: Final = "audit.manage"
EVENT: Final = "evt"
FILTERS: Final = ("action", "actor", "subject", "since", "until")
BY_SEQ: Final = Keyset(("seq",))
VERIFIER: Final = "verifier"
CHECKS: Final = {
    "chain": "Entries and their chain",
    "leaves": "Their places in the tree",
    "records": "Decisions and runs",
    "tree": "The root of the tree",
    "checkpoints": "Earlier checkpoints",
    "signature": "The signature",
    "sealing": "What is new",
}


@require_safe
@never_cache
@needs(VIEW)
def index(request: HttpRequest) -> HttpResponse:
    """The entries, newest first; the address holds the filter."""
    form = AuditFilterForm({name: said(request, name) for name in FILTERS})
    context = {
        "crumbs": [("Audit log", None)],
        "filter": {name: said(request, name) for name in FILTERS},
        "filtered": any(said(request, name) for name in FILTERS),
        "form": form,
        "areas": AREAS,
        "is_area": said(request, "action") in dict(AREAS),
        "clear_url": link(request, "orgs:audit"),
        "csv_url": _csv_url(request),
        "command": command(request, "/v1/audit"),
        **_found(request, form),
    }
    if not wants_partial(request):
        context |= _around(request)
    return render_page_or_partial(request, "orgs/audit.html", "results", context)


@require_safe
@never_cache
@needs(VIEW)
def entry(request: HttpRequest, ref: str) -> HttpResponse:
    """One entry: who did what, what changed, and the proof of its place."""
    event = selectors.get_event_by_id(parse_id(EVENT, ref))
    before, after = selectors.neighbours(event)
    context = {
        "crumbs": [("Audit log", link(request, "orgs:audit")), (f"Entry {event.seq}", None)],
        "entry": _row(event),
        "change": _change(event) if principal_of(request).may("data.read") else None,
        "is_withheld": not principal_of(request).may("data.read"),
        "hash": bytes(event.hash).hex(),
        "prev": bytes(event.prev).hex(),
        **_proof(event),
        "older_url": _url(request, before),
        "newer_url": _url(request, after),
        "command": command(request, f"/v1/audit/{event.seq}/proof"),
    }
    return render(request, "orgs/audit_entry.html", context)


@require_safe
@never_cache
@needs(VIEW)
def check(request: HttpRequest) -> HttpResponse:
    """Check the log now, and say what was looked at."""
    now = timezone.now()
    report = checking.verify_log(at=now)
    context = {
        "crumbs": [("Audit log", link(request, "orgs:audit")), ("Verification", None)],
        "report": report,
        "checks": [
            {
                "label": _label(check.name),
                "ok": check.ok,
                "is_warning": check.is_warning,
                "detail": check.detail,
            }
            for check in report.checks
        ],
        "at": now,
        "bound": checking.EVENTS,
        "records": checking.RECORDS,
        "command": post_command(request, "/v1/audit/verify", "{}"),
    }
    return render_page_or_partial(request, "orgs/audit_check.html", "report", context)


@require_safe
@never_cache
def file(request: HttpRequest) -> HttpResponseBase:
    """A file of the log, for what its kind takes: whole for the verifier, filtered as CSV, its
    checkpoints; or the verifier, which holds nothing of the log.
    """
    kind = said(request, "format") or "jsonl"
    for code in (VIEW,) if kind == VERIFIER else codes_for(kind):
        check_may(request, code)
    if kind == VERIFIER:
        return answer_verifier()
    form = AuditFilterForm({name: said(request, name) for name in FILTERS})
    if kind not in FORMATS or not form.is_valid():
        raise NotFound("There is no such file.")
    return answer_export(kind, **form.found())


@require_POST
@needs(MANAGE)
def keep(request: HttpRequest) -> HttpResponse:
    """Change for how long the entries keep what they say."""
    now, present = timezone.now(), retention.get_retention().keep_days
    form = RetentionForm(request.POST, present=present)
    if not form.is_valid():
        raise Invalid.of("keep_days", "Choose one of the periods.")
    proofs.require(request, "Change retention", at=now)
    retention.set_retention(
        keep_days=form.cleaned_data["keep_days"], actor=principal_of(request).actor, at=now
    )
    messages.success(request, "The retention of the audit log was changed.")
    return see_other(reverse("orgs:audit"))


def _found(request: HttpRequest, form: AuditFilterForm) -> dict[str, Any]:
    """A page of the entries that the address asks for; none if it can't be read."""
    if not form.is_valid():
        return {"entries": [], "newer_url": None, "older_url": None}
    found = paginate(
        selectors.list_events(**form.found()),
        keyset=BY_SEQ,
        after=request.GET.get("after"),
        before=request.GET.get("before"),
        heavy=("detail",),
    )
    return {
        "entries": [_row(event) for event in found.items],
        "newer_url": turn(request, "before", found.previous, keep=FILTERS),
        "older_url": turn(request, "after", found.next, keep=FILTERS),
    }


def _around(request: HttpRequest) -> dict[str, Any]:
    """What stands beside the list: the newest checkpoint, the files, the retention."""
    may, rule = principal_of(request).may, retention.get_retention()
    newest = newest_checkpoint()
    return {
        "checkpoint": newest if newest.number else None,
        "copies": list(selectors.list_copies()),
        "can_export": all(may(code) for code in TAKING),
        "can_read": may(DATA_READ),
        "can_manage": may(MANAGE),
        "rule": rule,
        "retention_form": RetentionForm(present=rule.keep_days),
    }


def _label(check: str) -> str:
    """What a check is called on a page."""
    return CHECKS.get(check) or f"The copies: {check.partition(':')[2]}"


def _csv_url(request: HttpRequest) -> str | None:
    """The same entries as a file, for who may take them away."""
    if not principal_of(request).permissions.issuperset(codes_for("csv")):
        return None
    asked = {name: said(request, name) for name in FILTERS}
    return link(request, "orgs:audit_file", format="csv", **asked)


def _row(event: AuditEvent) -> dict[str, Any]:
    """An entry as a list shows it."""
    _, noun, verb = event.action.split(".") if event.action else ("", "", "")
    return {
        "id": public_id(EVENT, event.id),
        "seq": event.seq,
        "at": event.at,
        "title": f"{noun} {verb}".replace("_", " ").capitalize(),
        "action": event.action,
        "actor": event.actor_label,
        "actor_id": event.actor_id,
        "actor_type": event.actor_type.replace("_", " "),
        "subject": event.subject_id,
        "subject_type": event.subject_type.replace("_", " "),
        "is_erased": event.is_erased,
    }


def _change(event: AuditEvent) -> dict[str, Any]:
    """What was and what is, to be compared, and what else is on record."""
    detail = {**event.detail}
    old, new = detail.pop("old", None), detail.pop("new", None)
    compares = old is not None and new is not None
    rest = detail if compares else event.detail
    return {"old": old, "new": new, "compares": compares, "rest": rest}


def _proof(event: AuditEvent) -> dict[str, Any]:
    """The proof of an entry's place; why there is none."""
    try:
        return {"proof": proving.prove_event(event)}
    except NotSealed:
        return {"proof": None}
    except ProofFails:
        return {"proof": None, "fails": True}


def _url(request: HttpRequest, event: AuditEvent | None) -> str | None:
    return link(request, "orgs:audit_entry", public_id(EVENT, event.id)) if event else None
