"""This app's pages on an org's host."""

from django.urls import path

from apps.notify.views import channel, channels, inbox, preferences

app_name = "notify"
urlpatterns = [
    path("notifications/", inbox.index, name="inbox"),
    path("notifications/read/", inbox.read_all, name="read_all"),
    path("notifications/settings/", preferences.index, name="preferences"),
    path("notifications/settings/test/", preferences.test, name="test"),
    path("notifications/channels/", channels.own, name="channels"),
    path("notifications/channels/<str:ref>/", channel.detail, name="channel"),
    path("notifications/channels/<str:ref>/test/", channel.test, name="channel_test"),
    path("notifications/channels/<str:ref>/pause/", channel.pause, name="channel_pause"),
    path("notifications/channels/<str:ref>/resume/", channel.resume, name="channel_resume"),
    path("notifications/channels/<str:ref>/remove/", channel.remove, name="channel_remove"),
    path("notifications/<str:ref>/open/", inbox.open_subject, name="open"),
    path("notifications/<str:ref>/read/", inbox.read, name="read"),
    path("settings/notifications/", channels.of_org, name="org_channels"),
]
