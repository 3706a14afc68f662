"""The forms of agents' pages. They read and shape; what is allowed, services decide."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Final

from django import forms

from apps.agents.config_fields import pretty, runtime_fields
from apps.agents.models import AuthRequirement, ProviderKind
from apps.agents.services.agents import NOTE_MAX, PURPOSE_MAX, TIMEOUT_MAX
from apps.agents.services.capabilities import ANNOTATIONS, PRICE_MAX
from apps.agents.services.grants import EVERY_TOOL
from apps.agents.services.models import KEY_MAX, MODEL_MAX, PER_MILLION_MAX, URL_MAX
from apps.common.forms import JsonObjectField
from apps.common.json import Object
from apps.orgs.ruled import FIXED

Choices = Iterable[tuple[str, str]]
# kind → what it is, for whoever chooses one
RUNTIMES: Final = {
    "builtin": "Built-in skill",
    "http": "Your own endpoint",
    "llm": "Language model",
}
LIFETIMES: Final = (("", "Never"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"))
KEEP: Final = "keep"
MICROS: Final = 1_000_000
SCHEMA_ROWS: Final = 10


def _dollars(most_micros: int) -> dict[str, Any]:
    """How an amount in dollars is typed that is kept in micro-dollars."""
    most = Decimal(most_micros) / MICROS
    return {"min_value": Decimal(0), "max_value": most, "decimal_places": 6, "max_digits": 14}


class RuntimeForm(forms.Form):
    """The fields that a kind of agent has beside those of all agents."""

    runtime: str
    present: Object
    """The config that is edited; empty for a new agent."""

    def add_runtime_fields(self) -> None:
        for name, field in runtime_fields(self.runtime).items():
            self.fields[name] = field

    def config(self) -> Object:
        """What these fields say, as the runtime takes it; what has no field stays as it is."""
        given = {name: self.cleaned_data[name] for name in runtime_fields(self.runtime)}
        whole = {**self.present, **given}
        return {name: value for name, value in whole.items() if value}


class AgentForm(RuntimeForm):
    """A new agent."""

    about: ClassVar = ("name", "slug", "purpose", "project")

    name = forms.CharField(max_length=80)
    slug = forms.SlugField(
        max_length=40, required=False, help_text="Stands in addresses. Made from the name if empty."
    )
    purpose = forms.CharField(
        required=False,
        max_length=PURPOSE_MAX,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="What it is for, in a sentence that its callers understand.",
    )

    def __init__(self, *args: Any, runtime: str, projects: Choices, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.runtime, self.present = runtime, {}
        self.add_runtime_fields()
        self.fields["project"] = forms.ChoiceField(choices=list(projects))
        self.fields["timeout_seconds"] = _timeout()
        self.fields["draft"] = forms.BooleanField(
            label="Leave it as a draft for now",
            required=False,
            help_text="Nobody can call a draft.",
        )
        self.order_fields([*self.about, *runtime_fields(runtime)])

    def what(self) -> list[forms.BoundField]:
        """The fields that say what it is."""
        return [self[name] for name in self.about]

    def how(self) -> list[forms.BoundField]:
        """The fields that say how it works."""
        return [field for field in self if field.name not in self.about]


class AgentEditForm(RuntimeForm):
    """Changes to the version of an agent that was read."""

    version = forms.CharField(widget=forms.HiddenInput)
    name = forms.CharField(max_length=80)
    purpose = forms.CharField(
        required=False, max_length=PURPOSE_MAX, widget=forms.Textarea(attrs={"rows": 2})
    )

    def __init__(
        self,
        *args: Any,
        runtime: str,
        config: Object,
        projects: Choices,
        members: Choices,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.runtime, self.present = runtime, config
        self.add_runtime_fields()
        self.fields["project"] = forms.ChoiceField(choices=list(projects))
        self.fields["accountable"] = forms.ChoiceField(
            choices=list(members), help_text="Who answers for what it does."
        )
        self.fields["timeout_seconds"] = _timeout()

    def fix_project(self, present: tuple[str, str]) -> None:
        """Show the project to somebody who can't move the agent to another."""
        field: Any = self.fields["project"]
        field.choices, field.help_text = [present], FIXED


class CapabilityForm(forms.Form):
    """One thing that an agent offers. What its runtime fixes has no field."""

    description = forms.CharField(
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Agents choose their tools by this text.",
    )
    auth = forms.ChoiceField(label="Who may call it", choices=AuthRequirement.choices)
    price = forms.DecimalField(
        label="Price of a call, in US dollars", initial=0, **_dollars(PRICE_MAX)
    )

    def __init__(self, *args: Any, free: bool, new: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.free = free
        if new:
            self.fields["name"] = forms.CharField(
                max_length=64, help_text="Letters, digits, and . _ - and never changed later."
            )
        if free:
            self._add_free_fields()
        self.order_fields(["name", "description"])

    def _add_free_fields(self) -> None:
        for name, label in ANNOTATION_LABELS.items():
            self.fields[name] = forms.BooleanField(label=label, required=False)
        for name, label in SCHEMA_LABELS.items():
            self.fields[name] = _json_field(label)

    def values(self) -> dict[str, Any]:
        """What was given, as the services take it."""
        data = self.cleaned_data
        found: dict[str, Any] = {
            "description": data["description"],
            "auth": data["auth"],
            "price_micros": int(data["price"] * MICROS),
        }
        if "name" in self.fields:
            found["name"] = data["name"]
        if self.free:
            found["annotations"] = {name: data[name] for name in ANNOTATIONS}
            found |= {name: data[name] for name in SCHEMA_LABELS}
        return found


ANNOTATION_LABELS: Final = {
    "read_only": "It only reads",
    "destructive": "It may destroy something",
    "idempotent": "Calling it again with the same input changes nothing more",
    "open_world": "It reaches the world outside",
}
SCHEMA_LABELS: Final = {"input_schema": "Input schema", "output_schema": "Output schema"}


class GrantChangeForm(forms.Form):
    """What of an agent another one may call, and until when."""

    tools = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple, help_text="Every tool includes those that come later."
    )
    lifetime = forms.ChoiceField(label="Ends", required=False)
    lifetimes: ClassVar[Choices] = ((KEEP, "As it is now"), *LIFETIMES)

    def __init__(self, *args: Any, tools: Iterable[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [(EVERY_TOOL, "Every tool"), *((name, name) for name in tools)]
        self.fields["tools"].choices = names  # type: ignore[attr-defined]
        self.fields["lifetime"].choices = self.lifetimes  # type: ignore[attr-defined]

    def terms(self, *, at: datetime) -> dict[str, Any]:
        """What was given, as the services take it; an end that stays is left out."""
        found: dict[str, Any] = {"tools": self.cleaned_data["tools"]}
        days = self.cleaned_data["lifetime"]
        if days != KEEP:
            found["expires_at"] = at + timedelta(days=int(days)) if days else None
        return found


class GrantForm(GrantChangeForm):
    """Another agent that may call this one, and what of it."""

    caller = forms.ChoiceField(help_text="The agent that gets to call this one.")
    lifetimes = LIFETIMES
    field_order = ("caller", "tools", "lifetime")

    def __init__(self, *args: Any, callers: Choices, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["caller"].choices = list(callers)  # type: ignore[attr-defined]


class NoteForm(forms.Form):
    """Why an agent is stopped."""

    note = forms.CharField(
        label="Why",
        required=False,
        max_length=NOTE_MAX,
        help_text="Shown to whoever finds it suspended.",
    )


class RetireForm(forms.Form):
    """The agent's slug, typed, because a retired agent never comes back."""

    slug = forms.CharField(label="Type the agent's slug to confirm")

    def __init__(self, *args: Any, agent_slug: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.agent_slug = agent_slug

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if slug.strip() != self.agent_slug:
            raise forms.ValidationError(f"Type “{self.agent_slug}” exactly.")
        return slug


class ProviderForm(forms.Form):
    """Somebody's language models, and the key to them."""

    name = forms.SlugField(max_length=40, help_text="Agents name it so; it never changes.")
    kind = forms.ChoiceField(label="API", choices=ProviderKind.choices)
    base_url = forms.CharField(
        label="Address of the API",
        required=False,
        max_length=URL_MAX,
        help_text="Empty for the provider’s own; such as https://models.example.com/v1.",
    )
    api_key = forms.CharField(
        label="API key",
        max_length=KEY_MAX,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Sealed at once and never shown again.",
    )


class ProviderKeyForm(forms.Form):
    """Another key, and where it may be sent."""

    base_url = forms.CharField(label="Address of the API", max_length=URL_MAX)
    api_key = forms.CharField(
        label="New API key",
        max_length=KEY_MAX,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="It takes the present one’s place at once.",
    )


class PriceForm(forms.Form):
    """What the org pays for a model's tokens."""

    model = forms.CharField(max_length=MODEL_MAX, help_text="As agents name it.")
    input_price = forms.DecimalField(
        label="US dollars for a million tokens in", **_dollars(PER_MILLION_MAX)
    )
    output_price = forms.DecimalField(
        label="US dollars for a million tokens out", **_dollars(PER_MILLION_MAX)
    )

    def values(self) -> dict[str, Any]:
        """What was given, as the services take it."""
        data = self.cleaned_data
        return {
            "model": data["model"],
            "input_micros": int(data["input_price"] * MICROS),
            "output_micros": int(data["output_price"] * MICROS),
        }


def _json_field(label: str) -> forms.Field:
    return JsonObjectField(
        label=label,
        rows=SCHEMA_ROWS,
        otherwise="A JSON Schema is an object.",
        help_text="JSON Schema 2020-12 of an object.",
        initial=pretty({"type": "object"}),
    )


def _timeout() -> forms.Field:
    return forms.IntegerField(
        label="Timeout in seconds",
        min_value=1,
        max_value=TIMEOUT_MAX,
        initial=60,
        help_text=f"A run that takes longer is ended. At most {TIMEOUT_MAX}.",
    )
