"""Agents that no builtin is: one that calls outside again and again, one that calls another, and
one that tells what it does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from apps.agents.runtimes.base import ANYTHING, CallContext, Invocation
from apps.common import egress
from apps.common.ids import public_id
from apps.common.json import Object
from apps.tenants import keys


class Declared:
    """What both have in common: their tools are their owner's to declare, and they wait."""

    signs = False
    offers = ANYTHING

    def check_config(self, config: Mapping[str, Any]) -> Object:
        return dict(config)

    def waits(self, config: Object) -> bool:
        return True

    def is_long(self, config: Object) -> bool:
        return False

    def tools(self, config: Object) -> None:
        return None


class Busy(Declared):
    """Config: `{"url", "calls"}`; calls the URL so often, one call after the other."""

    kind = "busy"

    def run(self, invocation: Invocation, ctx: CallContext) -> Object:
        for number in range(invocation.config["calls"]):
            ctx.call_tool(
                name=f"call {number}",
                input=invocation.input,
                call=lambda key: _post(invocation, key, ctx),
            )
        return {"calls": invocation.config["calls"]}


class Relay(Declared):
    """Config: `{"callee"}`; has that agent do what it is asked itself, and answers the same."""

    kind = "relay"

    def run(self, invocation: Invocation, ctx: CallContext) -> Object:
        return ctx.call_agent(
            agent=invocation.config["callee"], tool=invocation.tool, input=invocation.input
        )


class Teller(Declared):
    """Config: `{"parts", "pause_ms"}`; says so many words, with a step and a log line each ten."""

    kind = "teller"

    def run(self, invocation: Invocation, ctx: CallContext) -> Object:
        said = [f"word {number} " for number in range(invocation.config["parts"])]
        for number, word in enumerate(said):
            ctx.delta(word)
            if number % 10 == 9:
                ctx.log("info", f"{number + 1} words")
                with ctx.step("breathe"):
                    pass
            time.sleep(invocation.config["pause_ms"] / 1000)
        return {"text": "".join(said)}


def _post(invocation: Invocation, key: str, ctx: CallContext) -> Object:
    egress.request(
        "POST",
        invocation.config["url"],
        scope=keys.current().schema,
        json={
            "run": public_id("run", invocation.run_id),
            "attempt": invocation.attempt,
            "input": invocation.input,
        },
        timeout=ctx.remaining(),
        idempotency_key=key,
        allow_http=True,
        before_retry=ctx.make_sure,
    )
    return {}


BUSY: Final = Busy()
RELAY: Final = Relay()
TELLER: Final = Teller()
