from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "apps.agents"
    label = "agents"
    verbose_name = "Agents"

    def ready(self) -> None:
        from apps.agents.runtimes import base, builtin, http

        base.register(builtin.RUNTIME)
        base.register(http.RUNTIME)
