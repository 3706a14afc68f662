from django.apps import AppConfig


class PoliciesConfig(AppConfig):
    name = "apps.policies"
    label = "policies"
    verbose_name = "Policies"

    def ready(self) -> None:
        from apps.common import health
        from apps.policies.engine import checks

        health.register("policies", checks.ask_engine, serves=False)
