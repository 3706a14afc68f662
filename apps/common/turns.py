"""Whose turn it is: few requests of a process compute at once, all others wait outside the threads.

More threads than cores take the interpreter, the connections and the caches from each other: at 64
connections an invocation cost half as much CPU again (measured). A request that waits for somebody
outside steps aside, and goes on afterwards beside the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import Context, ContextVar

_step_aside: ContextVar[Callable[[], None] | None] = ContextVar("mandate_turn", default=None)


def step_aside() -> None:
    """Give this request's turn to another one, for good; nothing where turns aren't taken."""
    if give_up := _step_aside.get():
        give_up()


class Turns:
    """So many turns at once, in the order in which they were asked for; of whichever loop runs."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self, context: Context) -> AsyncIterator[None]:
        """Wait for a turn and keep it while the block runs, or until `context` steps aside."""
        await self._take()
        turn = _Turn(self._pass_on)
        context.run(_step_aside.set, turn.give_up_from_thread)
        try:
            yield
        finally:
            turn.give_up()

    async def _take(self) -> None:
        if self._free:
            self._free -= 1
            return
        called = asyncio.get_running_loop().create_future()
        self._waiting.append(called)
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give a turn that is over to whoever has waited longest and still does."""
        while self._waiting:
            if not (called := self._waiting.popleft()).done():
                called.set_result(None)
                return
        self._free += 1


class _Turn:
    """One request's turn, given up once however often; from its thread by way of the loop."""

    def __init__(self, pass_on: Callable[[], None]) -> None:
        self._pass_on = pass_on
        self._loop = asyncio.get_running_loop()
        self._held = True

    def give_up(self) -> None:
        if self._held:
            self._held = False
            self._pass_on()

    def give_up_from_thread(self) -> None:
        if self._held:
            with suppress(RuntimeError):  # the loop is closed: nobody waits for a turn any more
                self._loop.call_soon_threadsafe(self.give_up)
