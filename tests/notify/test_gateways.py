"""Where a channel's messages can go: to its service's hosts, through egress, and nowhere else."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import requests

from apps.common import egress
from apps.common.egress import EgressClient, EgressPolicy, EgressResponse
from apps.common.errors import Invalid
from apps.common.webhooks import new_secret, signed_headers
from apps.notify.gateways import apprise, webhook
from apps.notify.gateways.messages import Address, Message, NotDelivered
from apps.notify.gateways.services import CHOICES, SERVICES, WEBHOOK

MESSAGE = Message(
    id="dlv_1",
    kind="tests.thing.happened",
    label="A thing happened",
    title="The thing is there",
    body="It came by night.",
    url="http://acme.localhost:8000/things/1/",
    org="Acme",
    at=datetime(2027, 1, 31, 12, tzinfo=UTC),
)
# One address of each service, as it gives it out or as Apprise writes it.
ADDRESSES = {
    "slack": "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7",
    "teams": "https://prod-1.westeurope.logic.azure.com:443/workflows/abcdef0123/triggers/manual/"
    "paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=abcd0123abcd",
    "discord": f"https://discord.com/api/webhooks/{'1' * 18}/{'a' * 68}",
    "google_chat": "https://chat.googleapis.com/v1/spaces/AAAAk6/messages?key=AIzaSy&token=abcdef",
    "webex": f"https://webexapis.com/v1/webhooks/incoming/{'a' * 80}",
    "telegram": "tgram://123456789:abcdefg_hijklmnop/12315544/",
    "pagerduty": f"pagerduty://{'a' * 32}@{'b' * 20}/",
    "opsgenie": "opsgenie://aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "pushover": f"pover://{'u' * 30}@{'t' * 30}",
}
ANSWERS = {"slack": b"ok", "opsgenie": b'{"requestId": "1"}', "pushover": b'{"status": 1}'}


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Sockets that were to be opened; none is."""
    tried: list[Any] = []

    def refuse(self: socket.socket, address: Any) -> None:
        tried.append(address)
        raise OSError("no socket is opened here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    return tried


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, Any]]]:
    """What egress was asked to send; everybody answers as their service does."""
    asked: list[tuple[str, str, dict[str, Any]]] = []

    def answer(method: str, url: str, **options: Any) -> EgressResponse:
        asked.append((method, url, options))
        host = urlsplit(url).hostname or ""
        found = (body for code, body in ANSWERS.items() if SERVICES[code].leads_to(host))
        return EgressResponse(200, httpx.Headers(), next(found, b'{"ok": true}'), url)

    monkeypatch.setattr(egress, "request", answer)
    return asked


def send(code: str, url: str) -> None:
    apprise.send(SERVICES[code], Address(url), MESSAGE, scope="org_acme")


# Every service that is offered ----------------------------------------------------------------


def test_every_service_is_tried_here() -> None:
    assert set(ADDRESSES) == set(SERVICES) == {code for code, _ in CHOICES} - {WEBHOOK}


@pytest.mark.parametrize("code", SERVICES)
def test_a_message_goes_to_its_service_through_egress_only(
    code: str, seen: list[Any], opened: list[Any]
) -> None:
    send(code, ADDRESSES[code])

    ((method, url, options),) = seen
    assert method == "POST" and url.startswith("https://")
    assert SERVICES[code].leads_to(urlsplit(url).hostname or "")
    assert options["scope"] == "org_acme" and options["timeout"] and options["max_bytes"]
    sent = options["content"].decode()
    said = requests.utils.unquote(sent.replace("+", " "))
    assert MESSAGE.title in said and "It came by night." in said
    assert "acme.localhost:8000/things/1/" in said.replace("\\/", "/")
    assert "apprise" not in sent.lower() and "apprise" not in str(options["headers"]).lower()
    assert opened == []


@pytest.mark.parametrize("code", SERVICES)
def test_without_egress_nothing_leaves(
    code: str, opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the one door shut, there is no other."""
    refused = egress.EgressRefused("Not now.")

    def refuse(*_: Any, **__: Any) -> EgressResponse:
        raise refused

    monkeypatch.setattr(egress, "request", refuse)
    with pytest.raises(NotDelivered, match="This address may not be called"):
        send(code, ADDRESSES[code])
    assert opened == []


@pytest.mark.parametrize("code", SERVICES)
def test_a_services_refusal_is_told_with_its_status(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(method: str, url: str, **_: Any) -> EgressResponse:
        return EgressResponse(403, httpx.Headers(), b"{}", url)

    monkeypatch.setattr(egress, "request", deny)
    with pytest.raises(NotDelivered, match=f"{SERVICES[code].label} answered 403"):
        send(code, ADDRESSES[code])


@pytest.mark.parametrize("code", SERVICES)
def test_only_a_service_whose_host_is_checked_takes_one_from_its_address(code: str) -> None:
    """Derived from Apprise's own description of an address: what names a host is Teams alone."""
    templates = "".join(apprise.load(SERVICES[code]).templates)
    assert ("{host}" in templates) is (code == "teams")


def test_markdown_says_what_the_text_says() -> None:
    tricky = replace(MESSAGE, body="[a](http://evil.example) *b* `c` <d> e_f")
    assert tricky.markdown == (
        "\\[a\\]\\(http://evil.example\\) \\*b\\* \\`c\\` \\<d\\> e\\_f\n\n" + MESSAGE.url
    )
    assert replace(MESSAGE, body="").text == MESSAGE.url


# What an address may not say ------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "workflows://127.0.0.1/abc/sig123/",
        "workflows://169.254.169.254:80/abc/sig123/",
        "workflows://logic.azure.com.evil.example/abc/sig123/",
        "https://evil.example/workflows/abc/triggers/manual/paths/invoke?sig=x",
        "https://a.logic.azure.com@127.0.0.1/workflows/abc/triggers/manual/paths/invoke?sig=x",
    ],
)
def test_teams_leads_to_microsoft_only(url: str, seen: list[Any]) -> None:
    with pytest.raises(Invalid):
        apprise.check(SERVICES["teams"], url)
    with pytest.raises(Invalid):
        send("teams", url)
    assert seen == []
    apprise.check(SERVICES["teams"], ADDRESSES["teams"])


@pytest.mark.parametrize(
    "option",
    [
        "template=/etc/passwd",
        "template=http://127.0.0.1/",
        "verify=no",
        "redirect=yes",
        "rto=99999",
        "retry=10",
        "wait=300",
        "store=yes",
        "tz=UTC",
        "+X-Header=1",
        ":token=1",
        "-a=b",
        "unheard=of",
    ],
)
@pytest.mark.parametrize("code", SERVICES)
def test_an_option_that_is_not_offered_is_refused(code: str, option: str, seen: list[Any]) -> None:
    """Among Apprise's own are some that read files, or turn certificates off."""
    plain = ADDRESSES[code]
    url = f"{plain}{'&' if '?' in plain else '?'}{option}"
    with pytest.raises(Invalid):
        send(code, url)
    assert seen == []


@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1/",
        "file:///etc/passwd",
        "http://hooks.slack.com/services/T1/A1/x",
        "mailto://a:b@evil.example",
        "https://hooks.slack.com.evil.example/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7",
        "slack://",
        "discord://1/2",
        "x",
    ],
)
def test_what_is_no_address_of_the_service_is_refused_without_being_quoted(
    url: str, seen: list[Any]
) -> None:
    with pytest.raises(Invalid) as told:
        apprise.check(SERVICES["slack"], url)
    assert url == "slack://" or url not in str(told.value.extra)
    assert "slack://token_a" in str(told.value.extra)
    assert seen == []


# What a plugin has of the network -------------------------------------------------------------


def test_a_plugin_that_calls_elsewhere_gets_nowhere(seen: list[Any], opened: list[Any]) -> None:
    module = requests_of("slack")
    with apprise._visiting(apprise.Visit(SERVICES["slack"], "org_acme")):
        for url in ("https://127.0.0.1/", "https://discord.com/", "http://hooks.slack.com/"):
            with pytest.raises(requests.RequestException):
                module.get(url)
        assert module.get("https://hooks.slack.com/x").status_code == 200
    assert [url for _, url, _ in seen] == ["https://hooks.slack.com/x"] and opened == []


def test_a_plugin_calls_nothing_outside_of_a_delivery(seen: list[Any], opened: list[Any]) -> None:
    with pytest.raises(requests.ConnectionError):
        requests_of("slack").post("https://hooks.slack.com/x", data="x")
    assert seen == [] and opened == []


@pytest.mark.parametrize("name", ["Session", "session", "sessions", "adapters", "api", "head"])
def test_a_plugin_has_no_more_of_requests_than_it_needs(name: str) -> None:
    with pytest.raises(AttributeError):
        getattr(requests_of("slack"), name)


def test_redirects_and_switched_off_certificates_are_not_a_plugins_to_ask_for(
    seen: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lead_on(method: str, url: str, **_: Any) -> EgressResponse:
        headers = httpx.Headers({"location": "https://hooks.slack.com/elsewhere"})
        seen.append((method, url, {}))
        return EgressResponse(302, headers, b"", url)

    monkeypatch.setattr(egress, "request", lead_on)
    with apprise._visiting(apprise.Visit(SERVICES["slack"], "org_acme")):
        answer = requests_of("slack").get(
            "https://hooks.slack.com/x", allow_redirects=True, verify=False
        )
    assert answer.status_code == 302 and len(seen) == 1


def test_apprise_writes_no_log(seen: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    """Its warnings quote addresses."""
    with pytest.raises(Invalid):
        apprise.check(SERVICES["slack"], "slack://a-bad-token/x/y")
    send("slack", ADDRESSES["slack"])
    assert "TIiajkdnlazkcOXrIdevi7" not in caplog.text and "a-bad-token" not in caplog.text


def requests_of(code: str) -> Any:
    """What a service's plugin has in the place of the module `requests`."""
    plugin = apprise.load(SERVICES[code])
    found = __import__(plugin.__module__, fromlist=["requests"]).requests
    assert isinstance(found, apprise.Requests)
    return found


# Webhooks -------------------------------------------------------------------------------------


def test_a_webhook_is_a_signed_post_through_egress(seen: list[Any]) -> None:
    secret = new_secret().decode()
    webhook.send(Address("https://hooks.acme.example/in", secret), MESSAGE, scope="org_acme")

    ((method, url, options),) = seen
    assert (method, url) == ("POST", "https://hooks.acme.example/in")
    headers, body = options["headers"], options["content"]
    expected = signed_headers(
        secret.encode(), id="dlv_1", timestamp=int(headers["webhook-timestamp"]), body=body
    )
    assert {name: headers[name] for name in expected} == expected
    assert httpx.Response(200, content=body).json() == {
        "type": "tests.thing.happened",
        "id": "dlv_1",
        "timestamp": "2027-01-31T12:00:00+00:00",
        "data": {
            "title": "The thing is there",
            "body": "It came by night.",
            "url": "http://acme.localhost:8000/things/1/",
            "org": "Acme",
        },
    }


@pytest.mark.parametrize("status", [301, 400, 410, 500])
def test_anything_but_success_is_a_failure(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(method: str, url: str, **_: Any) -> EgressResponse:
        return EgressResponse(status, httpx.Headers(), b"", url)

    monkeypatch.setattr(egress, "request", answer)
    with pytest.raises(NotDelivered, match=f"answered {status}"):
        webhook.send(Address("https://a.example/", "whsec_AAAA"), MESSAGE, scope="org_acme")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "http://hooks.acme.example/",
        "https://localhost/",
        "https://db.internal/",
        "https://user:pass@hooks.acme.example/",
        "ftp://hooks.acme.example/",
    ],
)
def test_an_internal_address_is_refused(url: str, opened: list[Any]) -> None:
    strict = EgressClient(EgressPolicy())
    with pytest.raises(egress.EgressRefused):
        strict.check(url)
    with pytest.raises(Invalid):
        webhook.check(url)
    assert opened == []
    webhook.check("https://hooks.acme.example/in")


def test_a_name_that_leads_inside_is_refused_when_it_is_dialled(
    opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No name is looked up when a form is saved, so it is judged at each delivery."""

    def inside(host: str, port: int, timeout: float) -> list[str]:
        return ["10.1.2.3"]

    client = EgressClient(EgressPolicy(), resolver=inside)
    monkeypatch.setattr(egress, "request", client.request)
    with pytest.raises(NotDelivered, match="This address may not be called"):
        webhook.send(Address("https://a.example/", "whsec_AAAA"), MESSAGE, scope="org_acme")
    with pytest.raises(NotDelivered, match="This address may not be called"):
        send("slack", ADDRESSES["slack"])
    assert opened == []
