from django.apps import AppConfig


class ExtraConfig(AppConfig):
    name = "tests.proof.extra"
    label = "extra"

    def ready(self) -> None:
        from apps.agents.runtimes import base
        from tests.proof.extra.runtimes import BUSY, RELAY, TELLER

        base.register(BUSY)
        base.register(RELAY)
        base.register(TELLER)
