"""An answer that is read while it arrives keeps every rule of one that is read whole."""

import gzip
import threading
import time

import pytest

from apps.common.egress import (
    EgressFailed,
    EgressRefused,
    EgressSuspended,
    EgressThrottled,
    EgressTimeout,
    EgressTooLarge,
    EgressUnreachable,
)
from tests.common.egress.world import reply

PATIENCE = 10.0


@pytest.fixture
def local(client):
    """Streams from servers on loopback; makes a caller out of a server and limits."""

    def make(target, **limits):
        caller = client(allow_loopback=True, **limits)
        url = f"http://127.0.0.1:{target.port}"

        def call(method="GET", path="/", **options):
            options = {"scope": "acme", "allow_http": True, **options}
            return caller.stream(method, url + path, **options)

        return call

    return make


def begin(handler, **headers):
    lines = ["HTTP/1.1 200 OK", "Transfer-Encoding: chunked"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    handler.wfile.write("\r\n".join(lines).encode() + b"\r\n\r\n")


def send(handler, part):
    handler.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))


def test_a_part_is_there_before_the_next_is_sent(site, local):
    heard = threading.Event()

    def answer(handler):
        begin(handler, X_Kind="slow")
        send(handler, b"one")
        assert heard.wait(PATIENCE)
        send(handler, b"two")
        send(handler, b"")

    target = site(answer)
    with local(target)("POST", content=b"body") as stream:
        assert (stream.status, stream.headers["x-kind"]) == (200, "slow")
        parts = iter(stream)
        assert next(parts) == b"one"
        heard.set()
        assert list(parts) == [b"two"]
    assert [(method, body) for method, _, _, body in target.asked] == [("POST", b"body")]


def test_closing_it_hangs_up(site, local):
    left = threading.Event()

    def answer(handler):
        begin(handler)
        try:
            for _ in range(10_000):
                send(handler, b"x" * 1024)
                time.sleep(0.001)
        except OSError:
            left.set()

    with local(site(answer))() as stream:
        assert next(iter(stream))
        assert not left.is_set()
    assert left.wait(PATIENCE)


@pytest.mark.parametrize("size", [1000, 1001])
def test_the_whole_body_is_capped_however_small_its_parts(site, local, size):
    def answer(handler):
        begin(handler)
        for _ in range(size):
            send(handler, b"x")
        send(handler, b"")

    with local(site(answer))(max_bytes=1000) as stream:
        if size == 1000:
            assert len(b"".join(stream)) == 1000
            return
        with pytest.raises(EgressTooLarge):
            list(stream)


def test_gzip_is_unpacked_as_it_comes_and_counted_unpacked(site, local):
    body = gzip.compress(b"0" * 100_000, mtime=0)

    def answer(handler):
        begin(handler, Content_Encoding="gzip")
        for at in range(0, len(body), 20):
            send(handler, body[at : at + 20])
        send(handler, b"")

    call = local(site(answer))
    with call(max_bytes=100_000) as stream:
        assert b"".join(stream) == b"0" * 100_000
        assert "content-encoding" not in stream.headers
    with call(max_bytes=99_999) as stream, pytest.raises(EgressTooLarge):
        list(stream)


def test_the_whole_exchange_has_one_time_however_often_something_comes(site, local):
    over = threading.Event()

    def answer(handler):
        begin(handler)
        while not over.wait(0.02):
            send(handler, b".")

    began = time.monotonic()
    with local(site(answer))(timeout=0.3) as stream, pytest.raises(EgressTimeout):
        list(stream)
    over.set()
    assert 0.2 < time.monotonic() - began < 3


def test_a_body_that_breaks_off_is_no_end(site, local):
    def answer(handler):
        begin(handler)
        send(handler, b"one")

    with local(site(answer))() as stream:
        parts = iter(stream)
        assert next(parts) == b"one"
        with pytest.raises(EgressUnreachable, match="broke"):
            next(parts)


def test_nothing_is_sent_twice_and_no_redirect_followed(site, local):
    target = site(lambda handler: reply(handler, 302, Location="/elsewhere"))
    with local(target)() as stream:
        assert (stream.status, b"".join(stream)) == (302, b"ok")
    assert [path for _, path, _, _ in target.asked] == ["/"]

    down = site(lambda handler: reply(handler, 503))
    with local(down)() as stream:
        assert stream.status == 503
    assert len(down.asked) == 1


@pytest.mark.parametrize("url", ["https://10.0.0.1/", "https://169.254.169.254/", "ftp://x/"])
def test_what_may_not_be_called_is_not(client, edge, url):
    with pytest.raises(EgressRefused):
        client().stream("GET", url, scope="acme")
    assert edge.dialled == []


def test_a_name_is_judged_and_pinned_where_it_leads(client, edge, names):
    """The control is the public address, which is dialled as it was judged."""
    names.script = {"bad.example.com": [["10.0.0.1"]], "good.example.com": [["8.8.8.8"]]}
    edge.public_addresses = {"8.8.8.8"}
    with pytest.raises(EgressRefused):
        client().stream("GET", "https://bad.example.com/", scope="acme")
    assert edge.dialled == []

    with client().stream("GET", "https://good.example.com/", scope="acme") as stream:
        assert b"".join(stream) == b"public"
    assert (edge.dialled, names.asked) == (["8.8.8.8"], ["bad.example.com", "good.example.com"])


def test_rate_and_breaker_count_streams(site, local):
    call = local(site(lambda handler: reply(handler, 200)), rate="2/minute")
    for _ in range(2):
        with call() as stream:
            assert b"".join(stream) == b"ok"
    with pytest.raises(EgressThrottled):
        call()

    def broken(handler):
        begin(handler)
        send(handler, b"one")

    target = site(broken)
    call = local(target, breaker_failures=2)
    for _ in range(2):
        with call() as stream, pytest.raises(EgressFailed):
            list(stream)
    with pytest.raises(EgressSuspended):
        call()
    assert len(target.asked) == 2
