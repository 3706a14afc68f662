"""Celery: tasks are named, carry their org in a header, and lose nothing when Valkey is flushed."""

from config import env

CELERY_BROKER_URL = env.text("REDIS_URL")
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = env.text("QUEUE_DEFAULT")
CELERY_TASK_ROUTES = {
    name: {"queue": env.text("QUEUE_PROVISIONER")}
    for name in (
        *("tenants.provision_org", "tenants.migrate_org", "tenants.erase_org"),
        "trust.erase_audit",
    )
}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600}

# A worker's connection serves so many tasks before it is replaced: it remembers every schema it
# touched (about 1 MB each, measured), and opening one costs more than most tasks.
CELERY_DB_REUSE_MAX = 100
