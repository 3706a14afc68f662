"""A policy's newest version, asked about calls that are over."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from apps.common.errors import DomainError, NotFound
from apps.common.forms import add_refusal
from apps.common.htmx import render_page_or_partial, see_other
from apps.common.ids import public_id
from apps.common.json import Object
from apps.common.links import link, said
from apps.orgs.pages import check, needs, post_command, principal_of
from apps.policies import reading, selectors
from apps.policies.forms import BacktestForm
from apps.policies.models import Backtest
from apps.policies.pages import RESULT_WORDS, policy_page, ref_of, words_of
from apps.policies.services import backtesting
from apps.policies.services.backtesting import BACKTEST

ASKING: Final = ("policies.edit", reading.READ)
"""What it takes to ask: the text reads what calls held."""


@require_http_methods(["GET", "HEAD", "POST"])
@needs("policies.view")
def backtest(request: HttpRequest, ref: str) -> HttpResponse:
    """What the newest version would have decided; a POST looks, the address holds the result."""
    standing = selectors.get_policy(ref)
    form = BacktestForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        for code in ASKING:
            check(request, code)
        if form.is_valid() and (made := _start(request, standing, form)):
            of = public_id(BACKTEST, made.id)
            return see_other(link(request, "policies:backtest", ref_of(standing), of=of))
    found = _find(said(request, "of"), standing)
    context = policy_page(
        request,
        standing,
        "policies:backtest",
        form=form,
        found=_shown(request, found) if found else None,
        can_ask=all(principal_of(request).may(code) for code in ASKING),
        command=post_command(
            request, "/v1/policies/backtest", '{"rego_text": "package mandate …", "days": 7}'
        ),
    )
    status = 422 if form.is_bound else 200
    return render_page_or_partial(request, "policies/backtest.html", "result", context, status)


def _find(ref: str, standing: selectors.Standing) -> Backtest | None:
    """What was asked of this policy; raises NotFound for what was asked of another."""
    found = backtesting.get_backtest(ref) if ref else None
    if found is not None and found.policy_id != standing.id:
        raise NotFound("The policy has no such backtest.")
    return found


def _start(
    request: HttpRequest, standing: selectors.Standing, form: BacktestForm
) -> Backtest | None:
    try:
        return backtesting.start_backtest(
            rego_text=standing.newest.rego_text,
            days=form.cleaned_data["days"],
            policy_id=standing.id,
            by_member_id=principal_of(request).member_id,
            at=timezone.now(),
        )
    except DomainError as error:
        add_refusal(form, error)
        return None


def _shown(request: HttpRequest, found: Backtest) -> dict[str, Any]:
    return {
        "is_running": found.status == Backtest.Status.RUNNING,
        "url": request.get_full_path(),
        "days": found.days,
        "evaluated": found.evaluated,
        "without_input": found.without_input,
        "changed_count": found.changed_count,
        "is_cut": found.is_cut,
        "at": found.created_at,
        "changed": [
            _changed(request, change)
            for change in reading.told(principal_of(request), found.changed)
        ],
    }


def _changed(request: HttpRequest, change: Object) -> Object:
    were, would_be = (change.get(f"obligations_{verb}", {}) for verb in ("were", "would_be"))
    return {
        **change,
        "was": RESULT_WORDS[change["was"]],
        "would_be": RESULT_WORDS[change["would_be"]],
        "url": link(request, "policies:decision", change["decision"]),
        "obliged": (words_of(were), words_of(would_be)) if were != would_be else None,
    }
