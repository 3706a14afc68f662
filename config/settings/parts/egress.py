"""Limits of the one client that calls addresses named by people and agents (apps.common.egress)."""

from config import env

# Lets requests reach this machine. For development and tests, where the partners of the product
# run on loopback; production leaves it off.
EGRESS_ALLOW_LOOPBACK = False

# Networks that are public by number but internal to this installation: its own public ranges, or
# a site's NAT64 prefix (RFC 6052 §2.2), which can't be told from an ordinary IPv6 network.
EGRESS_FORBIDDEN_NETWORKS: tuple[str, ...] = ()

# Where language models may be called although egress would refuse the address: servers in the
# installation's own network. Its operators vouch for them, for every org; nothing else goes there.
EGRESS_MODEL_ORIGINS = tuple(env.origins("MODEL_ORIGINS"))

# Caps of one request: the whole of it (name lookup, redirects and retries included), the opening
# of a connection, and the response's body both as sent and after decompression.
EGRESS_TIMEOUT_SECONDS = 10.0
EGRESS_CONNECT_SECONDS = 4.0
EGRESS_MAX_BYTES = 1024 * 1024

# Requests from one scope (an org) to one host, counted in each process.
EGRESS_RATE = "300/minute"

# So many failures in a row and a host is left alone for so long, for that scope only.
EGRESS_BREAKER_FAILURES = 5
EGRESS_BREAKER_SECONDS = 30.0

# Tries of a request that carries an idempotency key; without a key there is only one.
EGRESS_ATTEMPTS = 3
