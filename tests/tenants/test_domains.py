"""Which names an org can bring, and how they are spelt."""

from __future__ import annotations

import pytest

from apps.common.errors import Invalid
from apps.tenants import domains


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("agents.customer.example", "agents.customer.example"),
        ("  Agents.CUSTOMER.Example.  ", "agents.customer.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("faß.example", "xn--fa-hia.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("例え。jp", "xn--r8jz45g.jp"),
        ("a-1.co.uk", "a-1.co.uk"),
        ("acme.github.io", "acme.github.io"),
        ("co.example.com", "co.example.com"),
    ],
)
def test_one_spelling_counts(given: str, kept: str) -> None:
    assert domains.check_host(given) == kept
    assert domains.check_host(kept) == kept


REFUSED = [
    *("", " ", ".", "..", "a..example", "-a.example", "a-.example", "a_b.example", "*.a.example"),
    *("https://a.example", "a.example/path", "a.example:443", "x@a.example", "a.example?x"),
    *("127.0.0.1", "192.0.2.1", "[::1]", "::1", "2001:db8::1", "0x7f.1", "1.2.3", "a.0x7f"),
    *("localhost", "a.localhost", "printer.local", "x.onion", "1.0.0.127.in-addr.arpa", "single"),
    *("xn--zzzz.example", "xn--a.example", "a" * 64 + ".example", "a.b." * 62 + "example"),
    *("co.uk", "com.au", "github.io", "herokuapp.com", "com", "a.invalid", "a b.example"),
]


@pytest.mark.parametrize("name", REFUSED)
def test_what_nobody_can_have_is_refused_with_a_reason(name: str) -> None:
    for check in (domains.check_host, domains.check_mail_domain):
        with pytest.raises(Invalid) as refused:
            check(name)
        assert refused.value.by_field.keys() == {"name"} and str(refused.value).endswith(".")


@pytest.mark.parametrize("apex", ["mandate.example", "app.mandate.example"])
def test_the_products_own_names_are_nobodys(settings: object, apex: str) -> None:
    settings.APEX_HOST = apex  # type: ignore[attr-defined]
    for name in (apex, f"acme.{apex}", f"a.b.{apex}", f"{apex.upper()}.", "mandate.example"):
        with pytest.raises(Invalid, match="belongs to Mandate"):
            domains.check_host(name)
    assert domains.check_host("notmandate.example") == "notmandate.example"


def test_mail_domains_are_nobodys_providers() -> None:
    assert domains.check_mail_domain("@Acme.example") == "acme.example"
    for name in ("gmail.com", "GMAIL.com.", "@outlook.com", "qq.com", "proton.me"):
        with pytest.raises(Invalid, match="Everybody can have an address"):
            domains.check_mail_domain(name)
    assert domains.check_host("gmail.com") == "gmail.com"  # as a host it is only its owner's


def test_the_longest_name_leaves_room_for_its_challenge() -> None:
    label = "a" * 60
    longest = ".".join(
        [label] * 3 + ["b" * (domains.NAME_MAX - 183 - len(".example")) + ".example"]
    )
    assert len(domains.check_host(longest)) == domains.NAME_MAX
    assert len(domains.record_name(domains.HOST, longest)) == 253
    with pytest.raises(Invalid):
        domains.check_host("a" + longest)


def test_challenges_are_random_and_records_stand_where_they_are_looked_for() -> None:
    assert len({domains.new_challenge() for _ in range(100)}) == 100
    assert all(len(domains.new_challenge()) >= 32 for _ in range(10))
    assert domains.record_name(domains.HOST, "a.example") == "_mandate-challenge.a.example"
    assert domains.record_name(domains.MAIL, "a.example") == "a.example"
    assert domains.record_value("x") == "mandate-verification=x"
