from __future__ import annotations

from uuid import UUID

import pytest

from apps.common.errors import Invalid, NotFound
from apps.common.ids import parse_id, public_id, uuid7
from apps.common.text import free_slug, is_slug, make_slug

HEX = "0190f7c26d1e7b5a9c3e2f4b6a8d0e11"


def test_ids_are_version_7_and_grow():
    made = [uuid7() for _ in range(10_000)]
    assert {value.version for value in made} == {7}
    assert made == sorted(made)


def test_a_public_id_reads_back():
    assert public_id("prj", UUID(HEX)) == f"prj_{HEX}"
    assert parse_id("prj", f"prj_{HEX}") == UUID(HEX)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "prj",
        "prj_",
        HEX,
        f"run_{HEX}",
        f"prj_{HEX.upper()}",
        f"prj_{HEX}\n",
        f"prj_{HEX[:-1]}",
        f"prj_{HEX}0",
        f"prj_{UUID(HEX)}",
        f"prj_{{{HEX}}}",
        f"prj__{HEX}",
        "prj_" + "٠" * 32,
    ],
)
def test_a_second_spelling_of_an_id_is_not_found(text):
    with pytest.raises(NotFound):
        parse_id("prj", text)


def test_errors_of_fields_reach_forms_by_field():
    error = Invalid(
        errors=[
            {"field": "name", "message": "too long"},
            {"field": "name", "message": "taken"},
            {"field": "", "message": "no"},
        ]
    )
    assert error.by_field == {"name": ["too long", "taken"], "": ["no"]}
    assert Invalid.of("slug", "taken").extra["errors"] == [{"field": "slug", "message": "taken"}]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Acme & Söhne GmbH", "acme-sohne-gmbh"),
        ("  --Über_uns--  ", "uber-uns"),
        ("日本", "org"),
        ("x" * 60, "x" * 40),
        ("a" * 39 + " b", "a" * 39),
    ],
)
def test_a_slug_is_made_of_a_name(name, slug):
    assert make_slug(name, fallback="org") == slug
    assert is_slug(slug)


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a_b", "a.b", "a" * 41, "ä", "a\n"])
def test_what_no_host_name_can_hold_is_no_slug(text):
    assert not is_slug(text)


def test_a_taken_slug_gets_the_first_free_number():
    taken = {"acme", "acme-2", "x" * 40}
    assert free_slug("beta", is_taken=taken.__contains__) == "beta"
    assert free_slug("acme", is_taken=taken.__contains__) == "acme-3"
    assert free_slug("x" * 40, is_taken=taken.__contains__) == "x" * 38 + "-2"
