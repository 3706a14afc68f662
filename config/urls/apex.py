"""The apex host: sign-up, account, operators, and the API for clients that carry a key."""

from __future__ import annotations

from django.urls import include, path

from apps.workspace.operators.shared_site import site
from config.urls.shared import handler400, handler403, handler404, handler500  # noqa: F401
from config.urls.shared import urlpatterns as shared

urlpatterns = [
    *shared,
    path("", include("apps.tenants.urls")),
    path("", include("apps.orgs.apex_urls")),
    path("account/", include("apps.tenants.account_urls")),
    path("account/", include("allauth.urls")),
    path("admin/", include("apps.workspace.operators.urls")),
    path("admin/", site.urls),
    path("ui/", include("apps.workspace.gallery_urls")),
]
