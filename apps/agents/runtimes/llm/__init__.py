"""The `llm` runtime: an agent that is a language model with instructions and tools.

What the model asks for is done by this process or not at all. Its tools are those of other agents
that the agent holds a grant for, each call of which is a governed run of its own, and endpoints
that its owner names, which get signed calls. pydantic-ai, which speaks the providers' APIs, takes
seconds to import, so only an execution imports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from apps.agents.runtimes.base import CallContext, Invocation
from apps.agents.runtimes.llm.config import checked
from apps.common.json import Object

_TEXT: Final = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


class LlmRuntime:
    """Config: see docs/models.md; which provider's model, and what it is told."""

    kind = "llm"
    signs = True
    offers: Sequence[Mapping[str, Any]] = (
        {
            "name": "chat",
            "description": "Answers a text.",
            "input_schema": _TEXT,
            "output_schema": _TEXT,
        },
    )

    def check_config(self, config: Mapping[str, Any]) -> Object:
        return checked(config)

    def waits(self, config: Object) -> bool:
        return True

    def tools(self, config: Object) -> None:
        return None

    def is_long(self, config: Object) -> bool:
        return True

    def run(self, invocation: Invocation, ctx: CallContext) -> Object:
        from apps.agents.runtimes.llm.talk import Talk

        return Talk(invocation, ctx).run()


RUNTIME: Final = LlmRuntime()
