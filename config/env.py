"""The environment, read with types: a value that can't be meant is refused by its name.

What the environment doesn't say, the running instance's own files may (`MANDATE_HOME`), so that
manage.py works in a second shell.
"""

from __future__ import annotations

import base64
import binascii
import os
from functools import cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from config.defaults import DEFAULTS
from config.local.home import instance_env

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


@cache
def _instance() -> dict[str, str]:
    return instance_env()


def text(name: str, default: str | None = None) -> str:
    """The setting's value; without one and without a default the process doesn't start."""
    value = os.environ.get(name) or _instance().get(name) or DEFAULTS.get(name) or default
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set: start with `make run`, or set it yourself")
    return value


def boolean(name: str, default: bool = False) -> bool:
    value = text(name, str(default)).lower()
    if value not in _TRUE | _FALSE:
        raise ImproperlyConfigured(f"{name} must be one of true or false, not {value!r}")
    return value in _TRUE


def integer(name: str, default: int, *, least: int = 0) -> int:
    value = text(name, str(default))
    if not value.isdecimal() or int(value) < least:
        raise ImproperlyConfigured(f"{name} must be a whole number from {least}, not {value!r}")
    return int(value)


def names(name: str, default: str = "") -> list[str]:
    """A comma-separated list, blanks dropped."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def origins(name: str) -> list[tuple[str, str, int]]:
    """A comma-separated list of origins such as http://10.0.0.5:8000, as (scheme, host, port)."""
    return [_origin(name, url) for url in names(name)]


def _origin(name: str, url: str) -> tuple[str, str, int]:
    refusal = ImproperlyConfigured(f"{name}: {url!r} is no origin such as http://10.0.0.5:8000")
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError as error:
        raise refusal from error
    rest = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if not port or not parts.hostname or rest:
        raise refusal
    return parts.scheme, parts.hostname, port


def addresses(name: str, port: int) -> list[tuple[str, int]]:
    """A comma-separated list of IP addresses, each with a port of its own or this one."""
    return [_address(name, part, port) for part in names(name)]


def _address(name: str, text: str, port: int) -> tuple[str, int]:
    refusal = ImproperlyConfigured(f"{name}: {text!r} is no address such as 192.0.2.1:53")
    bare = text.count(":") > 1 and not text.startswith("[")
    try:
        parts = urlsplit(f"//[{text}]" if bare else f"//{text}")
        host = str(ip_address(parts.hostname or ""))
        return host, parts.port or port
    except ValueError as error:
        raise refusal from error


def key_bytes(name: str, length: int, default: str | None = None) -> bytes:
    """A base64 key of exactly `length` bytes."""
    return _key(name, text(name, default), length)


def many_keys(name: str, length: int) -> list[bytes]:
    """A comma-separated list of base64 keys, the newest first."""
    return [_key(name, each, length) for each in names(name)]


def _key(name: str, text: str, length: int) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except binascii.Error:
        value = b""
    if len(value) != length:
        raise ImproperlyConfigured(f"{name} must be {length} bytes in base64")
    return value


def database(url: str, **extra: Any) -> dict[str, Any]:
    """A Django database from `postgresql://user:password@host:port/name?option=value`."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/"):
        raise ImproperlyConfigured("a database URL looks like postgresql://user:password@host/name")
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "apps.tenants.backend",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 0,
        # For the statements that are sent prepared (apps.tenants.backend); Django's own aren't.
        "OPTIONS": {"prepare_threshold": 5, **options, **extra.pop("OPTIONS", {})},
        **extra,
    }
