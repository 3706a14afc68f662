"""This app's pages on an org's host."""

from django.urls import path

from apps.agents.views import (
    detail,
    grants,
    keys,
    listing,
    manifests,
    new,
    providers,
    settings,
    tools,
)

app_name = "agents"
urlpatterns = [
    path("agents/", listing.index, name="agents"),
    path("agents/new/", new.kind, name="new"),
    path("agents/new/details/", new.details, name="new_details"),
    path("agents/new/check/", new.check_step, name="new_check"),
    path("agents/new/register/", new.register, name="new_register"),
    path("agents/<str:ref>/", detail.overview, name="agent"),
    path("agents/<str:ref>/tools/", tools.index, name="tools"),
    path("agents/<str:ref>/tools/<str:name>/", tools.tool, name="tool"),
    path("agents/<str:ref>/tools/<str:name>/remove/", tools.remove, name="tool_remove"),
    path("agents/<str:ref>/grants/", grants.index, name="grants"),
    path("agents/<str:ref>/grants/<str:grant>/", grants.grant, name="grant"),
    path("agents/<str:ref>/grants/<str:grant>/revoke/", grants.revoke, name="grant_revoke"),
    path("agents/<str:ref>/keys/", keys.index, name="keys"),
    path("agents/<str:ref>/keys/<str:key>/revoke/", keys.revoke, name="key_revoke"),
    path("agents/<str:ref>/manifests/", manifests.index, name="manifests"),
    path("agents/<str:ref>/manifests/<int:version>/", manifests.manifest, name="manifest"),
    path("agents/<str:ref>/settings/", settings.index, name="settings"),
    path("agents/<str:ref>/activate/", settings.activate, name="activate"),
    path("agents/<str:ref>/suspend/", settings.suspend, name="suspend"),
    path("agents/<str:ref>/kill/", settings.kill, name="kill"),
    path("agents/<str:ref>/retire/", settings.retire, name="retire"),
    path("agents/<str:ref>/secret/", settings.secret, name="secret"),
    path("settings/models/", providers.index, name="models"),
    path("settings/models/prices/", providers.add_price, name="price_add"),
    path("settings/models/prices/<str:price>/remove/", providers.remove_price, name="price_remove"),
    path("settings/models/<str:provider>/", providers.provider, name="provider"),
    path("settings/models/<str:provider>/remove/", providers.remove, name="provider_remove"),
]
