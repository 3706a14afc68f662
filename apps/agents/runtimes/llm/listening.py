"""A model's answer while it is given: its text is passed on part by part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import (
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
)
from pydantic_ai.models import StreamedResponse

Heard = Callable[[str], None]


def listen(asked: AbstractAsyncContextManager[StreamedResponse], heard: Heard) -> ModelResponse:
    """The whole answer. `heard` gets each part of its text as it comes, and "" for anything else.

    It is called while no event loop runs, since it may ask the database; what it raises closes the
    stream and goes on.
    """
    with asyncio.Runner() as runner:
        stream = runner.run(asked.__aenter__())
        try:
            events, spoke = aiter(stream), False
            while (event := runner.run(_next(events))) is not None:
                text = _text_of(event, goes_on=spoke)
                spoke = spoke or bool(text)
                heard(text)
            return stream.get()
        finally:
            runner.run(asked.__aexit__(None, None, None))


def check_whole(response: ModelResponse) -> ModelResponse:
    """Refuse an answer of Anthropic's API that stops without saying why: it was cut off."""
    if not (response.provider_details or {}).get("finish_reason"):
        raise UnexpectedModelBehavior("The answer has no end.")
    return response


async def _next(events: AsyncIterator[ModelResponseStreamEvent]) -> ModelResponseStreamEvent | None:
    return await anext(events, None)


def _text_of(event: ModelResponseStreamEvent, *, goes_on: bool) -> str:
    """What an event adds to the answer's text, as `ModelResponse.text` puts it together."""
    match event:
        case PartStartEvent(part=TextPart(content=text), previous_part_kind=before):
            return f"\n\n{text}" if goes_on and before != "text" else text
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case _:
            return ""
