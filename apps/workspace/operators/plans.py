"""An operator puts an org on another plan, and says why."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from apps.common.errors import Invalid, PermissionDenied
from apps.common.forms import add_refusal
from apps.common.htmx import see_other
from apps.tenants.models import Org
from apps.tenants.services.plans import change_plan
from apps.workspace.forms import PlanForm
from apps.workspace.operators.base import operator


@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest, slug: str) -> HttpResponse:
    """Which plan, and why. Raises PermissionDenied for who may look at orgs only."""
    if not request.user.has_perm("tenants.change_org"):
        raise PermissionDenied("This takes the permission to change organizations.")
    org = Org.objects.select_related("plan").filter(slug=slug).first()
    if org is None or org.state == Org.State.ERASED:
        raise Http404
    is_sent = request.method == "POST"
    form = PlanForm(request.POST if is_sent else None, initial={"plan": org.plan_id})
    if is_sent and form.is_valid() and _change(request, org, form):
        return see_other(reverse("admin:tenants_org_change", args=[org.pk]))
    context = {"form": form, "org": org}
    return render(request, "operators/plan.html", context, status=422 if is_sent else 200)


def _change(request: HttpRequest, org: Org, form: PlanForm) -> bool:
    plan = form.cleaned_data["plan"]
    try:
        change_plan(
            org_id=org.pk,
            plan_id=plan.pk,
            reason=form.cleaned_data["reason"],
            actor=operator(request),
            at=timezone.now(),
        )
    except Invalid as error:
        add_refusal(form, error)
        return False
    messages.success(request, f"{org.slug} is on the plan {plan.name} now.")
    return True
