"""The addresses below `/admin/orgs/<slug>/`; only the door (door.py) leads into them."""

from django.urls import path

from apps.workspace.operators.org_site import site

urlpatterns = [path("", site.urls)]
