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
        from apps.policies.selectors import (
            ACTIVATION,
            ATTACHING,
            POLICY,
            RETIREMENT,
            SETTINGS,
            is_any_in_force,
        )
        from apps.policies.services import (
            activating,
            approved,
            attaching,
            backtesting,
            policies,
            retention,
            seconding,
            seeding,
            settings,
        )
        from apps.tenants import provisioning, sweeping

        health.register("policies", checks.ask_engine, serves=False)
        seconding.register("policy.activate", activating.find_activation)
        seconding.register("policy.attach", attaching.find_attaching)
        seconding.register("policy.detach", attaching.find_detaching)
        seconding.register("policy.retire", policies.find_retirement)
        seconding.register("policy.settings.change", settings.find_change)
        follow = approved.on_change_decided
        for kind, label, url, prefix in (
            (ACTIVATION, "Activation of a policy", links.url_of_version, ""),
            (ATTACHING, "Attachment of a policy", links.url_of_policy, POLICY),
            (RETIREMENT, "Retirement of a policy", links.url_of_policy, POLICY),
            (SETTINGS, "Settings of policies", links.url_of_settings, ""),
        ):
            registry.register(kind, registry.Subject(label, url, follow, prefix))
        ruled.register(is_any_in_force)
        provisioning.on_provision(seeding.seed_policies)
        sweeping.every_visit(retention.sweep_inputs)
        sweeping.every_visit(backtesting.sweep_backtests)
