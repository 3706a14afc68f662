from django.apps import AppConfig


class PoliciesConfig(AppConfig):
    name = "apps.policies"
    label = "policies"
    verbose_name = "Policies"

    def ready(self) -> None:
        from apps.approvals import registry
        from apps.common import health
        from apps.orgs import ruled
        from apps.policies import links
        from apps.policies.engine import checks
        from apps.policies.selectors import ACTIVATION, SETTINGS, is_any_in_force
        from apps.policies.services import approved, backtesting, retention, seeding
        from apps.tenants import provisioning, sweeping

        health.register("policies", checks.ask_engine, serves=False)
        activation = registry.Subject(
            "Activation of a policy", links.url_of_version, approved.on_activation_decided
        )
        settings = registry.Subject(
            "Settings of policies", links.url_of_settings, approved.on_settings_decided
        )
        registry.register(ACTIVATION, activation)
        registry.register(SETTINGS, settings)
        ruled.register(is_any_in_force)
        provisioning.on_provision(seeding.seed_policies)
        sweeping.every_visit(retention.sweep_inputs)
        sweeping.every_visit(backtesting.sweep_backtests)
