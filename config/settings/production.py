"""Behind TLS. Contradictions are system checks (apps.tenants.checks), run before serving."""

from config import env
from config.settings.base import *  # noqa: F403

PRODUCTION = True
SESSION_COOKIE_NAME = "__Host-mandate"
CSRF_COOKIE_NAME = "__Host-mandate-csrf"
NONCE_COOKIE_NAME = "__Host-mandate-nonce"
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_SSL_REDIRECT = env.boolean("SECURE_SSL_REDIRECT", True)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
STATIC_ROOT = BASE_DIR / ".static"  # noqa: F405
WHITENOISE_USE_FINDERS = False
