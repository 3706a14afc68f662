"""What an `llm` agent may be made of; what it may not is refused with the way out."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.models import Agent
from tests.agents.factories import URL, errors, make_agent, refusal
from tests.agents.llm.conftest import MODEL, TOOL, provide

LIST = {"type": "array"}
HUGE = {"type": "object", "properties": {"n": {"type": "number", "maximum": 1e300}}}


def body(**config: Any) -> dict[str, Any]:
    whole = {"provider": "models", "model": MODEL, **config}
    return {"name": "Assistant", "runtime": "llm", "config": whole}


def test_all_that_it_may_say(api: Any, provider: Any) -> None:
    config = {
        "provider": "models",
        "model": MODEL,
        "instructions": "Be brief.",
        "parameters": {"temperature": 0.5, "top_p": 1, "max_tokens": 100, "seed": 7},
        "limits": {"requests": 3, "tool_calls": 0, "tokens": 10, "cost_micros": 5},
        "fallback": {"provider": "models", "model": MODEL},
        "tools": [TOOL, {**TOOL, "name": "cancel_order", "annotations": {"destructive": True}}],
        "buffered": True,
        "redact": True,
    }

    made = api.post("/agents", {"name": "Assistant", "runtime": "llm", "config": config})

    assert made.status_code == 201, made.content
    assert made.json()["config"] == config
    assert [c["name"] for c in made.json()["capabilities"]] == ["chat"]
    assert made.json()["signing_secret"].startswith("whsec_")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"provider": "nobody"}, "config.provider"),
        ({"provider": 5}, "config.provider"),
        ({"model": ""}, "config.model"),
        ({"model": "m" * 121}, "config.model"),
        ({"model": "unheard-of"}, "config.model"),
        ({"instructions": "x" * 20_001}, "config.instructions"),
        ({"instructions": ["x"]}, "config.instructions"),
        ({"key": "sk-1"}, "config.key"),
        ({"parameters": {"temperature": 3}}, "config.parameters.temperature"),
        ({"parameters": {"max_tokens": True}}, "config.parameters.max_tokens"),
        ({"parameters": {"tools": 1}}, "config.parameters.tools"),
        ({"parameters": "hot"}, "config.parameters"),
        ({"limits": {"requests": 0}}, "config.limits.requests"),
        ({"limits": {"tokens": 1.5}}, "config.limits.tokens"),
        ({"fallback": {"provider": "models", "model": "unheard-of"}}, "config.fallback.model"),
        ({"fallback": {"provider": "nobody", "model": MODEL}}, "config.fallback.provider"),
        ({"fallback": "spare"}, "config.fallback"),
        ({"redact": "yes"}, "config.redact"),
        ({"buffered": 1}, "config.buffered"),
        ({"tools": {}}, "config.tools"),
        ({"tools": "none"}, "config.tools"),
        ({"tools": [{**TOOL, "name": f"t{number}"} for number in range(21)]}, "config.tools"),
        ({"tools": ["lookup"]}, "config.tools.0"),
        ({"tools": [{}]}, "config.tools.0.name"),
        ({"tools": [{**TOOL, "name": 5}]}, "config.tools.0.name"),
        ({"tools": [{**TOOL, "name": "no space"}]}, "config.tools.0.name"),
        ({"tools": [{**TOOL, "name": "x" * 65}]}, "config.tools.0.name"),
        ({"tools": [{**TOOL, "name": "final_result"}]}, "config.tools.0.name"),
        ({"tools": [TOOL, TOOL]}, "config.tools.1.name"),
        ({"tools": [{**TOOL, "description": " "}]}, "config.tools.0.description"),
        ({"tools": [{**TOOL, "description": "x" * 1001}]}, "config.tools.0.description"),
        ({"tools": [TOOL, {**TOOL, "name": "b", "url": None}]}, "config.tools.1.url"),
        ({"tools": [{**TOOL, "url": "http://93.184.215.14/"}]}, "config.tools.0.url"),
        ({"tools": [{**TOOL, "url": "https://10.0.0.1/"}]}, "config.tools.0.url"),
        ({"tools": [{**TOOL, "url": f"{URL}?api_key=x"}]}, "config.tools.0.url"),
        ({"tools": [{**TOOL, "input_schema": []}]}, "config.tools.0.input_schema"),
        (
            {"tools": [{**TOOL, "input_schema": {"type": "array"}}]},
            "config.tools.0.input_schema.type",
        ),
        ({"tools": [{**TOOL, "input_schema": HUGE}]}, "config.tools.0.input_schema"),
        ({"tools": [{**TOOL, "headers": {}}]}, "config.tools.0.headers"),
        ({"tools": [{**TOOL, "annotations": []}]}, "config.tools.0.annotations"),
        ({"tools": [{**TOOL, "annotations": {"safe": True}}]}, "config.tools.0.annotations.safe"),
        (
            {"tools": [{**TOOL, "annotations": {"read_only": 1}}]},
            "config.tools.0.annotations.read_only",
        ),
        (
            {"tools": [{**TOOL, "annotations": {"read_only": True, "destructive": True}}]},
            "config.tools.0.annotations.destructive",
        ),
    ],
)
def test_what_it_may_not_say(api: Any, provider: Any, config: Any, field: str) -> None:
    assert list(errors(api.post("/agents", body(**config)))) == [field]
    assert not Agent.objects.filter(slug="assistant").exists()


def test_an_unpriced_model_is_refused_with_the_way_out(owner: Any, provider: Any) -> None:
    config = {"provider": "models", "model": "unheard-of"}
    told = refusal(lambda: make_agent(owner, name="A", runtime="llm", config=config))
    assert "Settings → Models" in told["config.model"]
    assert "/v1/model-prices" in told["config.model"]


def test_the_public_list_knows_a_model_at_its_own_address_only(owner: Any) -> None:
    """What calls itself by a known name somewhere else may cost anything."""
    provide(owner, "openai", base_url="https://api.openai.com/v1")
    provide(owner, "elsewhere")
    listed = {"provider": "openai", "model": "gpt-4o-mini"}

    assert make_agent(owner, name="A", runtime="llm", config=listed).config == listed
    other = {**listed, "provider": "elsewhere"}
    told = refusal(lambda: make_agent(owner, name="B", runtime="llm", config=other))
    assert list(told) == ["config.model"]


def test_the_lists_price_is_exact(owner: Any, org: Any) -> None:
    from pydantic_ai.usage import RequestUsage

    from apps.agents.runtimes.llm.endpoints import open_endpoint

    provide(owner, "openai", base_url="https://api.openai.com/v1")
    endpoint = open_endpoint("openai", "gpt-4o-mini")
    # 0.15 and 0.60 dollars a million.
    assert endpoint.cost_micros(RequestUsage(input_tokens=1000, output_tokens=500)) == 450
