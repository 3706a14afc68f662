"""An org's host: its workspace, its API, and what it publishes."""

from __future__ import annotations

from django.urls import include, path

from apps.tenants import org_views
from apps.trust.api import jwks_view
from config.urls.shared import handler400, handler403, handler404, handler500  # noqa: F401
from config.urls.shared import urlpatterns as shared

urlpatterns = [
    *shared,
    path("login", org_views.start, name="login"),
    path("session", org_views.finish, name="session"),
    path("confirm/", org_views.confirm, name="confirm"),
    path("logout", org_views.leave, name="logout"),
    path("signed-out", org_views.signed_out, name="signed_out"),
    path(".well-known/jwks.json", jwks_view, name="jwks"),
    path("", include("apps.workspace.urls")),
    path("", include("apps.orgs.urls")),
    path("", include("apps.approvals.urls")),
    path("", include("apps.notify.urls")),
    path("", include("apps.runs.urls")),
    path("", include("apps.agents.urls")),
    path("", include("apps.policies.urls")),
]
