"""JSON with one spelling: strict reading, and the canonical form that is signed and hashed.

Two programs that read one document differently can be told two stories by it, so what has more
than one reading is refused at the door: duplicate members, NaN and Infinity, integers that a double
can't hold, lone surrogates, bytes that aren't UTF-8 (I-JSON, RFC 7493). What `loads` lets in,
`dumps` can write (RFC 8785).
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Final, TypeAlias, cast

import rfc8785

from apps.trust.errors import JsonInvalid

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 64
MAX_INTEGER: Final = 2**53 - 1  # beyond it a double skips integers (RFC 7493 §2.2)
_DIGITS: Final = len("-100000000000000000000")  # from 1e21 on JCS writes an exponent
_SCALARS: Final = frozenset({str, bool, type(None)})
_write: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def dumps(value: object) -> bytes:
    """Write a value in its one canonical spelling (RFC 8785), in UTF-8.

    Raises JsonInvalid for what has none: NaN, integers beyond ±(2^53 - 1), keys that aren't text,
    lone surrogates, types that JSON doesn't know, and nesting beyond MAX_DEPTH.
    """
    try:
        if _is_plain(value):
            return _write(value).encode()
        _check_depth(value)
        return rfc8785.dumps(cast("JsonObject", value))
    except (TypeError, rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise JsonInvalid("a value that JSON can't hold exactly") from error


def loads(text: str | bytes, *, max_bytes: int = MAX_BYTES) -> JsonValue:
    """Read JSON that means the same to every reader; raises JsonInvalid for any other."""
    source = _decode(text, max_bytes)
    try:
        value: JsonValue = json.loads(
            source,
            object_pairs_hook=_members,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except (json.JSONDecodeError, RecursionError) as error:
        raise JsonInvalid("not a JSON text") from error
    _check_depth(value)
    if "\\u" in source:  # only an escape can smuggle a lone surrogate into valid UTF-8
        _check_surrogates(value)
    return value


def loads_object(text: str | bytes, *, max_bytes: int = MAX_BYTES) -> JsonObject:
    """Read strict JSON whose top level is an object; raises JsonInvalid."""
    value = loads(text, max_bytes=max_bytes)
    if not isinstance(value, dict):
        raise JsonInvalid("not a JSON object")
    return value


def digest(value: object) -> bytes:
    """Name a value by its content: SHA-256 over the canonical form, 32 bytes."""
    return hashlib.sha256(dumps(value)).digest()


def _decode(text: str | bytes, max_bytes: int) -> str:
    """Take UTF-8 and nothing else: json.loads would guess UTF-16 and UTF-32 from the bytes."""
    try:
        data = text.encode() if isinstance(text, str) else text
        if len(data) > max_bytes:
            raise JsonInvalid(f"more than {max_bytes} bytes")
        return data.decode()
    except UnicodeError as error:
        raise JsonInvalid("not UTF-8") from error


def _members(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonInvalid("a member name occurs twice")
    return members


def _integer(digits: str) -> int | float:
    """Take an integer beyond 2^53 - 1 only if it is how a double is spelled canonically.

    JCS writes 1e20 as 100000000000000000000, so that must read back; 9007199254740993, which a
    double would silently round, is refused.
    """
    # The length comes first: turning a million digits into an int takes quadratic time.
    if len(digits) <= _DIGITS and abs(int(digits)) <= MAX_INTEGER:
        return int(digits)
    if len(digits) <= _DIGITS and rfc8785.dumps(float(digits)) == digits.encode():
        return float(digits)
    raise JsonInvalid("an integer that a double can't hold")


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise JsonInvalid("a number beyond the range of a double")
    return number


def _constant(name: str) -> JsonValue:
    raise JsonInvalid(f"{name} is not JSON")


def _is_plain(value: object) -> bool:
    """Whether Python's own writer spells it as RFC 8785 does, several times as fast: it has no
    floats, no integer that a double can't hold, and member names whose order is the same in UTF-16.
    """
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind in _SCALARS:
                continue
            if kind is dict:
                if not "".join(item).isascii():  # which raises for a name that is no text
                    return False
                below.extend(item.values())
            elif kind is list or kind is tuple:
                below.extend(item)
            elif kind is int:
                if not -MAX_INTEGER <= item <= MAX_INTEGER:
                    return False
            elif not isinstance(item, str):
                return False
        if not below:
            return True
        level = below
    return False


def _check_depth(value: object) -> None:
    """Bound the nesting level by level, without recursing into what may be too deep to recurse."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise JsonInvalid(f"nested deeper than {MAX_DEPTH}")


def _children(value: object) -> list[object]:
    """The containers directly inside a container: scalars can't nest, so they aren't walked."""
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list | tuple):
        inner = list(value)
    else:
        return []
    return [child for child in inner if isinstance(child, dict | list | tuple)]


def _check_surrogates(value: JsonValue) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise JsonInvalid("a lone surrogate") from error
