"""Sign-in: allauth on the apex, our sessions, cookie names that ports don't share."""

from __future__ import annotations

from config import env

AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

SESSION_ENGINE = "apps.tenants.sessions"
SESSION_COOKIE_AGE = 14 * 24 * 3600
# Cookies know no ports: two instances on one machine must not overwrite each other's.
SESSION_COOKIE_NAME = f"mandate-{env.text('PORT')}"
CSRF_COOKIE_NAME = f"mandate-csrf-{env.text('PORT')}"
NONCE_COOKIE_NAME = f"mandate-nonce-{env.text('PORT')}"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "apps.common.problem.csrf_failure"

LOGIN_URL = "/account/login/"
LOGIN_REDIRECT_URL = "/account/"
ACCOUNT_ADAPTER = "apps.tenants.adapter.AccountAdapter"
ACCOUNT_SIGNUP_FORM_CLASS = "apps.tenants.forms.SignupForm"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
# How long a proof of who one is counts for what needs a fresh one: factors, keys, roles, closing.
STEP_UP_SECONDS = env.integer("STEP_UP_SECONDS", 600, least=60)
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = STEP_UP_SECONDS
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_DEFAULT_HTTP_PROTOCOL = env.text("PUBLIC_URL", "http://").split(":", 1)[0]
USERSESSIONS_TRACK_ACTIVITY = True
USERSESSIONS_ADAPTER = "apps.tenants.adapter.SessionsAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
# A passkey can't be guessed; an office behind one address signs in together. Counts both its steps.
MFA_RATE_LIMITS = {"webauthn_login": "60/m/ip"}
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_FORMS = {
    "add_webauthn": "apps.tenants.passkeys.PasskeyForm",
    "edit_webauthn": "apps.tenants.passkeys.RenameForm",
    "login_webauthn": "apps.tenants.passkeys.SignInForm",
    "authenticate_webauthn": "apps.tenants.passkeys.SecondStepForm",
    "reauthenticate_webauthn": "apps.tenants.passkeys.ProofForm",
}
MFA_TOTP_ISSUER = "Mandate"
MFA_ADAPTER = "apps.tenants.adapter.MFAAdapter"
