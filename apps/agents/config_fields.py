"""The form fields that each kind of agent has for its config. What is allowed, runtimes decide."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django import forms

from apps.agents.runtimes.builtin import SKILLS
from apps.agents.runtimes.conversation import FIELD, TURNS_MAX
from apps.agents.runtimes.http import check_headers
from apps.agents.runtimes.llm.config import INSTRUCTIONS_MAX
from apps.agents.runtimes.llm.own import check_tools
from apps.agents.selectors import list_providers
from apps.common.errors import Invalid
from apps.common.forms import JsonObjectField
from apps.common.json import Object


def runtime_fields(runtime: str) -> dict[str, forms.Field]:
    """What an agent of that kind is made of; in the order of the form."""
    if runtime == "builtin":
        return {
            "skill": forms.ChoiceField(
                choices=[(name, f"{name}: {_says(name)}") for name in sorted(SKILLS)]
            ),
            "expression": forms.CharField(
                required=False,
                max_length=2000,
                help_text="For json-transform only: the JMESPath expression it always uses.",
            ),
        }
    if runtime == "http":
        return {
            "url": forms.URLField(
                label="URL of the endpoint",
                max_length=2000,
                assume_scheme="https",
                help_text="It gets a signed POST for each call and answers with a JSON object.",
            ),
            "headers": HeadersField(),
            FIELD: TurnsField(),
        }
    return _model_fields() if runtime == "llm" else {}


class HeadersField(forms.CharField):
    """HTTP headers in a text area, a line each; what they may be, the runtime decides."""

    def __init__(self) -> None:
        super().__init__(
            required=False,
            widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "class": "mono"}),
            help_text="One on a line, such as X-Region: eu. Every call carries them. No secrets: "
            "everybody who sees agents sees them.",
        )

    def to_python(self, value: Any) -> Any:
        headers: dict[str, str] = {}
        for number, line in enumerate((super().to_python(value) or "").splitlines(), start=1):
            name, colon, said = (part.strip() for part in line.partition(":"))
            if line.strip() and not colon:
                raise forms.ValidationError(f"Line {number}: write a name, a colon and a value.")
            if name in headers:
                raise forms.ValidationError(f"Line {number}: {name} stands there twice.")
            if line.strip():
                headers[name] = said
        return _checked_headers(headers)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return "\n".join(f"{name}: {said}" for name, said in value.items())


class TurnsField(forms.IntegerField):
    """How many earlier turns of a conversation an agent is given; empty for none."""

    def __init__(self) -> None:
        super().__init__(
            label="Earlier turns of a conversation",
            required=False,
            min_value=1,
            max_value=TURNS_MAX,
            help_text="How many it is given of what the same caller asked in the same session. "
            f"None if empty, at most {TURNS_MAX}.",
        )

    def clean(self, value: Any) -> Any:
        turns = super().clean(value)
        return {"turns": turns} if turns else {}

    def prepare_value(self, value: Any) -> Any:
        return value.get("turns") if isinstance(value, dict) else value


def _checked_headers(headers: dict[str, str]) -> dict[str, str]:
    """As the runtime takes them; its refusals name the header, for there is one field for all."""
    with _told_in_one("config.headers"):
        return check_headers(headers)


class ToolsField(JsonObjectField):
    """A list of tools in a text area; what they may be, the runtime decides."""

    kind = list

    def __init__(self) -> None:
        super().__init__(
            label="Tools of its own",
            rows=6,
            required=False,
            otherwise="Give a list of tools: [{…}, {…}].",
            help_text='Endpoints of yours: [{"name": "lookup_order", "description": "Tells where '
            'an order is.", "url": "https://…", "input_schema": {"type": "object"}}]. The model '
            "may have them called; each gets a signed POST and answers with a JSON object.",
        )

    def prepare_value(self, value: Any) -> Any:
        return pretty(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        tools = super().to_python(value)
        with _told_in_one("config.tools"):
            return check_tools(tools) if tools else tools


@contextmanager
def _told_in_one(root: str) -> Iterator[None]:
    """Show a runtime's refusals at the one field that there is, with their places below `root`."""
    try:
        yield
    except Invalid as error:
        said = [
            f"{item['field'].removeprefix(root).lstrip('.')}: {item['message']}"
            for item in error.extra["errors"]
        ]
        raise forms.ValidationError([text.removeprefix(": ") for text in said]) from error


def pretty(value: Object | list[Object]) -> str:
    """JSON as it stands in a text area."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def _model_fields() -> dict[str, forms.Field]:
    """What an agent that is a language model is made of."""
    return {
        "provider": forms.ChoiceField(
            choices=lambda: [(row.name, row.name) for row in list_providers()],
            help_text="Whose model it is; admins add providers under Settings, Models.",
        ),
        "model": forms.CharField(
            max_length=120, help_text="As the provider names it. Its price must be known."
        ),
        "instructions": forms.CharField(
            required=False,
            max_length=INSTRUCTIONS_MAX,
            widget=forms.Textarea(attrs={"rows": 6}),
            help_text="What the model is told before every task.",
        ),
        FIELD: TurnsField(),
        "limits": _numbers_field(
            "Limits of a run",
            'requests, tool_calls, tokens and cost_micros, such as {"requests": 10}.',
        ),
        "parameters": _numbers_field(
            "Parameters", 'temperature, top_p, max_tokens and seed, such as {"temperature": 0}.'
        ),
        "tools": ToolsField(),
        "buffered": forms.BooleanField(
            label="Take each answer whole",
            required=False,
            help_text="For servers that can’t stream, or don’t count tokens when they do.",
        ),
        "redact": forms.BooleanField(
            label="Leave what is said out of the record of model requests",
            required=False,
            help_text="Counts, costs and names of tools stay; so do the run’s input and output.",
        ),
    }


def _numbers_field(label: str, told: str) -> forms.Field:
    return JsonObjectField(
        label=label,
        rows=2,
        required=False,
        otherwise="Give an object of numbers.",
        help_text=told[0].upper() + told[1:],
    )


def _says(skill: str) -> str:
    """The beginning of what a skill says of itself, up to its first stop."""
    return re.split(r"[.:]", SKILLS[skill].spec({}).description, maxsplit=1)[0]
