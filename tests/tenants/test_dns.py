"""The real resolver against a real server on loopback: what it hears, and what not."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from apps.tenants.gateways import dns
from apps.tenants.gateways.dns import LookupFailed, NameServers, servers_of_the_machine
from apps.tenants.gateways.dns_wire import NotOurAnswer, question, read_answer
from config import env
from tests.tenants.dns_server import ASKED, answer, cname, name_of, serve, txt, wire

NAME = "_mandate-challenge.agents.acme.example"


def ask(*servers: tuple[str, int], timeout: float = 3.0) -> list[str]:
    return list(NameServers(servers, timeout)(NAME))


def test_records_are_heard_each_whole() -> None:
    def reply(query: bytes) -> list[bytes]:
        assert name_of(query) == NAME
        return [answer(query, txt(ASKED, b"v=spf1"), txt(ASKED, b"mandate-", b"veri", b"fication"))]

    with serve(reply) as server:
        assert ask(server.address) == ["v=spf1", "mandate-verification"]
    assert len(server.asked) == 1


def test_no_such_name_and_no_such_record_are_answers() -> None:
    for code in (3, 0):
        with serve(lambda query, code=code: [answer(query, code=code)]) as server:  # type: ignore[misc]
            assert ask(server.address) == []
        assert len(server.asked) == 1


@pytest.mark.parametrize("code", [1, 2, 4, 5])
def test_a_server_that_cannot_say_proves_nothing(code: int) -> None:
    with (
        serve(lambda query: [answer(query, code=code)]) as server,
        pytest.raises(LookupFailed, match=f"error {code}"),
    ):
        ask(server.address)


def test_silence_ends_in_bounded_time_and_the_next_server_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dns, "A_TRY_SECONDS", 0.1)
    with serve(lambda query: []) as silent, serve(lambda q: [answer(q, txt(ASKED, b"x"))]) as other:
        with pytest.raises(LookupFailed, match=r"in time|timed out"):
            ask(silent.address, timeout=0.5)
        assert 2 <= len(silent.asked) <= 3
        assert ask(silent.address, other.address) == ["x"]


def test_nobody_there_and_nobody_known() -> None:
    with serve(lambda query: []) as server:
        gone = server.address
    with pytest.raises(LookupFailed):
        ask(gone, timeout=1)
    with pytest.raises(LookupFailed, match="no name server is known"):
        ask()


def test_what_does_not_answer_the_question_is_passed_over() -> None:
    """Forged, late, broken: the true answer that follows is the one that counts."""
    other = wire("_mandate-challenge.agents.evil.example") + b"\0\x10\0\x01"

    def reply(query: bytes) -> list[bytes]:
        ident = int.from_bytes(query[:2])
        lie = txt(ASKED, b"a lie")
        return [
            answer(query, lie, ident=ident ^ 1),
            answer(query, lie, question=other),
            query,
            answer(query, lie)[:-3],
            b"",
            b"\xff" * 40,
            answer(query, txt(ASKED, b"the truth")),
        ]

    with serve(reply) as server:
        assert ask(server.address) == ["the truth"]


def test_records_of_other_names_do_not_count() -> None:
    def reply(query: bytes) -> list[bytes]:
        return [answer(query, txt(wire("agents.acme.example"), b"not asked for"))]

    with serve(reply) as server:
        assert ask(server.address) == []


def test_aliases_are_followed_within_the_answer_and_never_round_in_circles() -> None:
    def alias(query: bytes) -> list[bytes]:
        found = txt(wire("proof.provider.example"), b"behind")
        return [answer(query, cname(ASKED, "Proof.Provider.example"), found)]

    def circle(query: bytes) -> list[bytes]:
        return [answer(query, cname(ASKED, "b.example"), cname(wire("b.example"), NAME))]

    with serve(alias) as server:
        assert ask(server.address) == ["behind"]
    with serve(circle) as server:
        assert ask(server.address) == []


def test_a_long_answer_comes_by_stream() -> None:
    parts = [b"x" * 255] * 12

    with serve(
        lambda query: [answer(query, truncated=True)],
        lambda query: [answer(query, txt(ASKED, *parts))],
    ) as server:
        assert ask(server.address) == ["x" * 255 * 12]


def test_an_answer_that_stays_cut_off_denies_nothing() -> None:
    def cut(query: bytes) -> list[bytes]:
        return [answer(query, truncated=True)]

    with serve(cut, cut) as server, pytest.raises(LookupFailed, match="did not say all"):
        ask(server.address)


def test_a_pointer_that_points_at_itself_is_no_name() -> None:
    query = question(NAME, ident=7)
    broken = answer(query, txt(b"\xc0" + bytes([len(query) - 11]), b"x"))
    for message in (broken, answer(query, txt(ASKED, b"x"), question=ASKED + b"\0\x10\0\x01")):
        with pytest.raises(NotOurAnswer):
            read_answer(message, name=NAME, ident=7)


@given(st.binary(max_size=200))
def test_no_bytes_break_it(noise: bytes) -> None:
    query = question(NAME, ident=7)
    for message in (noise, answer(query) + noise, answer(query, noise)):
        try:
            read_answer(message, name=NAME, ident=7)
        except NotOurAnswer:
            continue


def test_the_installation_names_its_servers(settings: object, tmp_path: Path) -> None:
    with serve(lambda query: [answer(query, txt(ASKED, b"named"))]) as server:
        settings.DNS_SERVERS = (server.address,)  # type: ignore[attr-defined]
        assert list(dns.resolver()(NAME)) == ["named"]
    conf = tmp_path / "resolv.conf"
    conf.write_text("# a comment\nsearch x.example\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n")
    assert servers_of_the_machine(conf) == (("192.0.2.1", 53), ("2001:db8::1", 53))
    assert servers_of_the_machine(tmp_path / "none") == ()


def test_addresses_are_read_with_their_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "192.0.2.1, 192.0.2.2:5353, 2001:db8::1, [2001:db8::2]:5353")
    assert env.addresses("WHERE", 53) == [
        ("192.0.2.1", 53),
        ("192.0.2.2", 5353),
        ("2001:db8::1", 53),
        ("2001:db8::2", 5353),
    ]
    for wrong in ("ns.example", "192.0.2.1:x", "192.0.2.999", "[::1"):
        monkeypatch.setenv("WHERE", wrong)
        with pytest.raises(ImproperlyConfigured, match="WHERE"):
            env.addresses("WHERE", 53)


def test_a_dot_within_a_label_is_no_end_of_it() -> None:
    """As text both would read the same; only one of them is the name that was asked for."""
    first, _, rest = NAME.partition(".")
    second, _, rest = rest.partition(".")
    joined = f"{first}.{second}".encode()
    forged = bytes([len(joined)]) + joined + wire(rest)
    query = question(NAME, ident=7)
    with pytest.raises(NotOurAnswer):
        read_answer(answer(query, txt(forged, b"x")), name=NAME, ident=7)
    assert read_answer(answer(query, txt(wire(NAME), b"x")), name=NAME, ident=7).texts == ("x",)
