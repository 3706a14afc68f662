"""How many requests an API key may make, and an address without one."""

from config import env

API_RATE_LIMIT = env.text("API_RATE_LIMIT", "600/minute")
API_RATE_LIMIT_ANONYMOUS = env.text("API_RATE_LIMIT_ANONYMOUS", "120/minute")

# Tests of notices and channels, a caller: each makes the product write to somebody else's server.
NOTIFY_TEST_RATE = env.text("NOTIFY_TEST_RATE", "20/10minutes")
