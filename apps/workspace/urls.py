"""The workspace's own pages, on an org's host."""

from django.urls import path

from apps.workspace import impersonation, searching
from apps.workspace.overview.views import overview

app_name = "workspace"
urlpatterns = [
    path("", overview, name="overview"),
    path("search/", searching.page, name="search"),
    path("impersonation/", impersonation.page, name="impersonation"),
]
