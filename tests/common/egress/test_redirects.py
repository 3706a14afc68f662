"""Redirects are followed only when asked and carry nothing to strangers; requests are plain."""

import pytest

from apps.common.egress import EgressFailed, EgressRefused
from tests.common.egress.world import reply

WORLD = "93.184.215.14"
SECRETS = {"authorization": "Bearer s", "x-api-key": "s", "cookie": "s=1", "accept": "text/plain"}


@pytest.fixture
def caller(client, edge, names):
    """(call, asked): names a. and b.example.com on one public server, and what it was asked."""
    names.script = {"a.example.com": [[WORLD]], "b.example.com": [[WORLD]]}
    edge.public_addresses = {WORLD}

    def call(method="GET", path="/", host="http://a.example.com", **options):
        options = {"scope": "acme", "allow_http": True, **options}
        return client().request(method, host + path, **options)

    return call, edge.public.asked


def test_a_redirect_is_an_answer_unless_following_is_asked_for(caller):
    call, asked = caller
    response = call(path="/to?http://a.example.com/there")
    assert (response.status, response.headers["location"]) == (302, "http://a.example.com/there")
    assert len(asked) == 1

    response = call(path="/to?/there%23part", follow=1)
    assert (response.status, response.url) == (200, "http://a.example.com/there")


def test_a_loop_ends_after_the_hops_allowed(caller):
    call, asked = caller
    with pytest.raises(EgressFailed, match="more than 4 times"):
        call(path="/again", follow=4)
    assert len(asked) == 5


def test_credentials_stay_with_their_origin(caller):
    call, asked = caller
    call(path="/to?http://b.example.com/", headers=SECRETS, follow=1)
    kept, stranger = asked[0][2], asked[1][2]
    assert SECRETS.items() <= kept.items()
    assert stranger["host"] == "b.example.com"
    assert set(stranger) == {"host", "accept", "accept-encoding", "user-agent"}

    # and another port is another origin too, while the same one keeps them
    call(path="/to?http://a.example.com:8080/", headers=SECRETS, follow=1)
    assert "authorization" not in asked[3][2]
    call(path="/to?/there", headers=SECRETS, follow=1)
    assert SECRETS.items() <= asked[5][2].items()


def test_a_redirect_chain_back_home_does_not_bring_credentials_back(caller):
    call, asked = caller
    there_and_back = "/to?http://b.example.com/to?http://a.example.com/"
    call(path=there_and_back, headers=SECRETS, follow=2)
    assert [headers["host"] for _, _, headers, _ in asked] == [
        "a.example.com",
        "b.example.com",
        "a.example.com",
    ]
    assert "authorization" not in asked[2][2]


def test_https_is_never_left_for_http(caller, edge):
    call, asked = caller
    with pytest.raises(EgressRefused, match="unprotected"):
        call(host="https://a.example.com", path="/to?http://a.example.com/", follow=1)
    assert asked == []
    response = call(path="/to?https://b.example.com/", follow=1)
    assert (response.status, response.url) == (200, "https://b.example.com/")


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [
        (301, "POST", ("GET", b"")),
        (302, "POST", ("GET", b"")),
        (303, "PUT", ("GET", b"")),
        (303, "HEAD", ("HEAD", b"")),
        (302, "PUT", ("PUT", b"body")),
        (307, "POST", ("POST", b"body")),
        (308, "POST", ("POST", b"body")),
    ],
)
def test_method_and_body_after_a_redirect(client, site, status, method, expected):
    def answer(handler):
        reply(handler, status if handler.path == "/" else 200, b"", Location="/next")

    target = site(answer)
    body = None if method == "HEAD" else b"body"
    client(allow_loopback=True).request(
        method,
        f"http://127.0.0.1:{target.port}/",
        scope="acme",
        allow_http=True,
        content=body,
        follow=1,
    )
    command, path, _, received = target.asked[1]
    assert (path, command, received) == ("/next", *expected)


def test_a_body_never_goes_to_another_origin(client, site):
    stranger = site()
    target = site(
        lambda handler: reply(handler, 307, b"", Location=f"http://127.0.0.1:{stranger.port}/")
    )
    caller = client(allow_loopback=True)
    url = f"http://127.0.0.1:{target.port}/"
    with pytest.raises(EgressRefused, match="another origin"):
        caller.request("POST", url, scope="acme", allow_http=True, content=b"signed", follow=1)
    assert stranger.settled() == 0
    caller.request("GET", url, scope="acme", allow_http=True, follow=1)
    assert stranger.settled() == 1


def test_no_cookie_is_kept(client, site):
    target = site(lambda handler: reply(handler, 200, Set_Cookie="s=1"))
    caller = client(allow_loopback=True)
    for _ in range(2):
        caller.request("GET", f"http://127.0.0.1:{target.port}/", scope="a", allow_http=True)
    assert [("cookie" in headers) for _, _, headers, _ in target.asked] == [False, False]


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("CONNECT", {}),
        ("get", {}),
        ("GET / HTTP/1.1\r\nX: y", {}),
        ("GET", {"host": "internal"}),
        ("GET", {"x-a": "b\r\nHost: internal"}),
        ("GET", {"x a": "b"}),
        ("GET", {"": "b"}),
        ("GET", {"x-a": "ü"}),
    ],
)
def test_a_request_that_could_be_read_as_another_is_refused(caller, edge, method, headers):
    call, asked = caller
    with pytest.raises(EgressRefused):
        call(method, headers=headers)
    assert edge.dialled == []
    assert call(headers={"x-a": "b c"}).status == 200


def test_json_goes_out_and_comes_in(client, site):
    target = site(lambda handler: reply(handler, 200, b'{"a":[1]}'))
    caller = client(allow_loopback=True)
    url = f"http://127.0.0.1:{target.port}/"
    response = caller.request("POST", url, scope="acme", allow_http=True, json={"b": None})
    assert (response.ok, response.json()) == (True, {"a": [1]})
    assert target.asked[0][2]["content-type"] == "application/json"
    assert target.asked[0][3] == b'{"b":null}'

    other = site(lambda handler: reply(handler, 200, b"<html>"))
    answer = caller.request("GET", f"http://127.0.0.1:{other.port}/", scope="a", allow_http=True)
    with pytest.raises(EgressFailed, match="not JSON"):
        answer.json()
