"""The apex's pages of this app."""

from django.urls import path

from apps.tenants import dev_mail, profile_views, views

app_name = "tenants"
urlpatterns = [
    path("", views.landing, name="landing"),
    path("account/", views.home, name="home"),
    path("account/profile/", profile_views.profile, name="profile"),
    path("account/security/", views.security, name="security"),
    path("account/handover/", views.handover, name="handover"),
    path("account/orgs/new/", views.new_org, name="new_org"),
    path("account/orgs/<slug:slug>/", views.provisioning, name="provisioning"),
    path("account/orgs/<slug:slug>/retry/", views.retry, name="retry"),
    path("account/sessions/<int:session_id>/end/", views.end_session, name="end_session"),
    path("dev/mail/", dev_mail.listing, name="dev_mail"),
    path("dev/mail/<str:name>/", dev_mail.detail, name="dev_mail_detail"),
]
