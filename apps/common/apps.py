from django.apps import AppConfig


class CommonConfig(AppConfig):
    name = "apps.common"
    label = "common"

    def ready(self) -> None:
        """Make the product's Celery application the current one everywhere, and count jobs."""
        from apps.common import metrics
        from config import celery  # noqa: F401

        metrics.connect_job_signals()
