"""Thumbs up or down on a run's page."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from apps.common.htmx import see_other, wants_partial
from apps.common.ids import parse_id, public_id
from apps.common.links import link
from apps.orgs.pages import needs, principal_of
from apps.runs import selectors
from apps.runs.errors import RUN
from apps.runs.forms import FeedbackForm
from apps.runs.presenting import run_url
from apps.runs.reading import shown_to
from apps.runs.services.feedback import give_feedback, take_feedback_back

LATEST: Final = 20
CARD: Final = "runs/_feedback.html"
PAGE: Final = "runs/feedback.html"


@require_POST
@never_cache
@needs("runs.view", "agents.invoke")
def give(request: HttpRequest, ref: str) -> HttpResponse:
    """Keep what this person thinks of a run."""
    run = selectors.get_run(parse_id(RUN, ref))
    form = FeedbackForm(request.POST)
    if not form.is_valid():
        return _refused(request, run, form)
    give_feedback(
        run_id=run.id,
        **form.cleaned_data,
        actor=principal_of(request).actor,
        at=timezone.now(),
    )
    return _done(request, run.id, "Your feedback was saved.")


@require_POST
@never_cache
@needs("runs.view", "agents.invoke")
def take_back(request: HttpRequest, ref: str) -> HttpResponse:
    """Delete this person's own."""
    run = selectors.get_run(parse_id(RUN, ref))
    take_feedback_back(run_id=run.id, actor=principal_of(request).actor, at=timezone.now())
    return _done(request, run.id, "Your feedback was taken back.")


def feedback_card(
    request: HttpRequest, run_id: UUID, form: FeedbackForm | None = None
) -> dict[str, Any]:
    """What the card shows: all that is thought of the run, and the form with one's own."""
    principal, ref = principal_of(request), public_id(RUN, run_id)
    found = selectors.get_feedback(run_id, principal=principal.actor.principal, limit=LATEST)
    own = found.own
    initial = {"rating": own.rating, "comment": own.comment} if own else None
    return {
        "found": found,
        "form": form or FeedbackForm(initial=initial),
        "can_give": principal.may("agents.invoke"),
        "give_url": link(request, "runs:feedback", ref),
        "take_back_url": link(request, "runs:feedback_take_back", ref),
    }


def _done(request: HttpRequest, run_id: UUID, text: str) -> HttpResponse:
    """The card as it is now; without scripts, the run's page."""
    if wants_partial(request):
        return render(request, CARD, {"feedback": feedback_card(request, run_id)})
    messages.success(request, text)
    return see_other(run_url(request, run_id))


def _refused(request: HttpRequest, run: selectors.RunView, form: FeedbackForm) -> HttpResponse:
    context = {
        "feedback": feedback_card(request, run.id, form),
        "crumbs": [
            ("Runs", link(request, "runs:runs")),
            (shown_to(principal_of(request), run).title, run_url(request, run.id)),
            ("Feedback", None),
        ],
    }
    return render(request, CARD if wants_partial(request) else PAGE, context, status=422)
