"""The Celery application of worker and provisioner."""

import os
import warnings
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")

# `make run` may be root's (in a container of somebody's own); the product's image never is.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")

app = Celery("mandate", task_cls="apps.tenants.tasking:OrgTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.import_modules.connect(sender=app, weak=False)
def refuse_contradictions(**_: Any) -> None:
    """Workers look once more before they serve, as web does; Celery raises what this does.

    Celery's own look at the system checks doesn't act on what they find.
    """
    from django.conf import settings

    from config import serving

    if settings.PROCESS not in {"web", "beat"}:  # which look when they start, and only send
        serving.refuse_contradictions()
