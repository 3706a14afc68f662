"""Providers and prices: by the API and by their pages; a key goes in and never comes out."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from django.db import connection
from pytest_httpserver import HTTPServer

from apps.agents.models import ModelPrice, ModelProvider
from apps.agents.runtimes.llm.endpoints import key_ref
from apps.common import egress
from apps.common.egress import EgressClient, EgressPolicy
from apps.common.ids import public_id
from apps.trust.errors import SecretNotFound
from apps.trust.models import SealedSecret
from apps.trust.secrets import get_secret_store
from tests.agents.factories import errors, make_agent
from tests.agents.llm.conftest import KEY, MODEL, completion, price, provide
from tests.orgs.conftest import problem
from tests.tenants.browsing import as_member, is_page

URL = "https://93.184.215.14/v1"
NEW = {"name": "models", "kind": "openai", "base_url": URL, "api_key": KEY}


def key_of(row: Any) -> str:
    return get_secret_store().get(key_ref(row.id)).decode()


def shown(answer: Any) -> str:
    assert answer.status_code == 200 and is_page(answer)
    text: str = answer.content.decode()
    return text


def counts() -> tuple[int, ...]:
    return tuple(kind.objects.count() for kind in (ModelProvider, ModelPrice, SealedSecret))


def test_a_provider_is_added_and_its_key_sealed(api: Any, events: Any) -> None:
    made = api.post("/model-providers", NEW)

    assert made.status_code == 201, made.content
    row = ModelProvider.objects.get()
    assert made.json() == {
        "id": public_id("mpv", row.id),
        "name": "models",
        "kind": "openai",
        "base_url": URL,
        "key_hint": KEY[-4:],
        "created_at": made.json()["created_at"],
        "updated_at": made.json()["updated_at"],
    }
    assert key_of(row) == KEY
    [(action, subject, detail)] = [e for e in events() if e[0].startswith("agents.model")]
    assert (action, subject) == ("agents.model_provider.created", public_id("mpv", row.id))
    assert KEY[-4:] not in str(detail)


def test_without_an_address_it_is_the_kinds_own(api: Any) -> None:
    for kind, url in (
        ("openai", "https://api.openai.com/v1"),
        ("anthropic", "https://api.anthropic.com"),
    ):
        made = api.post("/model-providers", {"name": kind, "kind": kind, "api_key": KEY})
        assert made.json()["base_url"] == url


def test_of_a_short_key_nothing_is_told(api: Any) -> None:
    assert api.post("/model-providers", {**NEW, "api_key": "short"}).json()["key_hint"] == ""


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"name": "No Name"}, "name"),
        ({"kind": "other"}, "kind"),
        ({"api_key": ""}, "api_key"),
        ({"api_key": "a key"}, "api_key"),
        ({"base_url": "http://93.184.215.14/v1"}, "base_url"),
        ({"base_url": "https://127.0.0.1/v1"}, "base_url"),
        ({"base_url": "https://10.0.0.1/v1"}, "base_url"),
        ({"base_url": f"{URL}?key=1"}, "base_url"),
        ({"more": 1}, "more"),
    ],
)
def test_what_is_no_provider(api: Any, said: Any, field: str) -> None:
    before = counts()
    answer = api.post("/model-providers", {**NEW, **said})
    assert list(errors(answer)) == [field]
    assert KEY not in answer.content.decode()
    assert counts() == before


def test_a_name_is_given_once(api: Any, owner: Any) -> None:
    row, before = provide(owner), counts()
    assert problem(api.post("/model-providers", NEW)) == (409, "provider_name_in_use")
    assert (counts(), key_of(row)) == (before, KEY)


def test_another_key_takes_the_firsts_place(api: Any, owner: Any, events: Any) -> None:
    row = provide(owner)

    answer = api.patch("/model-providers/models", {"api_key": "sk-another-0123456789"})

    assert (answer.status_code, answer.json()["key_hint"]) == (200, "6789")
    assert key_of(row) == "sk-another-0123456789"
    assert len(get_secret_store().versions(key_ref(row.id))) == 1
    assert events()[-1][0] == "agents.model_provider.updated"


def test_operators_name_where_models_of_their_own_are(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, before = {**NEW, "base_url": "http://10.0.0.5:8000/v1"}, counts()
    assert set(errors(api.post("/model-providers", inside))) == {"base_url"}
    assert counts() == before

    policy = EgressPolicy(model_origins=frozenset({("http", "10.0.0.5", 8000)}))
    client = EgressClient(policy)
    monkeypatch.setattr(egress, "default_client", lambda: client)
    assert api.post("/model-providers", inside).status_code == 201
    other = {**NEW, "name": "other", "base_url": "http://10.0.0.6:8000/v1"}
    assert set(errors(api.post("/model-providers", other))) == {"base_url"}
    desk = {"name": "Desk", "runtime": "http", "config": {"url": inside["base_url"]}}
    assert set(errors(api.post("/agents", desk))) == {"config.url"}


def test_a_key_goes_only_to_the_address_that_it_was_given_for(api: Any, owner: Any) -> None:
    row = provide(owner)
    other = {"base_url": "https://93.184.215.99/v1"}

    assert list(errors(api.patch("/model-providers/models", other))) == ["api_key"]
    row.refresh_from_db()
    assert (row.base_url, key_of(row)) == (URL, KEY)

    assert api.patch("/model-providers/models", {**other, "api_key": "new"}).status_code == 200
    row.refresh_from_db()
    assert (row.base_url, key_of(row)) == (other["base_url"], "new")


def test_a_provider_that_agents_name_stays(api: Any, owner: Any, make_llm: Any) -> None:
    agent, row = make_llm(), ModelProvider.objects.get()

    answer = api.delete("/model-providers/models")
    assert problem(answer) == (409, "provider_in_use")
    assert agent.slug in answer.json()["detail"]
    assert key_of(row) == KEY

    assert api.delete(f"/agents/{agent.slug}").status_code == 204
    assert api.delete("/model-providers/models").status_code == 204
    assert not ModelProvider.objects.exists()
    with pytest.raises(SecretNotFound):
        key_of(row)


def test_prices_are_set_changed_and_removed(api: Any, events: Any) -> None:
    body = {"model": "qwen/qwen3-8b", "input_micros": 200_000, "output_micros": 600_000}
    made = api.post("/model-prices", body)
    assert made.status_code == 201, made.content
    path = f"/model-prices/{made.json()['id']}"
    assert problem(api.post("/model-prices", body)) == (409, "price_exists")

    assert api.patch(path, {"input_micros": 0}).json()["input_micros"] == 0
    assert api.get("/model-prices").json()["results"] == [api.get(path).json()]
    assert api.delete(path).status_code == 204
    assert problem(api.get(path))[0] == 404
    assert [e[0] for e in events() if "model_price" in e[0]] == [
        f"agents.model_price.{verb}" for verb in ("created", "updated", "deleted")
    ]


@pytest.mark.parametrize("said", [{"input_micros": -1}, {"output_micros": 10**12 + 1}])
def test_what_is_no_price(api: Any, said: Any) -> None:
    body = {"model": "m", "input_micros": 1, "output_micros": 1, **said}
    assert list(errors(api.post("/model-prices", body))) == list(said)
    assert not ModelPrice.objects.exists()


def test_the_page_is_one_three_ways(acme: Any, owner: Any, somebody: Any) -> None:
    """Empty, with rows, and for who may only read."""
    browser = as_member(acme, owner)
    assert "No provider yet" in shown(browser.get("/settings/models/"))

    provide(owner)
    price(owner)
    listed = shown(browser.get("/settings/models/"))
    assert f"ends in <code>{KEY[-4:]}</code>" in listed
    assert KEY not in listed

    viewer = shown(as_member(acme, somebody("viewer")).get("/settings/models/"))
    assert "models" in viewer
    assert "Add provider" not in viewer and "Replace key" not in viewer


def test_the_pages_forms_do_what_the_api_does(acme: Any, owner: Any) -> None:
    browser = as_member(acme, owner)
    assert browser.post("/settings/models/", NEW).status_code == 303
    row = ModelProvider.objects.get()
    assert key_of(row) == KEY
    mpv = public_id("mpv", row.id)

    change = {"base_url": URL, "api_key": "sk-another-0123456789"}
    assert browser.post(f"/settings/models/{mpv}/", change).status_code == 303
    assert key_of(row) == change["api_key"]

    cost = {"model": MODEL, "input_price": "0.15", "output_price": "0.6"}
    assert browser.post("/settings/models/prices/", cost).status_code == 303
    found = ModelPrice.objects.get()
    assert (found.input_micros, found.output_micros) == (150_000, 600_000)
    mpr = public_id("mpr", found.id)
    assert browser.post(f"/settings/models/prices/{mpr}/remove/").status_code == 303
    assert browser.post(f"/settings/models/{mpv}/remove/").status_code == 303
    assert counts()[:2] == (0, 0)


def test_a_refused_form_shows_the_reason_and_no_key(acme: Any, owner: Any) -> None:
    provide(owner)
    before = counts()
    answer = as_member(acme, owner).post("/settings/models/", NEW)
    assert answer.status_code == 422
    assert "belongs to another provider" in answer.content.decode()
    assert KEY not in answer.content.decode()
    assert counts() == before


def test_an_agent_is_made_and_changed_by_its_forms(acme: Any, owner: Any, provider: Any) -> None:
    from apps.agents.models import Agent

    browser = as_member(acme, owner)
    assert "models" in shown(browser.get("/agents/new/details/?runtime=llm"))
    data = {
        "name": "Assistant",
        "project": "default",
        "timeout_seconds": "60",
        "provider": "models",
        "model": MODEL,
        "instructions": "Be brief.",
        "limits": '{"requests": 3}',
        "buffered": "on",
        "redact": "on",
    }
    assert browser.post("/agents/new/register/?runtime=llm", data).status_code == 303
    agent = Agent.objects.get(slug="assistant")
    assert agent.config == {
        "provider": "models",
        "model": MODEL,
        "instructions": "Be brief.",
        "limits": {"requests": 3},
        "buffered": True,
        "redact": True,
    }
    page = shown(browser.get("/agents/assistant/settings/"))
    assert "{&quot;requests&quot;: 3}" in page

    answer = browser.post("/agents/new/register/?runtime=llm", {**data, "model": "unheard-of"})
    assert answer.status_code == 422
    assert "Settings → Models" in answer.content.decode()


def everything_kept() -> str:
    """All of the org's tables, and the shared ones, as text."""
    found = io.StringIO()
    with connection.cursor() as cursor:
        cursor.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables"
            " where schemaname not in ('pg_catalog', 'information_schema')"
            " and has_table_privilege(format('%I.%I', schemaname, tablename), 'select')"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"select t::text from {table} t")
            found.writelines(row[0] for row in cursor.fetchall())
    return found.getvalue()


def test_the_key_is_nowhere_but_sealed(
    acme: Any,
    owner: Any,
    api: Any,
    loopback: None,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not in a dump, a log, an answer, a page, or a task's arguments, though it is used."""
    caplog.set_level(logging.DEBUG)
    queued: list[Any] = []
    from apps.runs.services import invoke as invoking

    monkeypatch.setattr(invoking, "enqueue", lambda *args, **more: queued.append((args, more)))
    price(owner)
    url = httpserver.url_for("/v1").rstrip("/")
    told = [api.post("/model-providers", {**NEW, "base_url": url}, Idempotency_Key="once")]
    told.append(api.post("/model-providers", {**NEW, "base_url": url}, Idempotency_Key="once"))
    told.append(api.post("/model-providers", {**NEW, "name": "models"}))
    make_agent(owner, name="A", runtime="llm", config={"provider": "models", "model": MODEL})
    httpserver.expect_ordered_request("/v1/chat/completions").respond_with_json(completion("Hi."))
    refusal = httpserver.expect_ordered_request("/v1/chat/completions")
    refusal.respond_with_data(f"{KEY} is wrong", status=401)
    for mode in ("sync", "sync", "async"):
        told.append(api.post("/agents/a/invoke", {"input": {"text": "x"}, "mode": mode}))
    run = told[3].json()["id"]
    told += [api.get(path) for path in ("/model-providers", f"/runs/{run}/steps", "/agents/a")]
    browser = as_member(acme, owner)
    told += [browser.get(path) for path in ("/settings/models/", f"/runs/{run}/", "/agents/a/")]

    assert [answer.status_code for answer in told][:6] == [201, 201, 409, 200, 200, 202]
    assert {request.headers["authorization"] for request, _ in httpserver.log} == {f"Bearer {KEY}"}
    kept = everything_kept()
    assert "models" in kept and run.removeprefix("run_")[:8] in kept.replace("-", "")
    streams = capfd.readouterr()
    assert KEY.encode().hex() not in kept
    for place in (
        kept,
        caplog.text,
        streams.out,
        streams.err,
        str(queued),
        *(answer.content.decode() for answer in told),
    ):
        assert KEY not in place
