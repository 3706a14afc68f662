from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "apps.approvals"
    label = "approvals"
    verbose_name = "Approvals"

    def ready(self) -> None:
        from apps.approvals.services import outcome
        from apps.tenants import sweeping

        sweeping.every_visit(outcome.sweep_approvals)
