"""What the forms of agents read from text areas."""

from __future__ import annotations

import pytest

from apps.agents.forms import CapabilityForm
from apps.agents.runtimes.builtin import RUNTIME, SKILLS

FINE = '{"type": "object", "title": "Größe"}'


def filled(schema: str) -> CapabilityForm:
    data = {"auth": "any", "price": "0", "input_schema": schema, "output_schema": FINE}
    return CapabilityForm(data, free=True)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ('{"type": "object", "title": "\\u0000"}', "title: A text can't hold NUL"),
        ('{"type": "object", "maxProperties": 1e400}', "maxProperties: A number is finite"),
        ('{"type": "object", "type": "object"}', "This can't be held as JSON."),
        ('{"type": "object", "const": NaN}', "This can't be held as JSON."),
        ("{", "This is no JSON: "),
        ("[]", "A JSON Schema is an object."),
        (" ", "This field is required."),
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused_at_its_field(schema: str, said: str) -> None:
    form = filled(schema)
    assert not form.is_valid()
    assert list(form.errors) == ["input_schema"]
    assert said in form.errors["input_schema"][0]


def test_a_schema_is_read_from_its_text() -> None:
    form = filled(FINE)
    assert form.is_valid(), form.errors
    assert form.values()["input_schema"] == {"type": "object", "title": "Größe"}


def test_one_skill_may_compute_long() -> None:
    assert [name for name in SKILLS if RUNTIME.is_long({"skill": name})] == ["json-transform"]
