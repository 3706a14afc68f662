from django.apps import AppConfig


class TrustConfig(AppConfig):
    name = "apps.trust"
    label = "trust"

    def ready(self) -> None:
        from apps.tenants import apex_log, provisioning, sweeping
        from apps.trust.services import apex, keys, refusals

        apex_log.written_by(apex.write_apex_event)
        provisioning.on_provision(keys.seed_signing_key)
        sweeping.every_visit(refusals.sweep_tallies)
