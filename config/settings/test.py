"""The suite: its own embedded services, which tests/conftest.py points these settings at."""

import base64
import os
import sys

os.environ.setdefault("SECRET_KEY", "only-for-tests-and-long-enough-to-please-every-check-there-is")
os.environ.setdefault("MANDATE_KEK", base64.b64encode(bytes(range(32))).decode())
os.environ.setdefault("DATABASE_URL", "postgresql://mandate_app@127.0.0.1:1/none")
os.environ.setdefault("DATABASE_OWNER_URL", "postgresql://mandate_owner@127.0.0.1:1/none")
os.environ.setdefault("REDIS_URL", "redis://127.0.0.1:1/0")
# Tests of what happens at once hold more connections than a web process does.
os.environ.setdefault("DATABASE_POOL", "8")
# Nobody else sees the runs of a test's own transaction: who renews leases would find them lost.
os.environ.setdefault("RUN_LEASE_SECONDS", "300")

os.environ.setdefault("MANDATE_PROCESS", "web" if "pytest" in sys.modules else "command")

from config.settings.base import *  # noqa: E402, F403

# A pool as in web, and the owner's login as in the provisioner: the suite plays every part.
PROCESS = "command"
PUBLIC_URL = "http://localhost:8000"
APEX_HOST = "localhost"
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
# Who tests them says where they go.
CHECKPOINT_FOLDER = ""
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A machine that runs the suite is busy; what is about the deadline sets the real one.
POLICY_SECONDS = 3.0
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
# The whole suite is one address; what is about limits sets its own.
API_RATE_LIMIT = API_RATE_LIMIT_ANONYMOUS = DOMAIN_CHECK_RATE = "1000000/minute"
NOTIFY_TEST_RATE = "1000000/minute"
ACCOUNT_RATE_LIMITS = {
    "login": "10000/m/ip",
    "login_failed": "5/5m/key",
    "reset_password": "5/m/key",
}
