"""A provider on this machine that streams: chunked Server-Sent Events, as both APIs write them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

from django.utils import timezone

from apps.runs.models import RunEvent
from apps.runs.selectors import get_run
from apps.runs.services.invoke import Ask, invoke, work_one
from tests.agents.llm.conftest import MODEL
from tests.common.egress.world import Handler, Site, reply

PATIENCE = 20.0
Answer = Callable[[Handler], None]


class Provider(Site):
    """Answers one request after another as scripted, and notices who hangs up."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.left = threading.Event()
        super().__init__(self._next)

    def _next(self, handler: Handler) -> None:
        try:
            self.answers.pop(0)(handler)
        except OSError:
            self.left.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, _, body in self.asked]


def streamed(parts: Iterable[bytes], *, ends: bool = True) -> Answer:
    """An answer whose parts are sent as they come; one without an end breaks off."""

    def answer(handler: Handler) -> None:
        send = handler.wfile.write
        send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        send(b"Transfer-Encoding: chunked\r\n\r\n")
        for part in parts:
            send(b"%x\r\n%b\r\n" % (len(part), part))
        if ends:
            send(b"0\r\n\r\n")

    return answer


def refused(status: int) -> Answer:
    return lambda handler: reply(handler, status, b"down")


def whole(body: dict[str, Any]) -> Answer:
    """An answer all at once."""
    return lambda handler: reply(
        handler, 200, json.dumps(body).encode(), Content_Type="application/json"
    )


def openai_says(*texts: str, tokens: tuple[int, int] | None = (1234, 567)) -> list[bytes]:
    """A text as an OpenAI-compatible server streams it; without tokens it counts nothing."""
    told = [chunk({"role": "assistant", "content": ""})]
    told += [chunk({"content": text}) for text in texts]
    return [*told, chunk({}, finish_reason="stop"), *_counted(tokens)]


def openai_calls(
    *calls: tuple[str, dict[str, Any]], before: str = "", tokens: tuple[int, int] = (1200, 45)
) -> list[bytes]:
    """Calls of tools, each input in two pieces."""
    told = [chunk({"content": before})] if before else []
    for index, (name, input) in enumerate(calls):
        text = json.dumps(input)
        begun = {"index": index, "id": f"call_{index}", "type": "function"}
        function = {"name": name, "arguments": text[:5]}
        told.append(chunk({"tool_calls": [{**begun, "function": function}]}))
        rest = {"index": index, "function": {"arguments": text[5:]}}
        told.append(chunk({"tool_calls": [rest]}))
    return [*told, chunk({}, finish_reason="tool_calls"), *_counted(tokens)]


def _counted(tokens: tuple[int, int] | None) -> list[bytes]:
    done = b"data: [DONE]\n\n"
    return [_event({**_head(), "choices": [], "usage": usage(*tokens)}), done] if tokens else [done]


def usage(read: int, written: int) -> dict[str, int]:
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }


def _head() -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": MODEL,
    }


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _event({**_head(), "choices": [choice]})


def _event(data: dict[str, Any], kind: str = "") -> bytes:
    named = f"event: {kind}\n" if kind else ""
    return f"{named}data: {json.dumps(data)}\n\n".encode()


def anthropic_says(*texts: str, tokens: tuple[int, int] = (1234, 567)) -> list[bytes]:
    """A text as Anthropic's API streams it: what was read is counted first, the rest at the end."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": []}
    begun = {"input_tokens": tokens[0], "output_tokens": 1}
    block = {"type": "text", "text": ""}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "stop_reason": None, "usage": begun}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": text},
            }
            for text in texts
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": tokens[1]}},
        {"type": "message_stop"},
    ]
    return [_event(event, event["type"]) for event in events]


SAYS = {"openai": openai_says, "anthropic": anthropic_says}


def follow(owner: Any) -> Any:
    """The run, carried out where somebody may follow it."""
    wanted = Ask(agent="assistant", input={"text": "hello"}, mode="async")
    run_id = invoke(wanted, caller=owner, at=timezone.now()).run.id
    assert work_one(at=timezone.now())
    return get_run(run_id)


def ask(owner: Any) -> Any:
    wanted = Ask(agent="assistant", input={"text": "hello"}, mode="sync")
    return invoke(wanted, caller=owner, at=timezone.now()).run


def told(run_id: Any) -> list[tuple[str, str]]:
    """What who follows the run was told, each kind with its gist."""
    rows = RunEvent.objects.filter(run_id=run_id).order_by("seq").values_list("kind", "data")
    gist = {"delta": "text", "status": "status", "step": "status", "log": "message"}
    return [(kind, data[gist[kind]]) for kind, data in rows]


def words(run_id: Any) -> list[str]:
    return [text for kind, text in told(run_id) if kind == "delta"]
