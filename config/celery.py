"""The Celery application of worker, provisioner and beat."""

import os
import warnings

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")

# `make run` may be root's (in a container of somebody's own); the product's image never is.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")

app = Celery("mandate", task_cls="apps.tenants.tasking:OrgTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
