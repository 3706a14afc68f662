"""What somebody is shown of an agent before it is registered: what they said, and what it costs."""

from __future__ import annotations

from typing import Any, Final

from django import forms

from apps.agents.config_fields import runtime_fields
from apps.agents.forms import AgentForm
from apps.agents.models import Agent
from apps.agents.runtimes.llm.config import Limits
from apps.agents.selectors import list_prices
from apps.common import formats
from apps.common.forms import CodeInput

# Told in places of their own.
_ELSEWHERE: Final = frozenset({"name", "slug", "purpose", "draft"})


def shown_fields(form: AgentForm) -> list[dict[str, Any]]:
    """What was given in a valid form, a line each: label, text, and whether the text is code."""
    names = [*runtime_fields(form.runtime), "project", "timeout_seconds"]
    found = [_shown(form[name]) for name in names if name not in _ELSEWHERE]
    return [row for row in found if row["text"]]


def _shown(field: Any) -> dict[str, Any]:
    is_code = isinstance(field.field.widget, CodeInput | forms.Textarea)
    label = "Timeout" if field.name == "timeout_seconds" else field.label
    return {"label": label, "text": _text(field), "is_code": is_code}


def _text(field: Any) -> str:
    value = field.value()
    if isinstance(field.field, forms.BooleanField):
        return "Yes" if value else ""
    if isinstance(field.field, forms.ChoiceField):
        choices: dict[Any, Any] = dict(field.field.choices)  # type: ignore[arg-type]
        return str(choices.get(value, value))
    if field.name == "timeout_seconds":
        return f"{value} s"
    return str(value or "")


def costs_of(agent: Agent) -> list[str]:
    """What having it work costs whom, a sentence each."""
    free = "Its callers pay nothing until you set a price for one of its tools."
    if agent.runtime == "llm":
        return [_tokens_cost(agent.config["model"]), _most(Limits.of(agent.config)), free]
    if agent.runtime == "http":
        return ["What your endpoint costs is paid where it runs, and isn’t counted here.", free]
    return [
        "The skill itself costs nothing. What agents that it calls cost counts as theirs.",
        free,
    ]


def _tokens_cost(model: str) -> str:
    price = list_prices().filter(model=model).first()
    if price is None:
        return f"Tokens of {model} cost what its provider’s public price list says."
    tokens_in, tokens_out = (
        formats.dollars_of_micros(micros) for micros in (price.input_micros, price.output_micros)
    )
    return f"A million tokens of {model} cost {tokens_in} in and {tokens_out} out."


def _most(limits: Limits) -> str:
    requests = f"at most {limits.requests} requests to the model"
    if limits.cost_micros is None:
        return f"A run makes {requests}. No limit in dollars is set for a run."
    most = formats.dollars_of_micros(limits.cost_micros)
    return f"A run makes {requests}, and is ended before it costs more than {most}."
