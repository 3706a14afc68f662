"""Account pages of allauth that we hold differently; what isn't here is as allauth has it.

Adding and removing a factor and its record are one transaction, and so is choosing another primary
address: what can't be recorded doesn't happen. Pages whose form may end on an org's host say so to
the browser.
"""

from __future__ import annotations

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from django.db.transaction import atomic
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.generic import RedirectView

from apps.tenants.passkeys import Prove, SignIn
from apps.tenants.views import widen_form_action

to_security = RedirectView.as_view(pattern_name="tenants:security")
KEY = "2fa/webauthn/keys/<int:pk>"

urlpatterns = [
    path("login/", widen_form_action(account.login), name="account_login"),
    path("signup/", widen_form_action(account.signup), name="account_signup"),
    path(
        "reauthenticate/", widen_form_action(account.reauthenticate), name="account_reauthenticate"
    ),
    path("email/", atomic(account.email), name="account_email"),
    path("2fa/", to_security, name="mfa_index"),
    path("2fa/authenticate/", widen_form_action(mfa.authenticate), name="mfa_authenticate"),
    path("2fa/reauthenticate/", widen_form_action(mfa.reauthenticate), name="mfa_reauthenticate"),
    path("2fa/totp/activate/", atomic(totp.activate_totp), name="mfa_activate_totp"),
    path("2fa/totp/deactivate/", atomic(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path(
        "2fa/recovery-codes/",
        never_cache(recovery.view_recovery_codes),
        name="mfa_view_recovery_codes",
    ),
    path("2fa/webauthn/", to_security, name="mfa_list_webauthn"),
    path("2fa/webauthn/login/", SignIn.as_view(), name="mfa_login_webauthn"),
    path("2fa/webauthn/add/", atomic(webauthn.add_webauthn), name="mfa_add_webauthn"),
    path(
        "2fa/webauthn/reauthenticate/",
        widen_form_action(Prove.as_view()),
        name="mfa_reauthenticate_webauthn",
    ),
    path(f"{KEY}/remove/", atomic(webauthn.remove_webauthn), name="mfa_remove_webauthn"),
]
