"""This app's pages on the apex."""

from django.urls import path

from apps.orgs.views import apex

app_name = "orgs_apex"
urlpatterns = [
    path("invitations/<str:token>/", apex.invitation, name="invitation"),
    path("account/orgs/<slug:slug>/reopen/", apex.reopen, name="reopen"),
]
