from django.apps import AppConfig


class CommonConfig(AppConfig):
    name = "apps.common"
    label = "common"

    def ready(self) -> None:
        """Make the product's Celery application the current one in every process."""
        from config import celery  # noqa: F401
