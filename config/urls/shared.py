"""What both kinds of hosts answer, and how they answer when something is missing or breaks."""

from __future__ import annotations

from django.urls import include, path

from apps.common import health, metrics
from apps.common.problem import bad_request as handler400
from apps.common.problem import page_not_found as handler404
from apps.common.problem import permission_denied as handler403
from apps.common.problem import server_error as handler500
from apps.workspace import status

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics_view),
    path("status/", status.page, name="status"),
    path("v1/", include("config.urls.api")),
]
__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]
