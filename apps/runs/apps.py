from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "apps.runs"
    label = "runs"
    verbose_name = "Runs"

    def ready(self) -> None:
        from apps.agents import activity, pages
        from apps.agents.services import kill_switch
        from apps.approvals import registry as approvals
        from apps.orgs import demo
        from apps.policies.decisions import find_altered
        from apps.runs import records as own
        from apps.runs.demo import seed_agents
        from apps.runs.demo_history import seed_history
        from apps.runs.errors import DECISION, RUN
        from apps.runs.presenting import RunActivity, run_path
        from apps.runs.services import control, resuming, sealing, waiting
        from apps.tenants import sweeping
        from apps.trust import records

        activity.register(RunActivity())
        pages.add_tab(pages.Tab(20, "Try it", "runs:try", "agents.invoke"))
        pages.add_tab(pages.Tab(40, "Runs", "runs:of_agent", "runs.view"))
        demo.on_demo(seed_agents)
        demo.on_demo(seed_history)
        kill_switch.on_kill(control.stop_runs_of_agent)
        sweeping.every_visit(control.sweep_runs)
        sweeping.every_visit(control.forget_keys)
        sweeping.every_visit(sealing.erase_sealed)
        subject = approvals.Subject("Run", run_path, resuming.on_decided, prefix="run")
        approvals.register(waiting.SUBJECT, subject)
        run = records.Kind(RUN, own.tell_runs, own.find_unleft_runs, "runs.view")
        records.register("run", run)
        decision = records.Kind(
            DECISION,
            own.tell_decisions,
            own.find_unleft_decisions,
            "decisions.view",
            find_altered,
        )
        records.register("decision", decision)
