"""Where requests can get to: nowhere but the public internet, and all of that."""

import ipaddress
import socket
import threading
from urllib.parse import quote

import httpcore
import httpx
import pytest

from apps.common import egress
from apps.common.egress import EgressFailed, EgressRefused, classify, pinning, resolve
from tests.common.egress.corpus import HOSTILE, PUBLIC

WORLD = "93.184.215.14"
START = "http://start.example.com"


def attack(client, edge, names, url, address, way) -> str:
    """Tries one URL in one way; says what came of it."""
    names.script = {"start.example.com": [[WORLD]]}
    names.other = address
    edge.public_addresses = {WORLD}
    if way == "redirect":
        url = f"{START}/to?{quote(url)}"
    elif way == "rebinding":
        names.script["rebind.example.com"] = [[WORLD], [address]]
        url = "http://rebind.example.com/again"
    elif way == "mixed":
        answers = [WORLD, address] if len(url) % 2 else [address, WORLD]
        names.script["mixed.example.com"] = [answers]
        url = "http://mixed.example.com/"
    try:
        response = client.request("GET", url, scope="acme", follow=3, allow_http=True)
    except EgressRefused:
        return "refused"
    except EgressFailed:
        return "failed"
    return response.content.decode()


def run_corpus(client, edge, names, ways=("direct", "redirect", "rebinding", "mixed")):
    return {
        (url, way): attack(client, edge, names, url, address, way)
        for url, address in HOSTILE
        for way in ways
    }


def test_no_hostile_url_reaches_the_sentinel_and_no_public_one_is_refused(
    client, edge, names, sentinel
):
    # given at least 150 hostile URLs and 50 public ones
    assert len({url for url, _ in HOSTILE}) == len(HOSTILE) >= 150
    assert len(PUBLIC) >= 50
    caller = client()

    # when each is tried in four ways
    outcomes = run_corpus(caller, edge, names)
    hits = sentinel.settled()
    refused = [url for url, address in PUBLIC if not reaches(caller, edge, names, url, address)]

    # then nothing reached the sentinel and all of the public did answer
    print(
        f"\negress: {len(HOSTILE)} urls x 4 ways = {len(outcomes)} attempts, {hits} hits,"
        f" {len(PUBLIC)} public, {len(refused)} refused"
    )
    assert hits == 0
    assert refused == []
    assert set(edge.dialled) <= {WORLD, *public_addresses()}
    assert not_refused(outcomes) == {
        # Relative references: they lead back to the page that redirects.
        ("127.0.0.1/", "redirect"): "public",
        ("http:127.0.0.1/", "redirect"): "public",
        ("http:/127.0.0.1/", "redirect"): "public",
        ("http:///127.0.0.1/", "redirect"): "public",
        # This one redirects to itself for ever, and that one breaks the header section.
        ("http://", "redirect"): "failed",
        ("http://\n127.0.0.1/", "redirect"): "failed",
    }


def not_refused(outcomes):
    return {attempt: outcome for attempt, outcome in outcomes.items() if outcome != "refused"}


def public_addresses() -> set[str]:
    literals = {httpx.URL(url).host for url, _ in PUBLIC}
    return literals | {str(classify.unmapped(ipaddress.ip_address(each))) for _, each in PUBLIC}


def reaches(client, edge, names, url, address) -> bool:
    """Calls a public URL; true if the public site answered, at the very address looked up."""
    parsed = httpx.URL(url)
    names.script, names.other = {parsed.raw_host.decode(): [[address]]}, None
    edge.public_addresses = public_addresses()
    expected = parsed.host if classify.parse_address(parsed.host) else address
    try:
        response = client.request("GET", url, scope="acme", allow_http=True)
    except egress.EgressRefused:
        return False
    assert response.content == b"public"
    assert edge.dialled[-1] == str(classify.unmapped(ipaddress.ip_address(expected)))
    return True


def test_control_the_sentinel_is_hit_when_is_global_alone_decides(
    client, edge, names, sentinel, monkeypatch
):
    # given the classifier that Python 3.11 offers by itself
    def only_is_global(address, **_):
        return None if address.is_global else "not global"

    monkeypatch.setattr(classify, "objection", only_is_global)

    # when the corpus is run
    run_corpus(client(), edge, names)

    # then internal addresses are reached
    hits = sentinel.settled()
    print(f"\negress, is_global alone: {hits} hits")
    assert hits > 0


def test_control_the_sentinel_is_hit_when_the_checked_address_is_not_the_one_dialled(
    client, edge, names, sentinel, monkeypatch
):
    # given a backend that checks the name and then lets the system look it up again
    def unpinned(self, host, port, timeout=None, local_address=None, socket_options=None):
        self._dialler.addresses(host, port, timeout)
        return httpcore.SyncBackend().connect_tcp(host, port, timeout)

    monkeypatch.setattr(pinning.PinnedBackend, "connect_tcp", unpinned)

    # when names change their answer between the two
    run_corpus(client(), edge, names, ways=("rebinding",))

    # then the second answer is called, each time
    hits = sentinel.settled()
    print(f"\negress, no pinning: {hits} hits of {len(HOSTILE)}")
    assert hits == len(HOSTILE)


def test_control_the_sentinel_is_hit_when_one_good_address_is_enough(
    client, edge, names, sentinel, monkeypatch
):
    # given a check that is content with any public address among the answers
    def lenient(host, port, *, resolver, policy, timeout):
        found = [ipaddress.ip_address(each) for each in resolver(host, port, timeout)]
        assert any(classify.objection(each) is None for each in found)
        return tuple(found)

    monkeypatch.setattr(pinning, "checked_addresses", lenient)
    names.script = {"mixed.example.com": [["10.0.0.1", WORLD]]}

    # when a name mixes an internal address in, then it is called
    client().request("GET", "http://mixed.example.com/", scope="acme", allow_http=True)
    assert sentinel.settled() == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_loopback_is_reached_only_by_explicit_setting(client, names, site, host):
    # given a real server on this machine
    try:
        target = site(host=host)
    except OSError:
        assert host == "::1"  # a machine without IPv6
        return
    url = f"http://{'[::1]' if host == '::1' else host}:{target.port}/"

    # when it is called as in production, then it isn't reached
    with pytest.raises(EgressRefused) as refusal:
        client().request("GET", url, scope="acme", allow_http=True)
    assert (refusal.value.status, refusal.value.code) == (422, "egress_refused")
    assert target.settled() == 0

    # when the setting allows it, then it is, by address and by name
    local = client(allow_loopback=True)
    assert local.request("GET", url, scope="acme", allow_http=True).content == b"public"
    names.script = {"acme.localhost": [[host]]}
    named = f"http://acme.localhost:{target.port}/"
    assert local.request("GET", named, scope="acme", allow_http=True).status == 200
    assert target.settled() == 2

    # and other internal addresses stay closed
    for other in ("http://10.0.0.1/", "http://169.254.169.254/", "http://[fe80::1]/"):
        with pytest.raises(EgressRefused):
            local.request("GET", other, scope="acme", allow_http=True)


def test_a_network_named_by_the_installation_is_closed_too(client, edge, names, sentinel):
    # given an installation with a public range and a NAT64 prefix of its own
    own = client(forbidden_networks=("8.8.4.0/24", "2a00:64::/96"))
    edge.public_addresses = {WORLD, "8.8.8.8"}
    for address in ("8.8.4.4", "64:ff9b::8.8.4.4", "::ffff:8.8.4.4", "2a00:64::7f00:1"):
        # when a name resolves there, then it is refused
        names.script = {"own.example.com": [[address]]}
        with pytest.raises(EgressRefused):
            own.request("GET", "http://own.example.com/", scope="acme", allow_http=True)
    assert sentinel.settled() == 0

    # and the neighbours stay open
    names.script = {"own.example.com": [["8.8.8.8"]]}
    response = own.request("GET", "http://own.example.com/", scope="acme", allow_http=True)
    assert response.content == b"public"


def test_a_refusal_names_no_address_that_a_name_resolved_to(client, names):
    names.script = {"secret.example.com": [["10.11.12.13"]]}
    with pytest.raises(EgressRefused) as refusal:
        client().request("GET", "https://secret.example.com/", scope="acme")
    assert refusal.value.detail == "The host is not on the public internet."
    assert refusal.value.extra == {"host": "secret.example.com"}


def test_check_accepts_what_may_be_called_and_refuses_the_rest(client, names):
    caller = client()
    for host in ("ok.example.com", WORLD):
        caller.check(f"https://{host}/hook")
    for url in (
        "http://ok.example.com/",
        "https://ok.example.com:22/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
    ):
        with pytest.raises(EgressRefused):
            caller.check(url)
    assert names.asked == []


def test_plain_http_is_refused_unless_asked_for(client, edge, names):
    names.script = {"plain.example.com": [[WORLD]]}
    edge.public_addresses = {WORLD}
    with pytest.raises(EgressRefused):
        client().request("GET", "http://plain.example.com/", scope="acme")
    assert edge.dialled == []
    assert client().request("GET", "https://plain.example.com/", scope="acme").status == 200


def test_the_next_checked_address_is_tried_when_one_is_dead(client, edge, names, monkeypatch):
    # given a name with a dead address before a living one
    names.script = {"two.example.com": [["1.1.1.1", WORLD]]}
    edge.public_addresses = {WORLD}

    def dial(address, *args, **kwargs):
        if address[0] == "1.1.1.1":
            edge.dialled.append("1.1.1.1")
            raise ConnectionRefusedError
        return edge(address, *args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", dial)
    response = client().request("GET", "https://two.example.com/", scope="acme")
    assert response.status == 200
    assert edge.dialled == ["1.1.1.1", WORLD]
    assert names.asked == ["two.example.com"]


def test_tls_is_checked_against_the_name_in_the_url(client, edge, names):
    # given a server certified for example.com, at an address two names lead to
    names.script = {"good.example.com": [[WORLD]], "bad.example.net": [[WORLD]]}
    edge.public_addresses = {WORLD}
    caller = client()
    assert caller.request("GET", "https://good.example.com/", scope="acme").status == 200
    assert edge.sites[443].asked[-1][2]["host"] == "good.example.com"
    asked = len(edge.sites[443].asked)

    # when it is called by a name it isn't certified for, then nothing is sent
    with pytest.raises(egress.EgressUnreachable):
        caller.request("GET", "https://bad.example.net/", scope="acme")
    assert len(edge.sites[443].asked) == asked


def test_the_environment_names_no_proxy_and_no_authority(client, edge, names, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{edge.sentinel.port}")
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    names.script = {"api.example.com": [[WORLD]]}
    edge.public_addresses = {WORLD}
    assert client().request("GET", "https://api.example.com/", scope="acme").status == 200
    assert edge.sentinel.settled() == 0


def test_the_system_resolver_gives_addresses_and_keeps_its_time(monkeypatch):
    # given the system's own lookup
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    assert resolve.system_resolver("one.example.com", 443, 1.0) == ["1.1.1.1"]

    # when it fails, or hangs, then that is an OSError, never a wait
    def fail(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(OSError, match="not known"):
        resolve.system_resolver("none.example.com", 443, 1.0)

    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: release.wait(30) and [])
    with pytest.raises(TimeoutError):
        resolve.system_resolver("slow.example.com", 443, 0.05)
    release.set()
