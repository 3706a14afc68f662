from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "apps.runs"
    label = "runs"
    verbose_name = "Runs"

    def ready(self) -> None:
        from apps.agents import activity, pages
        from apps.agents.services import kill_switch
        from apps.orgs import demo
        from apps.runs.demo import seed_agents
        from apps.runs.demo_history import seed_history
        from apps.runs.presenting import RunActivity
        from apps.runs.services import control
        from apps.tenants import sweeping

        activity.register(RunActivity())
        pages.add_tab(pages.Tab(20, "Try it", "runs:try", "agents.invoke"))
        pages.add_tab(pages.Tab(40, "Runs", "runs:of_agent", "runs.view"))
        demo.on_demo(seed_agents)
        demo.on_demo(seed_history)
        kill_switch.on_kill(control.stop_runs_of_agent)
        sweeping.every_visit(control.sweep_runs)
        sweeping.every_visit(control.forget_keys)
