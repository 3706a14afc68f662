"""The operators' addresses beside those of Django's admin."""

from django.urls import path

from apps.workspace.operators import door, impersonate, plans, system
from apps.workspace.operators.shared_site import site

app_name = "operators"
enter = site.admin_view(door.enter)
urlpatterns = [
    path("system/", site.admin_view(system.page), name="system"),
    path("impersonate/<slug:slug>/", site.admin_view(impersonate.page), name="impersonate"),
    path("plan/<slug:slug>/", site.admin_view(plans.page), name="plan"),
    path("orgs/<slug:slug>/", enter, name="org"),
    path("orgs/<slug:slug>/<path:rest>", enter, name="org_page"),
]
