"""The two logins: `default` does DML for requests and tasks; `owner` exists only where it may."""

from __future__ import annotations

import os

from config import env

# What this process is: web, worker, provisioner, beat, or a command. web, worker and beat must not
# even know the owner's login: a system check refuses it there.
PROCESS = os.environ.get("MANDATE_PROCESS", "command")

# Few connections serve the hot path best: each is a process of Postgres with caches of its own, and
# more than the cores can run at once only take them from each other (measured). Only web shares a
# pool between threads; a worker's process has one thread and keeps its connection.
POOL = {"min_size": 1, "max_size": env.integer("DATABASE_POOL", 4, least=1), "timeout": 10}
DATABASES = {
    "default": env.database(
        env.text("DATABASE_URL"),
        OPTIONS={"pool": POOL} if PROCESS == "web" else {},
        CONN_MAX_AGE=0 if PROCESS in {"web", "command"} else None,
    )
}
if owner_url := os.environ.get("DATABASE_OWNER_URL"):
    DATABASES["owner"] = env.database(owner_url)

REDIS_URL = env.text("REDIS_URL")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_FUNCTION": "apps.tenants.cache.org_key",
    }
}
