from django.apps import AppConfig


class CommonConfig(AppConfig):
    name = "apps.common"
    label = "common"

    def ready(self) -> None:
        """Make the product's Celery application the current one everywhere, and watch its jobs."""
        from apps.common import metrics, telemetry
        from config import celery  # noqa: F401

        metrics.connect_job_signals()
        telemetry.connect_worker_signals()
