"""/v1: the same on every host. On the apex the API key says which org is meant."""

from __future__ import annotations

from django.urls import include, path

from apps.common import openapi

app_name = "api"
urlpatterns = [
    path("", include("apps.runs.api.urls")),  # the way of every invocation: no pattern before it
    path("", include("apps.agents.api.urls")),
    path("", include("apps.policies.api.urls")),
    path("", include("apps.orgs.api.urls")),
    path("", include("apps.approvals.api.urls")),
    path("", include("apps.notify.api.urls")),
    path("schema", openapi.schema_view, name="schema"),
    path("docs", openapi.docs_view, name="docs"),
]
