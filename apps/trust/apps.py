from django.apps import AppConfig


class TrustConfig(AppConfig):
    name = "apps.trust"
    label = "trust"

    def ready(self) -> None:
        from apps.tenants import apex_log, provisioning, sweeping
        from apps.trust.services import apex, copying, keys, refusals, retention, sealer

        apex_log.written_by(apex.write_apex_event)
        provisioning.on_provision(keys.seed_signing_key)
        sweeping.every_visit(refusals.sweep_tallies)
        sweeping.every_visit(sealer.sweep_seal)
        sweeping.every_visit(copying.sweep_copies)
        sweeping.every_visit(retention.sweep_retention)
