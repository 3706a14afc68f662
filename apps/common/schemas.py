"""JSON Schema 2020-12: whether a schema is one, and whether a value satisfies it.

Schemas come from people and agents, so nothing in them may reach out or take for ever: a `$ref`
to another document is never fetched, patterns run on an engine that is linear in the text, and no
value is checked more often than `schema_weight` allows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Never

import jsonschema_rs

from apps.common.errors import FieldError, Invalid
from apps.common.json import Object
from apps.common.schema_weight import TooHeavy, check_weight

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
MAX_SCHEMA_BYTES: Final = 64_000
_MAX_ERRORS: Final = 20
_PATTERNS: Final = jsonschema_rs.RegexOptions(size_limit=1_000_000)

Validator = jsonschema_rs.Draft202012Validator
Kind = jsonschema_rs.ValidationErrorKind


def compile_schema(schema: Mapping[str, Any]) -> Validator:
    """Make the validator of a schema that `check_schema` let pass."""
    return Validator(
        dict(schema),
        pattern_options=_PATTERNS,
        validate_formats=True,
        ignore_unknown_formats=True,
        retriever=_refuse,
        mask="The value",
    )


def check_schema(schema: Any, *, field: str) -> Object:
    """Give the schema back if it describes an object; raises Invalid naming `field`.

    A tool takes and gives JSON objects (MCP's `inputSchema`), so its type must be "object".
    """
    if not isinstance(schema, dict):
        raise Invalid.of(field, "A JSON Schema is an object.")
    if schema.get("$schema", DIALECT) != DIALECT:
        raise Invalid.of(f"{field}.$schema", f"Only {DIALECT} is understood.")
    if schema.get("type") != "object":
        raise Invalid.of(f"{field}.type", 'A tool takes and gives objects: use "type": "object".')
    try:
        size = len(json.dumps(schema, ensure_ascii=False))
    except (ValueError, RecursionError) as error:
        raise Invalid.of(field, "The schema is nested too deeply, or isn't JSON.") from error
    if size > MAX_SCHEMA_BYTES:
        raise Invalid.of(field, f"A schema may have {MAX_SCHEMA_BYTES} characters.")
    try:
        compile_schema(schema)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise Invalid.of(field, f"This is no valid JSON Schema: {_first_line(error)}") from error
    try:
        check_weight(schema)
    except TooHeavy as error:
        raise Invalid.of(field, f"This schema can't be taken: {error}.") from error
    return schema


def find_errors(validator: Validator, value: object, *, root: str) -> list[FieldError]:
    """What keeps a value from satisfying a schema, each at its dotted path below `root`,
    which is "" for the body as a whole.
    """
    return list(_errors(validator, value, root))


def _errors(validator: Validator, value: object, root: str) -> Iterator[FieldError]:
    for count, error in enumerate(validator.iter_errors(value)):
        if count == _MAX_ERRORS:
            return
        path = [*filter(None, [root]), *(str(part) for part in error.instance_path)]
        match error.kind:
            case Kind.Required(property=name):
                yield FieldError(field=".".join([*path, name]), message="This field is required.")
            case Kind.AdditionalProperties(unexpected=names):
                for name in names:
                    yield FieldError(field=".".join([*path, name]), message="Unknown field.")
            case _:
                yield FieldError(field=".".join(path), message=_first_line(error))


def _first_line(error: Exception) -> str:
    text = getattr(error, "message", "") or str(error)
    return text.splitlines()[0][:300]


def _refuse(uri: str) -> Never:
    raise ValueError(f"{uri[:200]} is another document; a schema must stand alone")
