"""What both kinds of hosts answer, and how they answer when something is missing or breaks."""

from __future__ import annotations

from importlib.util import find_spec

from django.urls import include, path

from apps.common.problem import page_not_found as handler404
from apps.common.problem import server_error as handler500

urlpatterns = []
if find_spec("apps.common.health"):  # INTERIM
    from apps.common import health, metrics

    urlpatterns += [
        path("healthz", health.healthz),
        path("readyz", health.readyz),
        path("metrics", metrics.metrics_view),
    ]
if find_spec("config.urls.api"):  # INTERIM
    urlpatterns += [path("v1/", include("config.urls.api"))]
__all__ = ["handler404", "handler500", "urlpatterns"]
