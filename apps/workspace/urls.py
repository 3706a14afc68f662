"""The workspace's own pages, on an org's host."""

from django.urls import path

from apps.workspace import searching, views

app_name = "workspace"
urlpatterns = [
    path("", views.overview, name="overview"),
    path("search/", searching.page, name="search"),
]
