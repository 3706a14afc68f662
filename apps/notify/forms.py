"""What people fill in: the ways of each kind, and channels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django import forms

from apps.common.forms import NameField
from apps.notify.gateways.services import CHOICES
from apps.notify.kinds import Kind, list_kinds
from apps.notify.models import Digest
from apps.notify.selectors import Choice
from apps.notify.services.preferences import Ways

BELL = "bell"
WAYS = ((BELL, "Bell"), ("email", "Mail"), ("channels", "Your channels"))
ADDRESS = forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "class": "input"})


@dataclass(frozen=True, slots=True)
class KindRow:
    """A kind with its boxes, as the table of preferences shows it."""

    kind: Kind
    boxes: list[forms.BoundField]


class PreferencesForm(forms.Form):
    """One box for each kind and way, and how often mail is gathered."""

    digest = forms.ChoiceField(
        label="When it leaves",
        choices=Digest.Every.choices,
        widget=forms.RadioSelect,
        help_text="Gathered mail leaves on the hour, or every day at 07:00 UTC, with what you have "
        "not read by then.",
    )

    def __init__(self, *args: Any, choices: Iterable[Choice], every: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["digest"].initial = every
        self.kinds = [choice.kind for choice in choices]
        for choice in choices:
            for way, label in WAYS:
                self.fields[_box(choice.kind, way)] = forms.BooleanField(
                    required=False,
                    initial=getattr(choice, way),
                    disabled=choice.kind.always and way == BELL,
                    label=f"{label}: {choice.kind.label}",
                )

    def rows(self) -> Iterator[KindRow]:
        for kind in self.kinds:
            yield KindRow(kind, [self[_box(kind, way)] for way, _ in WAYS])

    def ways(self) -> dict[str, Ways]:
        """What was chosen, by kind."""
        data = self.cleaned_data
        return {
            kind.code: Ways(**{way: data[_box(kind, way)] for way, _ in WAYS})
            for kind in self.kinds
        }


class _Kinds(forms.MultipleChoiceField):
    """Which kinds go to a channel."""

    def __init__(self) -> None:
        super().__init__(
            label="What goes there",
            required=False,
            choices=lambda: [(kind.code, kind.label) for kind in list_kinds()],
            widget=forms.CheckboxSelectMultiple,
            help_text="None means everything.",
        )


class ChannelForm(forms.Form):
    """A new channel."""

    name = NameField(max_length=80, help_text="How you know it again, such as “On call”.")
    service = forms.ChoiceField(choices=CHOICES)
    url = forms.CharField(
        label="Address",
        max_length=1000,
        widget=ADDRESS,
        help_text="As the service gives it to you, or the https address of your endpoint. "
        "It is sealed and never shown again.",
    )
    kinds = _Kinds()


class ChannelChangeForm(forms.Form):
    """A channel's name and kinds, and another address if one is typed."""

    name = NameField(max_length=80)
    url = forms.CharField(
        label="New address",
        required=False,
        max_length=1000,
        widget=ADDRESS,
        help_text="Leave it empty to keep the present one.",
    )
    kinds = _Kinds()


def _box(kind: Kind, way: str) -> str:
    return f"{kind.code}:{way}"
