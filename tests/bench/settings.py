"""The product as `make run` serves it, and two views beside it to measure against."""

from config.settings.dev import *  # noqa: F403

ROOT_URLCONF = "tests.bench.urls"
PUBLIC_SCHEMA_URLCONF = "tests.bench.urls"
API_RATE_LIMIT = API_RATE_LIMIT_ANONYMOUS = "1000000000/minute"

# As in production: no statement is kept for a debug page.
DEBUG = False
