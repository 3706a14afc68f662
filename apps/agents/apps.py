from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "apps.agents"
    label = "agents"
    verbose_name = "Agents"

    def ready(self) -> None:
        from apps.agents.policy_targets import Directory
        from apps.agents.runtimes import base, builtin, http, llm
        from apps.agents.services import keys
        from apps.orgs import holders
        from apps.policies import places

        base.register(builtin.RUNTIME)
        base.register(http.RUNTIME)
        base.register(llm.RUNTIME)
        holders.register(keys.hold_agent)
        places.register(Directory())
