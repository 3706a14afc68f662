from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "apps.runs"
    label = "runs"
    verbose_name = "Runs"

    def ready(self) -> None:
        from apps.runs.services import control
        from apps.tenants import sweeping

        sweeping.every_visit(control.sweep_runs)
        sweeping.every_visit(control.forget_keys)
