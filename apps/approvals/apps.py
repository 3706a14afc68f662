from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "apps.approvals"
    label = "approvals"
    verbose_name = "Approvals"

    def ready(self) -> None:
        from apps.approvals import selectors
        from apps.approvals.services import notices, outcome
        from apps.notify import kinds
        from apps.orgs import beside, role_uses
        from apps.tenants import sweeping

        kinds.register(*notices.KINDS)
        beside.bring(selectors.WAITING, selectors.waiting_of_member())
        role_uses.register(selectors.use_of_role)
        sweeping.every_visit(outcome.sweep_approvals)
