"""This app's pages on an org's host."""

from django.urls import path

from apps.runs.views import console, detail, feedback, listing, saved

app_name = "runs"
urlpatterns = [
    path("runs/", listing.index, name="runs"),
    path("runs/export/", saved.export, name="export"),
    path("runs/views/", saved.views, name="views"),
    path("runs/views/<str:ref>/", saved.view, name="view"),
    path("runs/views/<str:ref>/delete/", saved.remove, name="view_delete"),
    path("runs/<str:ref>/", detail.detail, name="run"),
    path("runs/<str:ref>/events/", detail.events, name="events"),
    path("runs/<str:ref>/feedback/", feedback.give, name="feedback"),
    path("runs/<str:ref>/feedback/remove/", feedback.take_back, name="feedback_take_back"),
    path("runs/<str:ref>/cancel/", detail.cancel, name="cancel"),
    path("agents/<str:ref>/try/", console.console, name="try"),
    path("agents/<str:ref>/runs/", listing.of_agent, name="of_agent"),
]
