"""One machine, no service from outside: what `make run` serves."""

from config.settings.base import *  # noqa: F403

DEBUG = True
DEMO = True
EGRESS_ALLOW_LOOPBACK = True
