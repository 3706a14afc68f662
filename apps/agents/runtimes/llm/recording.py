"""What of a conversation with a model stands on record: each thing said once, without times."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from apps.common.json import Object, as_kept
from apps.trust.canonical import dumps

DIGITS: Final = 16


def said(messages: Sequence[ModelMessage]) -> list[Object]:
    """Messages as they stand in a step; only what is the same in another attempt."""
    return [entry for message in messages for entry in _entries(message)]


def answered(response: ModelResponse, *, redact: bool) -> Object:
    """An answer as it stands in a step; redacted, it tells what was done and not what was said."""
    usage = response.usage
    facts: Object = {
        "finish_reason": response.finish_reason,
        "usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens},
    }
    kept: Object = as_kept({**facts, **_of_model(response)})
    return redacted(kept) if redact else kept


def redacted(record: Object) -> Object:
    """A request or an answer as it stands in a step of which nobody may read what was said."""
    if "messages" in record:
        return {**record, "messages": len(record["messages"])}
    facts = {name: record[name] for name in ("finish_reason", "usage")}
    return {**facts, "tool_calls": [call["tool"] for call in record.get("tool_calls", ())]}


def recalled(answer: Object, turn: int) -> ModelResponse:
    """An answer from what stands in its step, whole: the run's nth.

    Its calls are named by turn and number, for Anthropic refuses a conversation in which an ID
    stands twice, and Mistral one that isn't nine letters and digits.
    """
    calls = [
        ToolCallPart(call["tool"], call["input"], f"call{turn:03}{number:02}")
        for number, call in enumerate(answer.get("tool_calls", ()))
    ]
    text = [TextPart(answer["text"])] if answer["text"] else []
    usage = RequestUsage(**answer["usage"])
    return ModelResponse([*text, *calls], usage=usage, finish_reason=answer["finish_reason"])


def asked(
    model: str, messages: Sequence[ModelMessage], tools: Sequence[str], *, redact: bool
) -> Object:
    """A request as it stands in a step: what was said since the last one."""
    facts: Object = {"model": model, "tools": list(tools), "messages": said(messages)}
    kept: Object = as_kept(facts)
    return redacted(kept) if redact else kept


def digest(messages: Sequence[ModelMessage]) -> str:
    """Tells a request from every other one of the same place in the run."""
    spoken = [message.instructions for message in messages if isinstance(message, ModelRequest)]
    text = dumps(as_kept([spoken[:1], said(messages)]))
    return hashlib.sha256(text).hexdigest()[:DIGITS]


def _entries(message: ModelMessage) -> list[Object]:
    if isinstance(message, ModelResponse):
        return [{"role": "assistant", **_of_model(message)}]
    return [entry for part in message.parts if (entry := _of_part(part))]


def _of_part(part: Any) -> Object | None:
    match part:
        case UserPromptPart():
            return {"role": "user", "text": str(part.content)}
        case ToolReturnPart():
            return {"role": "tool", "tool": part.tool_name, "result": part.content}
        case _:
            return None


def _of_model(response: ModelResponse) -> Object:
    calls = [_call(call) for call in response.tool_calls]
    return {"text": response.text or "", **({"tool_calls": calls} if calls else {})}


def _call(call: ToolCallPart) -> Object:
    return {"tool": call.tool_name, "input": call.args_as_dict()}
