"""What the config of an http agent may hold, and what not."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from apps.agents.runtimes.http import RUNTIME
from apps.common.errors import Invalid
from tests.agents.factories import URL


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "config.url"),
        ({"url": 5}, "config.url"),
        ({"url": ""}, "config.url"),
        ({"url": "https://" + "a" * 2000}, "config.url"),
        ({"url": "ftp://93.184.215.14/"}, "config.url"),
        ({"url": "http://93.184.215.14/"}, "config.url"),
        ({"url": "https://user:pass@93.184.215.14/"}, "config.url"),
        ({"url": "https://93.184.215.14/?token=abc"}, "config.url"),
        ({"url": "https://93.184.215.14/?API-Key=abc"}, "config.url"),
        ({"url": "https://93.184.215.14/?code="}, "config.url"),
        ({"url": "https://[::1"}, "config.url"),
        ({"url": "https://127.0.0.1:8443/"}, "config.url"),
        ({"url": "https://[::1]/"}, "config.url"),
        ({"url": "https://10.0.0.1/"}, "config.url"),
        ({"url": "https://169.254.169.254/latest/"}, "config.url"),
        ({"url": "https://localhost/"}, "config.url"),
        ({"url": "https://db.internal/"}, "config.url"),
        ({"url": "https://93.184.215.14/?oauth=abc"}, "config.url"),
        ({"url": URL, "secret": "x"}, "config.secret"),
        ({"url": URL, "headers": []}, "config.headers"),
        ({"url": URL, "headers": {f"x-{n}": "v" for n in range(21)}}, "config.headers"),
        ({"url": URL, "headers": {"Authorization": "Bearer x"}}, "config.headers.Authorization"),
        ({"url": URL, "headers": {"X-Auth": "x"}}, "config.headers.X-Auth"),
        ({"url": URL, "headers": {"X-Authorisation": "x"}}, "config.headers.X-Authorisation"),
        ({"url": URL, "headers": {"X-Authentication": "x"}}, "config.headers.X-Authentication"),
        ({"url": URL, "headers": {"X-Author-Token": "x"}}, "config.headers.X-Author-Token"),
        ({"url": URL, "headers": {"Cookie": "a=b"}}, "config.headers.Cookie"),
        ({"url": URL, "headers": {"X-Api-Key": "k"}}, "config.headers.X-Api-Key"),
        ({"url": URL, "headers": {"X-Session-Token": "k"}}, "config.headers.X-Session-Token"),
        ({"url": URL, "headers": {"Connection": "close"}}, "config.headers.Connection"),
        ({"url": URL, "headers": {"Transfer-Encoding": "x"}}, "config.headers.Transfer-Encoding"),
        ({"url": URL, "headers": {"Host": "a.example"}}, "config.headers.Host"),
        ({"url": URL, "headers": {"Proxy-Thing": "x"}}, "config.headers.Proxy-Thing"),
        ({"url": URL, "headers": {"webhook-id": "x"}}, "config.headers.webhook-id"),
        ({"url": URL, "headers": {"Idempotency-Key": "x"}}, "config.headers.Idempotency-Key"),
        ({"url": URL, "headers": {"a b": "x"}}, "config.headers.a b"),
        ({"url": URL, "headers": {"X-A": "x\r\ny: z"}}, "config.headers.X-A"),
        ({"url": URL, "headers": {"X-A": "é"}}, "config.headers.X-A"),
        ({"url": URL, "headers": {"X-A": " x"}}, "config.headers.X-A"),
        ({"url": URL, "headers": {"X-A": ""}}, "config.headers.X-A"),
        ({"url": URL, "headers": {"X-A": 5}}, "config.headers.X-A"),
        ({"url": URL, "headers": {"X-A": "x", "x-a": "y"}}, "config.headers.x-a"),
    ],
)
def test_what_a_config_may_not_hold(config: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        RUNTIME.check_config(config)
    assert [error["field"] for error in caught.value.extra["errors"]] == [field]


def test_what_a_config_may_hold() -> None:
    assert RUNTIME.check_config({"url": f"{URL}?region=eu"}) == {"url": f"{URL}?region=eu"}
    assert RUNTIME.check_config({"url": URL, "headers": {}}) == {"url": URL}
    assert RUNTIME.check_config({"url": URL, "headers": {"X-A": "x" * 500}})["headers"] == {
        "x-a": "x" * 500
    }


@pytest.mark.parametrize("name", ["x-author", "x-authored-by", "x-author-id", "x-authority"])
def test_an_author_is_no_credential(name: str) -> None:
    assert RUNTIME.check_config({"url": URL, "headers": {name: "Jo"}})["headers"] == {name: "Jo"}
    asked = {"url": f"{URL}?{name}=Jo"}
    assert RUNTIME.check_config(asked) == asked


def test_no_name_is_looked_up_when_a_config_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for host in ("agent.example.com", "nowhere.example"):
        config = {"url": f"https://{host}/agent"}
        assert RUNTIME.check_config(config) == config


def test_plain_http_is_for_this_machine_in_development_only(loopback: None, settings: Any) -> None:
    here = {"url": "http://127.0.0.1:8001/agent"}
    assert RUNTIME.check_config(here) == here
    with pytest.raises(Invalid):
        RUNTIME.check_config({"url": "http://93.184.215.14/"})
    settings.EGRESS_ALLOW_LOOPBACK = False
    with pytest.raises(Invalid):
        RUNTIME.check_config(here)
