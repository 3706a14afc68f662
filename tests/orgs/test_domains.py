"""Domains of an org: listed, proved, doubted, chosen, removed; and whose they then are."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.utils import timezone

from apps.common.actors import SYSTEM
from apps.common.errors import Invalid, NotFound, RateLimited
from apps.orgs.errors import DomainExists, DomainNotProved, TooManyDomains
from apps.orgs.models import OrgDomain
from apps.orgs.selectors import get_domain, get_mail_domains, is_outside, list_domains
from apps.orgs.services import domains
from apps.tenants import keys, sweeping
from apps.tenants.errors import DomainTaken
from apps.tenants.gateways import dns
from apps.tenants.models import Domain, MailDomain, Org
from apps.tenants.selectors import find_org_by_host, get_org
from apps.tenants.services import hosts
from apps.tenants.services import orgs as tenant_orgs
from apps.trust.models import AuditEvent
from tests.orgs.conftest import AT, owner_of, problem
from tests.orgs.domains import FakeResolver, look, verified_domain

HOST = "agents.customer.example"
DAY = timedelta(days=1)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> FakeResolver:
    fake = FakeResolver()
    monkeypatch.setattr(dns, "resolver", lambda: fake)
    return fake


def add(by: Any, name: str = HOST, kind: str = "host", **more: Any) -> OrgDomain:
    return domains.add_domain(kind=kind, name=name, by=by, at=AT, **more)


def actions(events: Callable[[], list[Any]]) -> list[str]:
    return [action for action, _, _ in events()]


def test_a_new_domain_serves_nothing(org: Any, owner: Any, events: Any) -> None:
    domain = add(owner, " Agents.Customer.EXAMPLE. ")

    assert (domain.name, domain.state, domain.added_by_id) == (HOST, "pending", owner.member_id)
    assert domain.record_name == f"_mandate-challenge.{HOST}"
    assert find_org_by_host(HOST) is None
    [(action, subject, detail)] = events()
    assert (action, subject) == ("orgs.domain.added", f"dom_{domain.id.hex}")
    assert detail["new"] == {"kind": "host", "name": HOST}


def test_its_record_proves_it(org: Any, owner: Any, events: Any, resolver: FakeResolver) -> None:
    domain = add(owner)
    resolver.publish(domain)

    found = look(domain, resolver, at=AT)

    assert resolver.asked == [f"_mandate-challenge.{HOST}"]
    assert (found.state, found.outcome, found.check_asked_at) == ("verified", "found", None)
    assert (found.verified_at, found.next_check_at) == (AT, AT + DAY)
    served = find_org_by_host(HOST)
    assert served is not None and served.id == org.id
    assert actions(events) == ["orgs.domain.added", "orgs.domain.verified"]


@pytest.mark.parametrize(
    ("records", "outcome"),
    [
        ([], "missing"),
        (["v=spf1 -all", "mandate-verification"], "missing"),
        (["mandate-verification=another"], "different"),
        (["mandate-verification="], "different"),
    ],
)
def test_another_record_proves_nothing(
    org: Any, owner: Any, events: Any, resolver: FakeResolver, records: list[str], outcome: str
) -> None:
    domain = add(owner)
    resolver.records[domain.record_name] = records

    seen = look(domain, resolver, at=AT)

    assert (seen.state, seen.outcome, seen.verified_at) == ("pending", outcome, None)
    assert not Domain.objects.filter(domain=HOST).exists()
    assert actions(events) == ["orgs.domain.added"]


def test_one_domains_record_proves_no_other(org: Any, owner: Any, resolver: FakeResolver) -> None:
    mine, other = add(owner), add(owner, "other.customer.example")
    resolver.records[other.record_name] = [mine.record_value]
    assert look(other, resolver, at=AT).outcome == "different"
    assert look(mine, resolver, at=AT).outcome == "missing"


def test_the_first_to_prove_it_has_it(
    org: Any, other_org: Any, owner: Any, resolver: FakeResolver
) -> None:
    mine = add(owner)
    with keys.holding(other_org.schema, other_org.id):
        theirs = add(owner_of(other_org))
        assert theirs.challenge != mine.challenge
        resolver.records[theirs.record_name] = [theirs.record_value, mine.record_value]
        assert look(theirs, resolver, at=AT).is_verified

    refused = look(mine, resolver, at=AT)

    assert (refused.state, refused.outcome) == ("pending", "taken")
    served = find_org_by_host(HOST)
    assert served is not None and served.id == other_org.id
    with keys.holding(other_org.schema, other_org.id):
        domains.remove_domain(domain_id=theirs.id, by=owner_of(other_org), at=AT)
    assert look(mine, resolver, at=AT).is_verified


def test_an_org_has_a_name_once_and_not_too_many(org: Any, owner: Any, events: Any) -> None:
    add(owner)
    with pytest.raises(DomainExists):
        add(owner, HOST.upper())
    add(owner, "customer.example", kind="mail")
    for number in range(domains.MOST - 2):
        add(owner, f"a{number}.customer.example")
    with pytest.raises(TooManyDomains):
        add(owner, "last.customer.example")
    with pytest.raises(Invalid):
        add(owner, "a.customer.example", kind="other")
    assert OrgDomain.objects.count() == domains.MOST == len(events())


def test_a_check_is_a_job_that_is_done_once(
    org: Any,
    owner: Any,
    resolver: FakeResolver,
    django_capture_on_commit_callbacks: Any,
) -> None:
    domain = add(owner)
    resolver.publish(domain)
    assert domains.check_domain(domain_id=domain.id, at=AT) is None  # nobody asked

    with django_capture_on_commit_callbacks(execute=True) as sent:
        asked = domains.ask_check(domain_id=domain.id, by=owner, at=timezone.now())
        assert asked.check_asked_at is not None and resolver.asked == []

    assert len(sent) == 1 and len(resolver.asked) == 1
    domain.refresh_from_db()
    assert domain.is_verified and domain.check_asked_at is None
    assert domains.check_domain(domain_id=domain.id, at=timezone.now()) is None
    assert len(resolver.asked) == 1


def test_the_sweeper_finds_lost_checks_and_those_that_are_due(
    org: Any, owner: Any, resolver: FakeResolver, django_capture_on_commit_callbacks: Any
) -> None:
    lost, fresh = add(owner), add(owner, "fresh.customer.example")
    due = verified_domain("due.customer.example", by=owner, at=AT - 2 * DAY)
    later = verified_domain("later.customer.example", by=owner, at=AT)
    OrgDomain.objects.filter(id=lost.id).update(check_asked_at=AT - domains.PATIENCE)
    OrgDomain.objects.filter(id=fresh.id).update(check_asked_at=AT)

    with django_capture_on_commit_callbacks(execute=True):
        domains.sweep_domains(AT)

    assert sorted(resolver.asked) == sorted([lost.record_name, due.record_name])
    assert later.record_name not in resolver.asked
    assert domains.sweep_domains in sweeping._steps


def test_a_record_that_is_gone_for_days_ends_it(
    org: Any, owner: Any, events: Any, resolver: FakeResolver
) -> None:
    domain = verified_domain(HOST, by=owner, at=AT)
    domains.set_primary(domain_id=domain.id, primary=True, by=owner, at=AT)
    for day in (1, 2, 3):
        seen = look(domain, resolver, at=AT + day * DAY)
        assert (seen.state, seen.outcome) == ("verified", "missing")
        assert seen.failing_since == AT + DAY and seen.lapses_at == AT + 4 * DAY
        assert find_org_by_host(HOST) is not None

    ended = look(domain, resolver, at=AT + 4 * DAY)

    assert (ended.state, ended.is_primary, ended.failing_since) == ("lapsed", False, None)
    assert find_org_by_host(HOST) is None and get_org(org.id).url == org.own_url
    assert actions(events)[-1] == "orgs.domain.lapsed"
    resolver.publish(ended)
    assert look(domain, resolver, at=AT + 5 * DAY).is_verified
    assert find_org_by_host(HOST) is not None


def test_an_outage_takes_nobodys_host(org: Any, owner: Any, resolver: FakeResolver) -> None:
    domain = verified_domain(HOST, by=owner, at=AT)
    resolver.dead.add(domain.record_name)

    for day in range(1, 10):
        seen = look(domain, resolver, at=AT + day * DAY)
        assert (seen.state, seen.outcome, seen.failing_since) == ("verified", "unreachable", None)
        assert seen.next_check_at == AT + day * DAY + timedelta(hours=1)
    resolver.dead.clear()
    assert look(domain, resolver, at=AT + 10 * DAY).failing_since == AT + 10 * DAY
    resolver.publish(domain)
    assert look(domain, resolver, at=AT + 12 * DAY).failing_since is None
    assert find_org_by_host(HOST) is not None


def test_links_lead_to_the_host_that_was_chosen(org: Any, owner: Any, events: Any) -> None:
    first = verified_domain(HOST, by=owner)
    second = verified_domain("two.customer.example", by=owner)
    assert get_org(org.id).url == "http://acme.localhost:8000"

    domains.set_primary(domain_id=first.id, primary=True, by=owner, at=AT)
    assert get_org(org.id).url == f"http://{HOST}:8000"
    domains.set_primary(domain_id=second.id, primary=True, by=owner, at=AT)
    domains.set_primary(domain_id=second.id, primary=True, by=owner, at=AT)
    assert get_org(org.id).url == "http://two.customer.example:8000"
    assert list(OrgDomain.objects.filter(is_primary=True)) == [second]
    assert Domain.objects.get(tenant_id=org.id, is_primary=True).domain == "two.customer.example"
    domains.set_primary(domain_id=second.id, primary=False, by=owner, at=AT)
    assert get_org(org.id).url == get_org(org.id).own_url == "http://acme.localhost:8000"
    assert Domain.objects.get(tenant_id=org.id, is_primary=True).domain == "acme.localhost"

    changes = [detail for action, _, detail in events() if action.endswith("primary_changed")]
    assert [(c["old"]["host"], c["new"]["host"]) for c in changes] == [
        ("", HOST),
        (HOST, "two.customer.example"),
        ("two.customer.example", ""),
    ]


def test_only_a_proved_host_can_be_chosen(org: Any, owner: Any, events: Any) -> None:
    pending = add(owner)
    mail = verified_domain("customer.example", by=owner, kind="mail")
    before = actions(events)
    for domain in (pending, mail):
        with pytest.raises(DomainNotProved):
            domains.set_primary(domain_id=domain.id, primary=True, by=owner, at=AT)
    assert get_org(org.id).host == "" and actions(events) == before


def test_what_is_removed_is_gone_at_once(org: Any, owner: Any, events: Any) -> None:
    domain = verified_domain(HOST, by=owner)
    domains.set_primary(domain_id=domain.id, primary=True, by=owner, at=AT)

    domains.remove_domain(domain_id=domain.id, by=owner, at=AT)

    assert find_org_by_host(HOST) is None and get_org(org.id).url == org.own_url
    assert Domain.objects.get(tenant_id=org.id).is_primary
    assert list(list_domains()) == []
    action, _, detail = events()[-1]
    assert action == "orgs.domain.removed"
    assert detail["old"] == {"kind": "host", "name": HOST, "state": "verified"}
    with pytest.raises(NotFound):
        domains.remove_domain(domain_id=domain.id, by=owner, at=AT)


def test_what_is_removed_meanwhile_is_not_proved(
    org: Any, owner: Any, resolver: FakeResolver
) -> None:
    domain = add(owner)
    OrgDomain.objects.filter(id=domain.id).update(check_asked_at=AT)

    def removing(name: str) -> list[str]:
        domains.remove_domain(domain_id=domain.id, by=owner, at=AT)
        return [domain.record_value]

    assert domains.check_domain(domain_id=domain.id, at=AT, resolve=removing) is None
    assert find_org_by_host(HOST) is None


def test_a_mail_domain_is_one_orgs(org: Any, other_org: Any, owner: Any) -> None:
    verified_domain("customer.example", by=owner, kind="mail")
    add(owner, "later.example", kind="mail")

    assert get_mail_domains() == {"customer.example"}
    assert MailDomain.objects.get(domain="customer.example").org_id == org.id
    assert find_org_by_host("customer.example") is None
    with pytest.raises(DomainTaken):
        hosts.claim_mail_domain(org_id=other_org.id, domain="customer.example", at=AT)
    domain = OrgDomain.objects.get(name="customer.example")
    domains.remove_domain(domain_id=domain.id, by=owner, at=AT)
    assert not MailDomain.objects.exists() and get_mail_domains() == frozenset()


@pytest.mark.parametrize(
    ("email", "outside"),
    [
        ("a@customer.example", False),
        ("a@CUSTOMER.example", False),
        ("a@sub.customer.example", True),
        ("a@evilcustomer.example", True),
        ("customer.example@gmail.com", True),
    ],
)
def test_who_is_outside(email: str, outside: bool) -> None:
    assert is_outside(email, frozenset({"customer.example"})) is outside
    assert is_outside(email, frozenset()) is False


def test_another_orgs_domain_does_not_exist(org: Any, other_org: Any, owner: Any) -> None:
    with keys.holding(other_org.schema, other_org.id):
        theirs = verified_domain(HOST, by=owner_of(other_org))
        before = list(OrgDomain.objects.values()), AuditEvent.objects.count()

    for do in (
        lambda: get_domain(f"dom_{theirs.id.hex}"),
        lambda: domains.ask_check(domain_id=theirs.id, by=owner, at=AT),
        lambda: domains.set_primary(domain_id=theirs.id, primary=True, by=owner, at=AT),
        lambda: domains.remove_domain(domain_id=theirs.id, by=owner, at=AT),
    ):
        with pytest.raises(NotFound):
            do()
    hosts.release_host(org_id=org.id, host=HOST)  # not its own: nothing happens
    assert domains.check_domain(domain_id=theirs.id, at=AT) is None
    with keys.holding(other_org.schema, other_org.id):
        assert (list(OrgDomain.objects.values()), AuditEvent.objects.count()) == before
        served = find_org_by_host(HOST)
    assert served is not None and served.id == other_org.id


def test_checks_are_rationed(throwaway_org: Any, settings: Any, resolver: FakeResolver) -> None:
    settings.DOMAIN_CHECK_RATE = "2/10minutes"
    org = throwaway_org()
    with keys.holding(org.schema, org.id):
        owner = owner_of(org)
        domain = add(owner, f"agents.{org.slug}.example")
        for _ in range(2):
            domains.ask_check(domain_id=domain.id, by=owner, at=AT)
        with pytest.raises(RateLimited) as refused:
            domains.ask_check(domain_id=domain.id, by=owner, at=AT)
        assert refused.value.extra["retry_after"] > 0
        assert OrgDomain.objects.get().check_asked_at is None
        assert len(resolver.asked) == 2


def test_nothing_is_held_while_the_name_servers_are_asked(throwaway_org: Any) -> None:
    """Another connection takes every row that the answer will touch, without waiting."""
    org = throwaway_org()
    url = os.environ["DATABASE_URL"].rpartition("/")[0]
    name = connections["default"].settings_dict["NAME"]
    with keys.holding(org.schema, org.id):
        domain = add(owner_of(org), f"agents.{org.slug}.example")
        OrgDomain.objects.filter(id=domain.id).update(check_asked_at=AT)

        def looking(_: str) -> list[str]:
            assert not connections["default"].in_atomic_block
            with psycopg.connect(f"{url}/{name}") as other:
                other.execute("select set_config('app.org_id', %s, false)", [str(org.id)])
                sql = f"select 1 from {org.schema}.org_domains for update nowait"
                assert other.execute(sql).fetchall() == [(1,)]
                sql = "select 1 from public.tenants_org where id = %s for update nowait"
                assert other.execute(sql, [org.id]).fetchall() == [(1,)]
            return [domain.record_value]

        found = domains.check_domain(domain_id=domain.id, at=AT, resolve=looking)
        assert found is not None and found.is_verified


def test_an_erased_org_gives_its_hosts_back(throwaway_org: Any) -> None:
    org = throwaway_org()
    host, mail = f"agents.{org.slug}.example", f"{org.slug}-mail.example"
    with keys.holding(org.schema, org.id):
        owner = owner_of(org)
        domain = verified_domain(host, by=owner)
        domains.set_primary(domain_id=domain.id, primary=True, by=owner, at=AT)
        verified_domain(mail, by=owner, kind="mail")
    tenant_orgs.close_org(org_id=org.id, actor=SYSTEM, at=AT)
    assert Domain.objects.filter(domain=host).exists()

    tenant_orgs.erase_org(org_id=org.id, at=AT + tenant_orgs.GRACE)

    assert not Domain.objects.filter(domain=host).exists()
    assert not MailDomain.objects.filter(domain=mail).exists()
    assert Domain.objects.filter(domain=f"{org.slug}.localhost").exists()
    assert Org.objects.get(id=org.id).host == ""


def test_the_api_goes_the_whole_way(
    org: Any, api: Any, resolver: FakeResolver, django_capture_on_commit_callbacks: Any
) -> None:
    made = api.post("/domains", {"kind": "host", "name": "Agents.Customer.example"})
    body = made.json()
    assert made.status_code == 201
    assert body["record"] == {
        "type": "TXT",
        "name": f"_mandate-challenge.{HOST}",
        "value": OrgDomain.objects.get().record_value,
    }
    assert (body["state"], body["url"], body["check"]["pending"]) == ("pending", None, False)
    resolver.records[body["record"]["name"]] = [body["record"]["value"]]

    with django_capture_on_commit_callbacks(execute=True):
        asked = api.post(f"/domains/{body['id']}/check", Idempotency_Key="once")
        assert (asked.status_code, asked.json()["check"]["pending"]) == (202, True)
    again = api.post(f"/domains/{body['id']}/check", Idempotency_Key="once")
    assert (again.status_code, again["Idempotent-Replayed"]) == (202, "true")
    assert len(resolver.asked) == 1

    seen = api.get(f"/domains/{body['id']}").json()
    assert (seen["state"], seen["url"]) == ("verified", f"http://{HOST}:8000")
    assert seen["check"]["outcome"] == "found" and not seen["check"]["pending"]
    chosen = api.patch(f"/domains/{body['id']}", {"primary": True})
    assert chosen.json()["primary"] is True
    assert [row["id"] for row in api.get("/domains?kind=host").json()["results"]] == [body["id"]]
    assert api.get("/domains?kind=mail").json() == {"results": [], "next": None}
    assert api.delete(f"/domains/{body['id']}").status_code == 204
    assert problem(api.get(f"/domains/{body['id']}")) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"kind": "host", "name": "localhost"}, 422, "invalid"),
        ({"kind": "host", "name": "acme.localhost"}, 422, "invalid"),
        ({"kind": "mail", "name": "gmail.com"}, 422, "invalid"),
        ({"kind": "site", "name": "a.customer.example"}, 422, "invalid"),
        ({"kind": "host", "name": "taken.customer.example"}, 409, "domain_exists"),
    ],
)
def test_the_api_says_what_is_wrong(
    org: Any, owner: Any, api: Any, events: Any, body: dict[str, str], status: int, code: str
) -> None:
    add(owner, "taken.customer.example")
    before = len(events())
    assert problem(api.post("/domains", body)) == (status, code)
    assert OrgDomain.objects.count() == 1 and len(events()) == before
