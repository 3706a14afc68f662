"""/account/profile/: the name that others read, and the zone that times are written in."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.common.htmx import render_page_or_partial, see_other
from apps.tenants.access import user_id_of
from apps.tenants.forms import ProfileForm
from apps.tenants.services import profiles

TEMPLATE = "tenants/profile.html"


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def profile(request: HttpRequest) -> HttpResponse:
    """One's own facts; a POST changes them, here and in each of one's organizations."""
    user: Any = request.user
    form = ProfileForm(
        request.POST if request.method == "POST" else None,
        initial={"name": user.name, "time_zone": user.time_zone},
    )
    if form.is_bound and form.is_valid():
        if profiles.change_profile(
            user_id=user_id_of(request), **form.cleaned_data, at=timezone.now()
        ):
            messages.success(request, "Your profile was saved.")
        return see_other(reverse("tenants:profile"))
    status = 422 if form.is_bound else 200
    context = {"form": form, "now": timezone.now()}
    return render_page_or_partial(request, TEMPLATE, "form", context, status=status)
