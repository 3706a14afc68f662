"""The apex host: sign-up, account, operators, and the API for clients that carry a key."""

from __future__ import annotations

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from django.contrib import admin
from django.urls import include, path

from apps.tenants.views import widen_form_action
from config.urls.shared import handler400, handler403, handler404, handler500  # noqa: F401
from config.urls.shared import urlpatterns as shared

urlpatterns = [
    *shared,
    path("", include("apps.tenants.urls")),
    path("", include("apps.orgs.apex_urls")),
    path("account/login/", widen_form_action(account.login), name="account_login"),
    path("account/signup/", widen_form_action(account.signup), name="account_signup"),
    path("account/2fa/authenticate/", widen_form_action(mfa.authenticate), name="mfa_authenticate"),
    path("account/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("ui/", include("apps.workspace.gallery_urls")),
]
