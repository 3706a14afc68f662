"""The product as `make run` serves it, with three kinds of agents more (tests.proof.extra).

Neither the host's rate nor its breaker may end what the fence has to end.
"""

from config.settings.dev import *  # noqa: F403

INSTALLED_APPS += ["tests.proof.extra"]  # noqa: F405
EGRESS_RATE = "1000000/minute"
EGRESS_BREAKER_FAILURES = 1_000_000
STREAMS_A_PRINCIPAL = 1000
API_RATE_LIMIT = API_RATE_LIMIT_ANONYMOUS = "1000000/minute"
