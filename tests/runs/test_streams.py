"""Following a run over HTTP: whole, cut and gone on, ended from outside, and refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.db import connections
from django.utils import timezone

from apps.agents.models import Agent
from apps.common.ids import public_id
from apps.orgs.selectors import find_key_principal
from apps.orgs.services.keys import revoke_key
from apps.orgs.services.roles import create_role
from apps.orgs.tokens import hash_of
from apps.runs import streams
from apps.runs.models import Run
from apps.runs.services import context
from apps.runs.services.control import cancel_run
from apps.runs.services.invoke import work_one
from apps.tenants import keys
from apps.tenants.models import Session
from config.handler import Handler
from tests.common.exchange import Exchange
from tests.orgs.conftest import AT, join, owner_of, token_for
from tests.runs.factories import CALLER, admit, make_agent
from tests.runs.following import Told, read_stream
from tests.tenants.browsing import TwoHosts, enter, host

PATIENCE = 20.0


class World:
    """An org that really commits, an agent that says four words, and its owner's key."""

    def __init__(self, org: Any) -> None:
        self.org, self.owner = org, owner_of(org)
        self.token = token_for(org, self.owner)
        self.application = Handler(threads=4)
        with self.inside():
            make_agent("teller")

    @contextmanager
    def inside(self) -> Iterator[None]:
        with keys.holding(self.org.schema, self.org.id):
            yield

    def queue(self) -> str:
        with self.inside():
            return public_id("run", admit(Agent.objects.get(slug="teller"), mode="async").run_id)

    def work(self) -> None:
        with self.inside():
            try:
                assert work_one(at=timezone.now())
            finally:
                connections.close_all()

    def ask(self, path: str, *, method: str = "GET", body: Any = None, **headers: str) -> Exchange:
        sent = {
            "Authorization": f"Bearer {self.token}",
            "Accept": "text/event-stream",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        content = b"" if body is None else json.dumps(body).encode()
        if content:
            sent |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        return Exchange(f"/v1{path}", method=method, headers=sent, body=[content])

    def events(self, run: str, **headers: str) -> Exchange:
        return self.ask(f"/runs/{run}/events", **headers)

    def start(self, exchange: Exchange) -> asyncio.Task[Any]:
        async def run() -> None:
            with keys.holding():
                await exchange.run(self.application)

        return asyncio.create_task(run())

    async def whole(self, exchange: Exchange) -> list[Told]:
        await asyncio.wait_for(self.start(exchange), PATIENCE)
        return read_stream(exchange.content)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def world(throwaway_org: Any, scripts: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(context, "DELTA_EVERY", 0.0)
    monkeypatch.setattr(streams, "places", streams.Places())  # other tests leave streams unread

    def tell(invocation: Any, ctx: Any) -> dict[str, Any]:
        for word in ("one", "two", "three", "four"):
            ctx.delta(word)
        return {"said": 4}

    scripts["teller"] = tell
    yield World(throwaway_org())
    connections.close_all()


def cookies_of(world: World, email: str) -> str:
    """What the browser of somebody who has just signed in sends along."""
    browser = TwoHosts()
    with keys.holding():
        enter(browser, world.org, email)
    jar = browser.on(host(world.org)).cookies
    return "; ".join(f"{name}={morsel.value}" for name, morsel in jar.items())


def page_events(world: World, run: str, cookies: str) -> Exchange:
    """What the page of a run follows."""
    where = host(world.org)["HTTP_HOST"]
    return Exchange(f"/runs/{run}/events/", host=where, headers={"Cookie": cookies})


def kinds(events: list[Told]) -> list[str]:
    return [event.kind for event in events]


def test_a_run_is_followed_live_to_its_end(world: World) -> None:
    run = world.queue()

    async def scenario() -> list[Told]:
        exchange = world.events(run)
        following = world.start(exchange)
        await until(lambda: b"queued" in exchange.content)
        assert not following.done()
        await sync_to_async(world.work, thread_sensitive=False)()
        await asyncio.wait_for(following, PATIENCE)
        headers = dict(exchange.sent[0]["headers"])
        assert headers[b"Content-Type"] == b"text/event-stream"
        assert headers[b"Cache-Control"] == b"no-store"
        return read_stream(exchange.content)

    told = asyncio.run(scenario())
    assert [event.id for event in told] == [1, 2, 3, 4, 5, 6, 7, None]
    assert kinds(told) == ["status", "status", *["delta"] * 4, "status", "end"]
    assert [event.data["text"] for event in told[2:6]] == ["one", "two", "three", "four"]
    assert {event.data["run"] for event in told[:-1]} == {run}
    assert (told[-1].data["id"], told[-1].data["output"]) == (run, {"said": 4})


def test_a_stream_that_was_cut_goes_on_after_what_arrived(world: World) -> None:
    run = world.queue()
    world.work()

    async def scenario() -> tuple[list[Told], list[list[Told]]]:
        uncut = await world.whole(world.events(run))
        cuts = [str(number) for number in range(len(uncut))]
        return uncut, [await world.whole(world.events(run, Last_Event_ID=cut)) for cut in cuts]

    uncut, rests = asyncio.run(scenario())
    assert len(uncut) == 8
    for cut, rest in enumerate(rests):
        assert uncut[:cut] + rest == uncut


def test_who_may_not_read_a_run_is_told_that_it_ran(world: World) -> None:
    run = world.queue()
    world.work()
    with world.inside():
        narrow = token_for(world.org, world.owner, scopes=["runs.view"])

    async def scenario() -> list[Told]:
        return await world.whole(world.events(run, Authorization=f"Bearer {narrow}"))

    told = asyncio.run(scenario())
    assert kinds(told) == ["status", "status", "status", "end"]
    assert [event.id for event in told] == [1, 2, 7, None]
    assert (told[-1].data["output"], told[-1].data["withheld"]) == (None, "data.read")


def test_waiting_streams_hold_no_thread_and_no_connection(world: World) -> None:
    """Forty of them on four threads and a pool of eight: a query beside them has its place."""
    run = world.queue()

    async def scenario() -> list[list[str]]:
        exchanges = [world.events(run) for _ in range(40)]
        following = [world.start(exchange) for exchange in exchanges]
        await until(lambda: all(b"queued" in exchange.content for exchange in exchanges))
        beside = world.ask("/runs", Accept="application/json")
        await asyncio.wait_for(world.start(beside), PATIENCE)
        assert beside.status == 200
        await sync_to_async(world.work, thread_sensitive=False)()
        await asyncio.wait_for(asyncio.gather(*following), PATIENCE)
        return [kinds(read_stream(exchange.content)) for exchange in exchanges]

    told = asyncio.run(scenario())
    assert len(told) == 40 and {tuple(each) for each in told} == {tuple(told[0])}
    assert told[0][-1] == "end"
    assert not streams.places._taken


def test_an_invocation_is_answered_by_its_events(world: World) -> None:
    body = {"input": {}}

    async def scenario() -> tuple[list[Told], list[Told]]:
        key = {"Idempotency_Key": "once"}
        ask = lambda **more: world.ask(  # noqa: E731
            "/agents/teller/invoke", method="POST", body=body, **key, **more
        )
        return await world.whole(ask()), await world.whole(ask(Last_Event_ID="6"))

    first, again = asyncio.run(scenario())
    assert kinds(first) == ["status", "status", *["delta"] * 4, "status", "end"]
    assert first[-1].data["mode"] == "async"
    assert again == first[6:]
    with world.inside():
        assert Run.objects.count() == 1


def test_what_is_refused_is_a_problem_before_the_first_byte(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.queue()
    monkeypatch.setattr(django_settings, "STREAMS_A_PRINCIPAL", 1)

    async def code_of(exchange: Exchange) -> tuple[int | None, str]:
        await asyncio.wait_for(world.start(exchange), PATIENCE)
        headers = dict(exchange.sent[0]["headers"])
        assert headers[b"Content-Type"] == b"application/problem+json"
        return exchange.status, json.loads(exchange.content)["code"]

    async def scenario() -> None:
        invoke: dict[str, Any] = {"method": "POST", "body": {"input": []}}
        assert await code_of(world.ask("/agents/teller/invoke", **invoke)) == (422, "invalid")
        missing = "run_" + "0" * 32
        assert await code_of(world.events(missing)) == (404, "not_found")
        for wrong in ("x", "-1", "1.5", "9" * 10, ""):
            exchange = world.events(run, Last_Event_ID=wrong)
            assert await code_of(exchange) == (400, "bad_request")
        nobody = world.events(run, Authorization="Bearer mnd_wrong")
        assert await code_of(nobody) == (401, "unauthenticated")

        for _ in range(2):
            open_one = world.events(run)
            following = world.start(open_one)
            await until(lambda held=open_one: b"queued" in held.content)  # type: ignore[misc]
            assert await code_of(world.events(run)) == (429, "rate_limited")
            open_one.leave()
            await asyncio.wait_for(following, PATIENCE)

    asyncio.run(scenario())
    assert not streams.places._taken


def test_a_stream_ends_soon_after_its_key_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT", 0.05)
    monkeypatch.setattr(streams, "ASK_AGAIN", 0.0)
    run, other = world.queue(), token_for(world.org, world.owner)

    def revoke() -> None:
        with world.inside():
            found = find_key_principal(key_hash=hash_of(world.token), at=timezone.now())
            assert found
            revoke_key(key_id=found[1].id, by=world.owner, at=timezone.now())
            connections.close_all()

    async def scenario() -> None:
        mine, control = world.events(run), world.events(run, Authorization=f"Bearer {other}")
        following, going_on = world.start(mine), world.start(control)
        await until(lambda: b": still here" in mine.content and b"queued" in control.content)
        await sync_to_async(revoke, thread_sensitive=False)()
        await asyncio.wait_for(following, PATIENCE)
        seen = len(control.content)
        await until(lambda: len(control.content) > seen)
        assert not going_on.done()
        control.leave()
        await asyncio.wait_for(going_on, PATIENCE)

    asyncio.run(scenario())


def test_a_page_is_told_of_its_run_until_the_session_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT", 0.05)
    monkeypatch.setattr(streams, "ASK_AGAIN", 0.0)
    run, cookies = world.queue(), cookies_of(world, world.owner.email)

    def page() -> Exchange:
        return page_events(world, run, cookies)

    def sign_out() -> None:
        Session.objects.filter(org_id=world.org.id).delete()
        connections.close_all()

    def end() -> None:
        with world.inside():
            run_id = Run.objects.get().id
            cancel_run(run_id=run_id, actor=CALLER, at=timezone.now())
            connections.close_all()

    async def scenario() -> list[Told]:
        cut = page()
        following = world.start(cut)
        await until(lambda: b": still here" in cut.content)
        await sync_to_async(sign_out, thread_sensitive=False)()
        await asyncio.wait_for(following, PATIENCE)
        return read_stream(cut.content)

    async def to_the_end() -> list[Told]:
        exchange = page()
        following = world.start(exchange)
        await until(lambda: b"event: status" in exchange.content)
        await sync_to_async(end, thread_sensitive=False)()
        await asyncio.wait_for(following, PATIENCE)
        return read_stream(exchange.content)

    assert kinds(asyncio.run(to_the_end())) == ["status", "status", "end"]
    world.queue()
    with world.inside():
        run = public_id("run", Run.objects.get(status="queued").id)
    assert kinds(asyncio.run(scenario())) == ["status"]


def test_a_page_is_told_that_something_is_new_and_never_what(world: World, scripts: Any) -> None:
    def work(invocation: Any, ctx: Any) -> dict[str, Any]:
        ctx.log("info", "zanzibar")
        ctx.delta("zanzibar")
        with ctx.step("ask", {"said": "zanzibar"}):
            raise ValueError("zanzibar")

    scripts["teller"] = work
    run = world.queue()
    world.work()
    with world.inside():
        role = create_role(name="Blind", permissions=["runs.view"], by=world.owner, at=AT)
        blind = join(world.org, role.slug)

    def told_to(who: Any) -> list[Told]:
        exchange = page_events(world, run, cookies_of(world, who.email))
        told = asyncio.run(world.whole(exchange))
        assert b"zanzibar" not in exchange.content
        assert all(set(event.data) == {"run", "at"} for event in told[:-1])
        return told

    seen, facts = told_to(world.owner), told_to(blind)
    assert set(kinds(seen)) == {"status", "log", "step", "end"}
    assert kinds(facts) == [kind for kind in kinds(seen) if kind != "log"]
    assert facts[-1].data == {"status": "failed"}
    assert b"zanzibar" in whole_of(world, run)  # by the API, to who may read it


def whole_of(world: World, run: str) -> bytes:
    exchange = world.events(run)
    asyncio.run(world.whole(exchange))
    return bytes(exchange.content)


def test_a_stream_ends_in_time_and_goes_on_elsewhere(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.queue()
    monkeypatch.setattr(django_settings, "STREAM_SECONDS", 0)
    first = asyncio.run(world.whole(world.events(run)))
    assert kinds(first) == ["status"]
    world.work()
    rest = asyncio.run(world.whole(world.events(run, Last_Event_ID="1")))
    assert kinds(rest) == ["status", *["delta"] * 4, "status", "end"]
