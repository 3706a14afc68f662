"""Takes secrets out of what is about to be written down, by the names and the shapes they have.

The last line, not the first: code should not log secrets at all. So it errs towards taking out too
much, and it looks into everything, tracebacks too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

REDACTED: Final = "[redacted]"

_WORDS: Final = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|authorization|cookies?|ticket|"
    r"api[_-]?key|private[_-]?key|access[_-]?key|secret[_-]?key|session[_-]?(?:key|id)|"
    r"credentials?|otp|totp|recovery[_-]?codes?|kek|dek|jwt|csrfmiddlewaretoken"
)
_SUFFIX: Final = r"(?:[_-]?(?:value|hash|\d+))?"
_SECRET_NAME: Final = re.compile(rf"(?:.*[_-])?(?:{_WORDS}){_SUFFIX}", re.I)
_NUMBER_NAME: Final = re.compile(r".*(?:count|total|tokens|expires?(?:_at|_in)?)", re.I)

_VALUE: Final = (
    r"""(?:\[redacted\]|\\["'].*?\\["']|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;&"'})\]]+)"""
)


def _shape(
    pattern: str, replacement: str, flags: re.RegexFlag = re.I
) -> tuple[re.Pattern[str], str]:
    return re.compile(pattern, flags), replacement


_SHAPES: Final = [
    # A private key in PEM, whole, also with its line breaks escaped, also cut off.
    _shape(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
        REDACTED,
        re.S,
    ),
    # Headers of which the whole rest of the line is secret.
    _shape(
        r"""\b((?:proxy-)?authorization|(?:set-)?cookie)(["']?\s*[:=]\s*+["']?+)"""
        r"""(?!\[redacted\])[^\r\n"']+""",
        rf"\1\2{REDACTED}",
    ),
    _shape(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", rf"\1 {REDACTED}"),
    # user:password@host in any URL: to the last @ before a slash, for passwords may hold one.
    _shape(r"""(\w://[^\s/:@'"]*):[^\s/'"]+@""", rf"\1:{REDACTED}@"),
    # Query parameters that are secret only there: an error `code=404` elsewhere is not.
    _shape(r"""([?&](?:code|state|key|sig|signature|nonce)=)[^&\s"'#]+""", rf"\1{REDACTED}"),
    # name=value, name: value, "name": "value", also as the last part of a longer name.
    _shape(
        rf"""((?<![a-z0-9])(?:\w{{0,40}}[_-])?(?:{_WORDS}){_SUFFIX}\\?["']?\s*[:=]\s*+){_VALUE}""",
        rf"\1{REDACTED}",
    ),
    # Keys that carry their own mark: ours, and those of others that pass through here.
    _shape(r"\bmnd_[\w.-]{4,}", f"mnd_{REDACTED}"),
    _shape(r"\b(?:sk|pk|rk)_(?:live|test)_\w{8,}|\bwhsec_[\w+/=]{8,}", REDACTED),
    _shape(r"\bsk-[\w-]{16,}|\bgh[pousr]_\w{16,}|\bAKIA[0-9A-Z]{16}\b", REDACTED),
    _shape(r"\bhvs\.[\w-]{16,}|\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*){1,3}", REDACTED),
]


# What no secret is without, whatever its shape: most texts have none of it and are passed at once.
_HINT: Final = re.compile(
    r"[:=@]|private key|(?:bearer|basic)\s|mnd_|[spr]k_|whsec_|sk-|gh[pousr]_|akia|hvs\.|eyj", re.I
)


_SHORT: Final = 80
_CLEAN_MAX: Final = 1000
_clean: Final[set[str]] = set()
"""Short texts that were looked through and hold no secret: a route stands in every line."""


def redact_text(text: str) -> str:
    """Replace what looks like a secret in free text."""
    if text in _clean or not _HINT.search(text):
        return text
    redacted = text
    for shape, replacement in _SHAPES:
        redacted = shape.sub(replacement, redacted)
    if redacted == text and len(text) <= _SHORT and len(_clean) < _CLEAN_MAX:
        _clean.add(text)
    return redacted


def is_plain(value: Any, name: str) -> bool:
    """Whether a value can be written down as it is: most can, and are told apart at once."""
    if _is_secret_name(name):
        return False
    kind = type(value)
    return kind is int or kind is float or (kind is str and not _HINT.search(value))


def redact(value: Any, name: str = "") -> Any:
    """Replace secrets in a value of any shape, given the name under which it stands.

    Every object becomes text here, for a renderer that calls repr() later would undo the work.
    """
    if name and _is_secret_name(name) and value not in (None, "", True, False):
        return REDACTED
    if isinstance(value, Mapping):
        return {str(key): redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact_text(_as_text(value))


@lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    return bool(_SECRET_NAME.fullmatch(name)) and not _NUMBER_NAME.fullmatch(name)


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    plain: tuple[Callable[..., Any], ...] = (str, UUID, date, datetime)
    return str(value) if isinstance(value, plain) else repr(value)  # type: ignore[arg-type]
