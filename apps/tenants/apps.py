from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "apps.tenants"
    label = "tenants"
    verbose_name = "Organizations and people"

    def ready(self) -> None:
        from apps.common import health, jobs
        from apps.tenants import beat, checks, signals  # noqa: F401
        from apps.tenants.tasking import org_header

        jobs.carry(org_header)
        health.register("beat", beat.ask_beat, serves=False)
