"""Reads a JSON body strictly, so that what is checked is what was sent and what can be stored."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import IO, Any, Final, Never

from django.conf import settings
from rest_framework.parsers import BaseParser

from apps.common.errors import BadRequest
from apps.common.problem import TooLarge

_UNSTORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")


class StrictJSONParser(BaseParser):
    """I-JSON (RFC 7493): UTF-8, no name twice in an object, no NaN, no half of a surrogate pair.

    DRF's own parser reads a body of any size, keeps the last of two equal names (where a proxy or a
    signature may have seen the first), and answers 500 to a deep nesting. NUL is refused too, for
    Postgres has no place for it in text.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise TooLarge(f"A body may have {limit} bytes.")
        try:
            value = json.loads(
                body.decode(), object_pairs_hook=_unique_names, parse_constant=_refuse_constant
            )
            if b"\\u" in body:
                _refuse_unstorable(value)
        except UnicodeDecodeError as error:
            raise BadRequest("The body is not UTF-8.") from error
        except json.JSONDecodeError as error:
            raise BadRequest(f"The body is not JSON: {error}.") from error
        except ValueError as error:
            raise BadRequest(f"The body is not JSON that can be taken: {error}.") from error
        except RecursionError as error:
            raise BadRequest("The body is nested too deeply.") from error
        return value


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return members


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not a number")


def _refuse_unstorable(value: Any) -> None:
    """Only escapes can bring these in, so most bodies are never walked."""
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_unstorable(name)
            _refuse_unstorable(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_unstorable(item)
    elif isinstance(value, str) and _UNSTORABLE.search(value):
        raise ValueError("a text holds NUL or half of a surrogate pair")
