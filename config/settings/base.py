"""What every environment shares. Values come from the environment by `config.env`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from config import env
from config.local.home import Home
from config.settings.parts.accounts import *  # noqa: F403
from config.settings.parts.apps import *  # noqa: F403
from config.settings.parts.celery import *  # noqa: F403
from config.settings.parts.checkpoints import *  # noqa: F403
from config.settings.parts.databases import *  # noqa: F403
from config.settings.parts.dns import *  # noqa: F403
from config.settings.parts.egress import *  # noqa: F403
from config.settings.parts.logging import *  # noqa: F403
from config.settings.parts.pages import *  # noqa: F403
from config.settings.parts.policies import *  # noqa: F403
from config.settings.parts.ratelimit import *  # noqa: F403
from config.settings.parts.rest import *  # noqa: F403
from config.settings.parts.runs import *  # noqa: F403
from config.settings.parts.telemetry import *  # noqa: F403

BASE_DIR = Path(__file__).resolve().parent.parent.parent
MANDATE_HOME = Home.of().path

DEBUG = False
SECRET_KEY = env.text("SECRET_KEY")
MANDATE_KEK = env.key_bytes("MANDATE_KEK", 32)
MANDATE_KEK_PREVIOUS = env.many_keys("MANDATE_KEK_PREVIOUS", 32)

PORT = env.integer("PORT", 8000, least=1)
PUBLIC_URL = env.text("PUBLIC_URL", f"http://localhost:{PORT}").rstrip("/")
APEX_HOST = urlsplit(PUBLIC_URL).hostname or ""
# Orgs may bring a host of their own (tenants.Domain), so the tenant middleware decides: a host that
# is neither the apex nor an org's is answered 404 before anything reads it.
ALLOWED_HOSTS = ["*"]

ROOT_URLCONF = "config.urls.org"
PUBLIC_SCHEMA_URLCONF = "config.urls.apex"
ASGI_APPLICATION = "config.asgi.application"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
# As pages write times; the operators' sites format their own.
DATE_FORMAT = "M j, Y"
TIME_FORMAT = "H:i"
DATETIME_FORMAT = "M j, Y, H:i"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SILENCED_SYSTEM_CHECKS: list[str] = []

EMAIL_BACKEND = "apps.tenants.mail.FileBackend"
EMAIL_FILE_PATH = MANDATE_HOME / "mail"
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", f"Mandate <no-reply@{APEX_HOST}>")
if env.text("EMAIL_HOST", "-") != "-":
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    EMAIL_HOST = env.text("EMAIL_HOST")
    EMAIL_PORT = env.integer("EMAIL_PORT", 587, least=1)
    EMAIL_HOST_USER = env.text("EMAIL_HOST_USER", "") or ""
    EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD", "") or ""
    EMAIL_USE_TLS = env.boolean("EMAIL_USE_TLS", True)

# Whom people are told to ask when only an operator can help; empty where they know it anyway.
SUPPORT_EMAIL = env.text("SUPPORT_EMAIL", "")

DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DEMO = False
PRODUCTION = False
