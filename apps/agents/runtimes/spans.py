"""The spans of agents at work, by OpenTelemetry's semantic conventions for generative AI.

They hold names, ids, numbers and codes, and nothing that a person, a model, an endpoint or an
owner said: no input, prompt, answer, description or config, and of addresses the host alone.
While nothing is exported, each costs one look at `telemetry.tracer`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit
from uuid import UUID

from opentelemetry import trace
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as names
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.trace import Span, SpanKind

from apps.agents.runtimes.base import Invocation, Stopped, WorkFailed
from apps.common import telemetry
from apps.common.ids import public_id
from apps.common.json import Object
from apps.tenants import keys

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse

    from apps.agents.runtimes.llm.endpoints import Endpoint

Opening = AbstractContextManager[Span | None]
OFF: Final[Opening] = nullcontext()
PROVIDER: Final = "mandate"
_PARAMETERS: Final = {
    "temperature": names.GEN_AI_REQUEST_TEMPERATURE,
    "top_p": names.GEN_AI_REQUEST_TOP_P,
    "max_tokens": names.GEN_AI_REQUEST_MAX_TOKENS,
    "seed": names.GEN_AI_REQUEST_SEED,
}
_PORTS: Final = {"https": 443, "http": 80}


def invoke_agent(
    invocation: Invocation,
    *,
    version: int,
    is_remote: bool,
    parent: str = "",
    conversation: str | None = None,
) -> Opening:
    """One execution of a run; `ended` says what became of it. An agent that works somewhere else
    has the kind CLIENT.
    """
    if telemetry.tracer is None:
        return OFF
    said: dict[str, Any] = {
        names.GEN_AI_OPERATION_NAME: "invoke_agent",
        names.GEN_AI_PROVIDER_NAME: PROVIDER,
        names.GEN_AI_AGENT_ID: public_id("agt", invocation.agent_id),
        names.GEN_AI_AGENT_NAME: invocation.agent,
        names.GEN_AI_AGENT_VERSION: str(version),
        "mandate.org_id": str(keys.current().org_id),
        "mandate.run_id": public_id("run", invocation.run_id),
        "mandate.attempt": invocation.attempt,
        "mandate.tool": invocation.tool,
    }
    if conversation is not None:
        said[names.GEN_AI_CONVERSATION_ID] = conversation
    kind = SpanKind.CLIENT if is_remote else SpanKind.INTERNAL
    return _span(f"invoke_agent {invocation.agent}", kind, said, parent)


def ended(
    span: Span, *, status: str, code: str | None, cost_micros: int, usage: Object | None
) -> None:
    """What became of a run: `code` is that of its error, tokens and cost are this attempt's own."""
    span.set_attributes({"mandate.status": status, "mandate.cost_micros": cost_micros})
    if usage is not None:
        span.set_attributes(
            {
                names.GEN_AI_USAGE_INPUT_TOKENS: usage["input_tokens"],
                names.GEN_AI_USAGE_OUTPUT_TOKENS: usage["output_tokens"],
            }
        )
    if code is not None:
        telemetry.fail(span, code)


def execute_tool(
    name: str, step_id: UUID, *, kind: Literal["extension", "function"] = "extension"
) -> Opening:
    """One call of a tool, which is a step of the run: something outside, or (a `function`) another
    agent.
    """
    if telemetry.tracer is None:
        return OFF
    said = {
        names.GEN_AI_OPERATION_NAME: "execute_tool",
        names.GEN_AI_TOOL_NAME: name,
        names.GEN_AI_TOOL_TYPE: kind,
        names.GEN_AI_TOOL_CALL_ID: public_id("stp", step_id),
    }
    return _span(f"execute_tool {name}", SpanKind.INTERNAL, said)


def chat(endpoint: Endpoint, settings: Mapping[str, Any], step_id: UUID) -> Opening:
    """One request to a model, with all its tries; `answered` says what it took."""
    if telemetry.tracer is None:
        return OFF
    url = urlsplit(endpoint.base_url)
    said: dict[str, Any] = {
        names.GEN_AI_OPERATION_NAME: "chat",
        names.GEN_AI_PROVIDER_NAME: endpoint.kind,
        names.GEN_AI_REQUEST_MODEL: endpoint.model,
        SERVER_ADDRESS: url.hostname or "",
        SERVER_PORT: url.port or _PORTS.get(url.scheme, 0),
        "mandate.step_id": public_id("stp", step_id),
    }
    said |= {name: settings[key] for key, name in _PARAMETERS.items() if key in settings}
    return _span(f"chat {endpoint.model}", SpanKind.CLIENT, said)


def answered(response: ModelResponse) -> None:
    """What a model's answer took, on the `chat` that is open."""
    if telemetry.tracer is None:
        return
    span, usage = trace.get_current_span(), response.usage
    span.set_attribute(names.GEN_AI_USAGE_INPUT_TOKENS, usage.input_tokens)
    span.set_attribute(names.GEN_AI_USAGE_OUTPUT_TOKENS, usage.output_tokens)
    if response.finish_reason is not None:
        span.set_attribute(names.GEN_AI_RESPONSE_FINISH_REASONS, [response.finish_reason])


@contextmanager
def _span(
    name: str, kind: SpanKind, attributes: Mapping[str, Any], parent: str = ""
) -> Iterator[Span]:
    """A span that tells by a code of ours what was raised within it, and of the text nothing."""
    with telemetry.span(name, kind=kind, attributes=attributes, parent=parent) as span:
        try:
            yield span
        except BaseException as failure:
            telemetry.fail(span, _code_of(failure))
            raise


def _code_of(failure: BaseException) -> str:
    return failure.code if isinstance(failure, (WorkFailed, Stopped)) else "internal_error"
