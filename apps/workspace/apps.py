from django.apps import AppConfig


class WorkspaceConfig(AppConfig):
    name = "apps.workspace"
    label = "workspace"

    def ready(self) -> None:
        from apps.common import system_state
        from apps.tenants import sweeping
        from apps.workspace import watching
        from apps.workspace.services import stats

        sweeping.every_visit(stats.count_org)
        system_state.watch("workers", watching.ask_workers)
