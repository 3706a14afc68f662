"""Logs: JSON on stdout, or lines for people while DEBUG (LOG_FORMAT says otherwise)."""

from apps.common.logging import configure_structlog
from config import env

configure_structlog()

LOG_FORMAT = env.text("LOG_FORMAT", "json")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"route": {"()": "apps.common.logging.RouteInsteadOfPath"}},
    "formatters": {
        "json": {"()": "apps.common.logging.json_formatter"},
        "console": {"()": "apps.common.logging.console_formatter"},
    },
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": LOG_FORMAT,
        }
    },
    "root": {"handlers": ["stdout"], "level": env.text("LOG_LEVEL", "INFO")},
    "loggers": {
        # Replaces the handlers that Django brings, one of which would mail tracebacks to admins.
        "django": {"handlers": [], "propagate": True},
        # Only 5xx, which Django logs as errors: our own line says the rest, without the path.
        "django.request": {"level": "ERROR", "filters": ["route"], "propagate": True},
        # Their access logs hold whole query strings.
        "django.server": {"handlers": [], "propagate": False},
        "uvicorn.access": {"handlers": [], "propagate": False},
        "httpx": {"level": "WARNING"},
    },
}
