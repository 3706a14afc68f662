"""This app's part of /v1."""

from __future__ import annotations

from django.urls import path

from apps.notify.api import views

urlpatterns = [
    path("notices", views.NoticesView.as_view(), name="notices"),
    path("notices/read", views.AllReadView.as_view(), name="notices_read"),
    path("notices/test", views.NoticeTestView.as_view(), name="notices_test"),
    path("notices/<str:notice>/read", views.NoticeReadView.as_view(), name="notice_read"),
    path(
        "notification-preferences", views.PreferencesView.as_view(), name="notification_preferences"
    ),
    path("channels", views.ChannelsView.as_view(), name="channels"),
    path("channels/<str:channel>", views.ChannelView.as_view(), name="channel"),
    path("channels/<str:channel>/test", views.ChannelTestView.as_view(), name="channel_test"),
    path(
        "channels/<str:channel>/deliveries",
        views.DeliveriesView.as_view(),
        name="channel_deliveries",
    ),
]
