"""Listening to a model: every part of its text in order, and an end at once if one is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai.direct import model_request_stream
from pydantic_ai.messages import ModelRequest
from pydantic_ai.models.function import DeltaThinkingPart, DeltaToolCall, FunctionModel

from apps.agents.runtimes.base import Stopped
from apps.agents.runtimes.llm.listening import listen


class Playing:
    """A model that says what it was given, and knows whether it was let finish."""

    def __init__(self, *items: Any) -> None:
        self.items = items
        self.given = 0
        self.closed = False

    async def __call__(self, messages: Any, info: Any) -> AsyncIterator[Any]:
        try:
            for item in self.items:
                self.given += 1
                yield item
        finally:
            self.closed = True

    def stream(self) -> Any:
        said = [ModelRequest.user_text_prompt("hello")]
        return model_request_stream(FunctionModel(stream_function=self), said)


def test_every_part_is_heard_in_its_order_with_no_loop_running() -> None:
    heard: list[str] = []

    def hear(text: str) -> None:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        heard.append(text)

    response = listen(Playing("Good ", "day", ".").stream(), hear)

    assert response.text == "Good day."
    assert [text for text in heard if text] == ["Good ", "day", "."]
    assert response.usage.output_tokens == 4


def test_thoughts_and_calls_of_tools_are_not_heard_as_text() -> None:
    heard: list[str] = []
    playing = Playing(
        {0: DeltaThinkingPart(content="Hm.")},
        "Let me see.",
        {1: DeltaToolCall("echo__echo", '{"text":')},
        {1: DeltaToolCall(None, '"hi"}')},
    )

    response = listen(playing.stream(), heard.append)

    assert "".join(heard) == response.text == "Let me see."
    assert [call.args_as_dict() for call in response.tool_calls] == [{"text": "hi"}]
    assert len(heard) > 4  # an event without a text is asked about too


def test_who_hears_may_end_it() -> None:
    playing = Playing(*"abcdefgh")

    def hear(text: str) -> None:
        if text == "c":
            raise Stopped

    with pytest.raises(Stopped):
        listen(playing.stream(), hear)
    assert (playing.closed, playing.given) == (True, 3)

    control = Playing(*"abcdefgh")
    assert listen(control.stream(), lambda text: None).text == "abcdefgh"
    assert (control.closed, control.given) == (True, 8)
