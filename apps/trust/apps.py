from django.apps import AppConfig


class TrustConfig(AppConfig):
    name = "apps.trust"
    label = "trust"

    def ready(self) -> None:
        from apps.tenants import provisioning, sweeping
        from apps.trust.services import keys, refusals

        provisioning.on_provision(keys.seed_signing_key)
        sweeping.every_visit(refusals.sweep_tallies)
