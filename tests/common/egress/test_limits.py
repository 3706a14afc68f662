"""What a request may cost: bytes, seconds, tries, calls to one host."""

import asyncio
import gzip
import itertools
import socket
import ssl
import time

import anyio
import httpx
import pytest
import time_machine

from apps.common import egress
from apps.common.egress import (
    EgressClient,
    EgressFailed,
    EgressPolicy,
    EgressRefused,
    EgressSuspended,
    EgressThrottled,
    EgressTimeout,
    EgressTooLarge,
    EgressUnreachable,
    policy,
)
from config.settings.parts import egress as stated
from tests.common.egress.world import Names, reply

KIB = 1024
NOW = 1_800_000_000


@pytest.fixture
def local(client):
    """Calls servers on loopback; makes (caller, url) out of a server and limits."""

    def make(target, **limits):
        caller = client(allow_loopback=True, **limits)
        url = f"http://127.0.0.1:{target.port}"

        def call(method="GET", path="/", **options):
            options = {"scope": "acme", "allow_http": True, **options}
            return caller.request(method, url + path, **options)

        return call

    return make


def packed(size: int, times: int = 1) -> bytes:
    body = b"0" * size
    for _ in range(times):
        body = gzip.compress(body, mtime=0)
    return body


def test_a_body_of_exactly_the_cap_is_read_and_one_byte_more_is_not(site, local):
    call = local(site(lambda handler: reply(handler, 200, b"x" * 1000)))
    assert len(call(max_bytes=1000).content) == 1000
    with pytest.raises(EgressTooLarge):
        call(max_bytes=999)


def test_a_body_without_a_length_is_counted_as_it_arrives(site, local):
    # given a server that would send for ever
    sent = itertools.count()

    def endless(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while next(sent) < 100_000:
            handler.wfile.write(b"x" * KIB)

    call = local(site(endless))
    with pytest.raises(EgressTooLarge):
        call(max_bytes=10 * KIB)
    assert next(sent) < 100_000


def test_gzip_is_unpacked_up_to_the_cap(site, local):
    # given 64 MiB packed into 64 KiB
    call = local(
        site(lambda handler: reply(handler, 200, packed(64 * KIB * KIB), Content_Encoding="gzip"))
    )
    with pytest.raises(EgressTooLarge):
        call(max_bytes=100 * KIB)

    # and its control: what fits is unpacked, and the headers are true of it
    call = local(
        site(lambda handler: reply(handler, 200, packed(90 * KIB), Content_Encoding="gzip"))
    )
    response = call(max_bytes=90 * KIB)
    assert response.content == b"0" * 90 * KIB
    assert "content-encoding" not in response.headers
    assert "content-length" not in response.headers


def test_gzip_members_are_counted_together(site, local):
    body = packed(600) + packed(600)
    call = local(site(lambda handler: reply(handler, 200, body, Content_Encoding="gzip")))
    assert call(max_bytes=1200).content == b"0" * 1200
    with pytest.raises(EgressTooLarge):
        call(max_bytes=1199)


@pytest.mark.parametrize("encoding", ["gzip, gzip", "deflate", "br", "zstd"])
def test_an_encoding_that_was_not_asked_for_is_refused(site, local, encoding):
    target = site(lambda handler: reply(handler, 200, packed(10), Content_Encoding=encoding))
    with pytest.raises(EgressFailed, match="not asked for"):
        local(target)()
    assert target.asked[0][2]["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("body", "problem"), [(packed(9000)[:-9], "incomplete"), (b"not gzip", "damaged")]
)
def test_broken_gzip_is_a_failure_not_a_body(site, local, body, problem):
    call = local(site(lambda handler: reply(handler, 200, body, Content_Encoding="gzip")))
    with pytest.raises(EgressFailed, match=problem):
        call()


def test_head_of_something_large_is_no_large_answer(site, local):
    call = local(site(lambda handler: reply(handler, 200, b"x" * 5000)))
    assert call("HEAD", max_bytes=10).headers["content-length"] == "5000"


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_server_that_drips_is_cut_off_at_the_deadline(site, local, part):
    # given a server that sends a byte now and then, always before a read would time out
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\n"

    def drip(handler):
        slow, fast = (head, b"x" * 20) if part == "headers" else (b"x" * 20, head)
        if part == "body":
            handler.wfile.write(fast)
        for byte in slow:
            handler.wfile.write(bytes((byte,)))
            time.sleep(0.02)
        if part == "headers":
            handler.wfile.write(fast)

    call = local(site(drip))
    with pytest.raises(EgressTimeout) as late:
        call(timeout=0.1)
    assert (late.value.status, late.value.code) == (504, "egress_timeout")

    # and its control: with time enough the same answer is complete
    assert call(timeout=30).content == b"x" * 20


def test_a_slow_name_server_counts_against_the_deadline(authority):
    def slow(host, port, timeout):
        time.sleep(timeout)
        raise TimeoutError

    caller = EgressClient(EgressPolicy(), resolver=slow, tls=authority[1])
    with pytest.raises(EgressTimeout):
        caller.request("GET", "https://slow.example.com/", scope="acme", timeout=0.05)


def test_a_dead_port_is_unreachable(local, site):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        target = type("Target", (), {"port": held.getsockname()[1]})
        with pytest.raises(EgressUnreachable) as failure:
            local(target)()
    assert (failure.value.status, failure.value.code) == (502, "egress_unreachable")


def test_a_failing_host_is_left_alone_and_comes_back(site, local):
    # given a host that is down
    answers = {"status": 503}
    target = site(lambda handler: reply(handler, answers["status"]))
    call = local(target, breaker_failures=3, breaker_seconds=30)
    with time_machine.travel(NOW, tick=False) as clock:
        for _ in range(3):
            assert call().status == 503

        # when it is called again, then it isn't even connected to
        with pytest.raises(EgressSuspended) as refusal:
            call()
        assert (refusal.value.status, refusal.value.extra) == (503, {"retry_after": 30})
        assert target.settled() == 3

        # and another org isn't touched by that
        assert call(scope="other").status == 503
        assert target.settled() == 4

        # when the time is over, one probe goes through; it fails, so the wait begins again
        clock.shift(31)
        assert call().status == 503
        with pytest.raises(EgressSuspended):
            call()
        assert target.settled() == 5

        # when the probe succeeds, all is as before
        clock.shift(31)
        answers["status"] = 200
        assert [call().status for _ in range(5)] == [200] * 5
        assert target.settled() == 10


def test_answers_and_successes_in_between_do_not_open_the_breaker(site, local):
    # given a host whose application errs, or which is down now and then
    statuses = itertools.cycle([500, 404, 503, 503, 200])
    call = local(site(lambda handler: reply(handler, next(statuses))), breaker_failures=3)
    assert [call().status for _ in range(15)] == [500, 404, 503, 503, 200] * 3


def test_a_host_is_called_only_so_often_per_org(site, local):
    target = site()
    call = local(target, rate="3/minute")
    with time_machine.travel(NOW, tick=False) as clock:
        for _ in range(3):
            assert call().status == 200
        with pytest.raises(EgressThrottled) as refusal:
            call()
        assert refusal.value.status == 429
        assert 1 <= refusal.value.extra["retry_after"] <= 60
        assert target.settled() == 3
        assert call(scope="other").status == 200
        clock.shift(121)
        assert call().status == 200


def test_only_a_request_with_an_idempotency_key_is_sent_again(site, local):
    # given a server that is down twice, then well
    statuses = itertools.cycle([503, 503, 201])
    target = site(lambda handler: reply(handler, next(statuses)))
    call = local(target)

    # when there is a key, then it is sent until it works, each time with the key
    response = call("POST", json={"n": 1}, idempotency_key="k1")
    assert response.status == 201
    sent = [(headers["idempotency-key"], body) for _, _, headers, body in target.asked]
    assert sent == [("k1", b'{"n":1}')] * 3

    # when there is none, then once
    assert call("POST", json={"n": 1}).status == 503
    assert len(target.asked) == 4


def test_out_of_tries_the_last_outcome_is_told(site, local):
    target = site(lambda handler: reply(handler, 503))
    call = local(target, attempts=2)
    assert call("POST", idempotency_key="k").status == 503
    assert len(target.asked) == 2

    broken = site(lambda handler: handler.wfile.write(b"nonsense\r\n\r\n"))
    with pytest.raises(EgressUnreachable):
        local(broken, attempts=2)("POST", idempotency_key="k")
    assert len(broken.asked) == 2


def test_whoever_asks_may_keep_a_further_try_from_being_sent(site, local):
    target = site(lambda handler: reply(handler, 503))
    asked = []

    def refuse_the_third():
        asked.append(len(target.asked))
        if len(asked) == 2:
            raise LookupError("not ours any more")

    call = local(target, attempts=3)
    with pytest.raises(LookupError):
        call("POST", idempotency_key="k", before_retry=refuse_the_third)
    assert (asked, len(target.asked)) == ([1, 2], 2)


def test_a_refusal_is_never_tried_again(client, names):
    names.script = {"in.example.com": [["10.0.0.1"]]}
    with pytest.raises(EgressRefused):
        client().request("POST", "https://in.example.com/", scope="acme", idempotency_key="k")
    assert names.asked == ["in.example.com"]


def test_the_limits_of_the_settings_are_the_policys_and_close_loopback(monkeypatch):
    monkeypatch.setattr(policy, "settings", stated)
    assert EgressPolicy.from_settings() == EgressPolicy()
    assert EgressPolicy().allow_loopback is False

    # and one that is changed arrives
    monkeypatch.setattr(stated, "EGRESS_FORBIDDEN_NETWORKS", ["8.8.4.0/24"])
    assert EgressPolicy.from_settings() == EgressPolicy(forbidden_networks=("8.8.4.0/24",))


def test_the_packages_functions_use_one_client_made_from_the_settings(site, monkeypatch):
    monkeypatch.setattr(policy, "settings", stated)
    monkeypatch.setattr(stated, "EGRESS_ALLOW_LOOPBACK", True)
    egress.default_client.cache_clear()
    target = site()
    url = f"http://127.0.0.1:{target.port}/"
    try:
        assert egress.request("GET", url, scope="acme", allow_http=True).status == 200
        egress.check(url, allow_http=True)
        transport = egress.transport(scope="acme", allow_http=True)
        with httpx.Client(transport=transport, trust_env=False) as sdk:
            assert sdk.get(url).content == b"public"
        assert isinstance(egress.async_transport(scope="acme"), egress.AsyncPinnedTransport)
        assert egress.default_client() is egress.default_client()
    finally:
        egress.default_client.cache_clear()
    assert target.settled() == 2


def test_an_sdk_is_kept_inside_by_the_transport(site, client, names):
    # given an httpx client of somebody else's that follows redirects
    target = site(lambda handler: reply(handler, 302, Location="http://10.0.0.1/"))
    caller = client(allow_loopback=True)
    transport = caller.transport(scope="acme", allow_http=True, max_bytes=100)
    with httpx.Client(transport=transport, trust_env=False, follow_redirects=True) as sdk:
        with pytest.raises(EgressRefused):
            sdk.get(f"http://127.0.0.1:{target.port}/")
        with pytest.raises(EgressRefused):
            sdk.get("http://10.0.0.1/")
        with pytest.raises(EgressRefused, match="Host header"):
            sdk.get(f"http://127.0.0.1:{target.port}/", headers={"host": "internal"})
    assert target.settled() == 1

    large = site(lambda handler: reply(handler, 200, packed(101), Content_Encoding="gzip"))
    transport = caller.transport(scope="acme", allow_http=True, max_bytes=100)
    with httpx.Client(transport=transport, trust_env=False) as sdk, pytest.raises(EgressTooLarge):
        sdk.get(f"http://127.0.0.1:{large.port}/")


def test_an_async_sdk_is_kept_inside_as_well(site, client, names, monkeypatch):
    # given a rebinding name whose first address is dead, and an edge that sees what is dialled
    target = site(lambda handler: reply(handler, 200, packed(50), Content_Encoding="gzip"))
    names.script = {"async.example.com": [["1.1.1.1", "93.184.215.14"], ["127.0.0.1"]]}
    dialled, connect = [], anyio.connect_tcp

    async def dial(remote_host, remote_port, **options):
        dialled.append(remote_host)
        if remote_host == "1.1.1.1":
            raise ConnectionRefusedError
        return await connect("127.0.0.1", target.port, **options)

    monkeypatch.setattr(anyio, "connect_tcp", dial)

    async def calls():
        transport = client().async_transport(scope="acme", allow_http=True, max_bytes=60)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as sdk:
            first = await sdk.get("http://async.example.com/")
            with pytest.raises(EgressRefused):
                await sdk.get("http://async.example.com/")
            with pytest.raises(EgressRefused):
                await sdk.get("http://169.254.169.254/")
            return first.content

    assert asyncio.run(calls()) == b"0" * 50
    assert dialled == ["1.1.1.1", "93.184.215.14"]


def test_an_async_body_is_capped(site, client):
    target = site(lambda handler: reply(handler, 200, packed(10_000), Content_Encoding="gzip"))
    caller = client(allow_loopback=True)

    async def call():
        transport = caller.async_transport(scope="acme", allow_http=True, max_bytes=9_999)
        async with httpx.AsyncClient(transport=transport, trust_env=False) as sdk:
            await sdk.get(f"http://127.0.0.1:{target.port}/")

    with pytest.raises(EgressTooLarge):
        asyncio.run(call())


def test_the_public_trust_store_writes_no_keys(monkeypatch, tmp_path):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    egress.client.public_tls.cache_clear()
    context = egress.client.public_tls()
    assert context.keylog_filename is None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats()["x509_ca"] > 50
    assert EgressClient(EgressPolicy(), resolver=Names())
