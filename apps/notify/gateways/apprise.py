"""Messages to the services that Apprise speaks to, through our own egress and nothing else.

Apprise's plugins call `requests`, which would go wherever it is told. So only the plugins that are
offered are ever imported, each one at a time and never by Apprise's loader, and in each the name
`requests` is replaced, once, by an object that knows nothing but our session. That session has one
adapter: it lets through what a delivery of ours is sending right now, to the hosts of its service,
and hands it to egress, which judges it like every other request. A plugin that reached for anything
else of `requests` would fail and not get out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter

from apps.common import egress
from apps.common.egress import EgressFailed, EgressRefused
from apps.common.errors import Invalid
from apps.notify.gateways.messages import SECONDS, Address, Message, NotDelivered
from apps.notify.gateways.services import Service

ANSWER_MAX: Final = 256 * 1024
_PASSED_ON: Final = frozenset({"codes", "RequestException", "exceptions"})
_VERBS: Final = frozenset({"get", "post", "put", "patch", "delete", "request"})
_OPTIONS: Final = ("qsd", "qsd+", "qsd-", "qsd:")
_NOT_SENT: Final = frozenset({"connection", "accept-encoding", "content-length", "host"})


@dataclass(slots=True)
class Visit:
    """One delivery that is under way: whose it is, where it may go, what came of it."""

    service: Service
    scope: str
    outcome: str = ""


_visit: ContextVar[Visit | None] = ContextVar("notify_visit", default=None)


class EgressAdapter(BaseAdapter):
    """The only way out of our session. Raises ConnectionError for what it doesn't let through."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        visit = _visit.get()
        host = urlsplit(request.url or "").hostname or ""
        if visit is None or not visit.service.leads_to(host):
            raise requests.ConnectionError("This request leads elsewhere than its service.")
        try:
            answer = egress.request(
                request.method or "",
                request.url or "",
                scope=visit.scope,
                headers=_sendable(request.headers),
                content=_as_bytes(request.body),
                timeout=SECONDS,
                max_bytes=ANSWER_MAX,
            )
        except (EgressRefused, EgressFailed) as error:
            visit.outcome = f"{error.title}."
            raise requests.ConnectionError("Egress did not let this through.") from error
        visit.outcome = f"{visit.service.label} answered {answer.status}."
        return _response(request, answer)

    def close(self) -> None:
        """There is nothing to close: egress keeps the connections."""


class Session(requests.Session):
    """A session without any adapter but ours, and deaf to proxies and .netrc of the process."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.adapters.clear()
        self.mount("https://", EgressAdapter())


class Requests:
    """What a plugin has in the place of the module `requests`: its verbs, codes and errors."""

    def __getattr__(self, name: str) -> Any:
        if name in _PASSED_ON:
            return getattr(requests, name)
        if name in _VERBS:
            return getattr(_Once(), name)
        raise AttributeError(f"plugins have no requests.{name} here")


class _Once:
    """One call in a session of its own: no cookie is kept, and no redirect followed."""

    def __getattr__(self, verb: str) -> Any:
        def call(*args: Any, **options: Any) -> requests.Response:
            options |= {"allow_redirects": False, "verify": True, "proxies": {}}
            with Session() as session:
                answer: requests.Response = getattr(session, verb)(*args, **options)
                return answer

        return call


def check(service: Service, url: str) -> None:
    """Refuse an address that isn't one of this service. Raises Invalid, which doesn't quote it."""
    _open(service, url)


def send(service: Service, address: Address, message: Message, *, scope: str) -> None:
    """Deliver once. Raises NotDelivered."""
    plugin = _open(service, address.url)
    with _visiting(Visit(service, scope)) as visit:
        done = plugin.notify(
            title=message.title,
            body=message.markdown if service.is_markdown else message.text,
            notify_type=service.tone,
            body_format="markdown" if service.is_markdown else "text",
        )
    if not done:
        raise NotDelivered(visit.outcome or f"{service.label} could not be called.")


@contextmanager
def _visiting(visit: Visit) -> Iterator[Visit]:
    token = _visit.set(visit)
    try:
        yield visit
    finally:
        _visit.reset(token)


def _open(service: Service, url: str) -> Any:
    """The plugin for this address. Raises Invalid."""
    plugin = load(service)
    refused = Invalid.of(
        "url", f"This is no address of {service.label}. One looks like {service.shape}."
    )
    is_native = url[:8].lower() == "https://"
    parsed = plugin.parse_native_url(url) if is_native else plugin.parse_url(url)
    if not parsed or parsed.get("schema") not in _schemas(plugin):
        raise refused
    _check_options(service, parsed)
    try:
        found = plugin(asset=_asset(), **parsed)
    except (TypeError, ValueError) as error:
        raise refused from error
    if "{host}" in "".join(plugin.templates) and not service.leads_to(str(found.host).lower()):
        raise refused
    for name, value in service.signed:
        setattr(found, name, value)
    return found


def _check_options(service: Service, parsed: Mapping[str, Any]) -> None:
    """What follows the question mark, as Apprise itself has read it."""
    said = {name for part in _OPTIONS for name in parsed.get(part) or ()}
    if unknown := sorted(said - service.options):
        names = ", ".join(name[:40] for name in unknown)
        raise Invalid.of("url", f"The address has options that are not allowed: {names}.")


@lru_cache(maxsize=32)
def load(service: Service) -> Any:
    """The service's plugin, imported by itself and cut off from the network."""
    for name in ("apprise", "markdown"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # its warnings quote addresses
    module_name, _, class_name = service.plugin.partition(".")
    module = import_module(f"apprise.plugins.{module_name}")
    module.requests = Requests()  # type: ignore[attr-defined]
    return getattr(module, class_name)


@lru_cache(maxsize=1)
def _asset() -> Any:
    """Nothing of Apprise's own in a message, on the disk, or on another thread."""
    from apprise import AppriseAsset

    asset = AppriseAsset(app_id="Mandate", app_desc="Mandate", storage_mode="memory")
    asset.image_url_mask = asset.image_url_logo = ""
    asset.http_redirects = asset.async_mode = asset._allow_templates = False
    return asset


def _schemas(plugin: Any) -> frozenset[str]:
    found = plugin.secure_protocol
    return frozenset([found] if isinstance(found, str) else found)


def _sendable(headers: Mapping[str, str | bytes]) -> dict[str, str]:
    """A plugin's headers, without those that are egress' own to set."""
    texts = {
        name: value.decode("latin-1") if isinstance(value, bytes) else value
        for name, value in headers.items()
    }
    return {name: value for name, value in texts.items() if name.lower() not in _NOT_SENT}


def _as_bytes(body: Any) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    raise requests.ConnectionError("Only a body that is at hand can be sent.")


def _response(
    request: requests.PreparedRequest, answer: egress.EgressResponse
) -> requests.Response:
    found = requests.Response()
    found.status_code = answer.status
    found.headers.update(answer.headers)
    found.url, found.request = answer.url, request
    found._content = answer.content
    return found
