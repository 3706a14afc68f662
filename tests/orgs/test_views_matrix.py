"""Role × page × other org, over everything that an org's host serves to browsers.

The table says who may; the URLconf says what there is. A page without a row fails, and so does a
row without its page.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import transaction
from django.urls import URLPattern, reverse

from apps.agents.models import Agent, Capability, Grant, ModelPrice, ModelProvider
from apps.approvals.models import Approval, ApprovalRule, Vote
from apps.common.ids import public_id
from apps.notify.models import Channel, Delivery, Digest, Notice
from apps.orgs.models import ApiKey, Invitation, Member, OrgDomain, Project, Role, RolePermission
from apps.orgs.services import invitations, projects, roles
from apps.orgs.services import keys as api_keys
from apps.runs.models import Feedback, Run, SavedView
from apps.tenants import keys
from apps.tenants.models import Org, User
from apps.tenants.selectors import find_org_by_slug
from apps.tenants.services import membership
from apps.trust.models import AuditEvent, LogRetention, SigningKey
from config.urls import org as urlconf
from tests.approvals.furnishing import furnish_approvals
from tests.notify.furnishing import DISCORD, furnish_notices
from tests.orgs.conftest import AT, ROLES, join, owner_of
from tests.orgs.domains import verified_domain
from tests.orgs.furnishing import TOOL, furnish_work
from tests.policies import rows as policy_rows
from tests.policies.factories import furnish_policies
from tests.tenants.browsing import anonymous, as_member, is_page, signed_in, user_of

# Everything is asked here once more for each role: coverage is counted where it is tried in depth.
pytestmark = pytest.mark.no_cover

ALL, WORKERS, ADMINS, OWNERS = ROLES, ROLES[:3], ROLES[:2], ROLES[:1]
# Doors and documents that need no member; tests/tenants/test_signin.py, test_jwks.py and
# tests/workspace/test_impersonation.py try them.
OPEN = {"login", "session", "logout", "signed_out", "jwks", "workspace:impersonation"}


@dataclass(frozen=True)
class Row:
    """Who may read a page and who may send its form; () means that there is no such method."""

    get: tuple[str, ...] = ()
    post: tuple[str, ...] = ()
    data: dict[str, str] = field(default_factory=dict)
    done: int = 303
    changes: bool = True
    """Whether its form changes anything; one that only asks does not."""


NEW_AGENT = {"name": "Fresh", "skill": "echo", "timeout_seconds": "60"}
NEW_TOOL = {
    "name": "extra",
    "auth": "any",
    "price": "0",
    "input_schema": '{"type": "object"}',
    "output_schema": '{"type": "object"}',
}
NEW_CHANNEL = {"name": "Newest", **DISCORD}
TABLE = {
    "workspace:overview": Row(get=ALL),
    "workspace:search": Row(get=ALL),
    "confirm": Row(get=ALL),
    "agents:agents": Row(get=ALL),
    "agents:new": Row(WORKERS, WORKERS, NEW_AGENT, done=200, changes=False),
    "agents:new_details": Row(WORKERS, WORKERS, NEW_AGENT, done=200, changes=False),
    "agents:new_check": Row(WORKERS, WORKERS, NEW_AGENT, done=200, changes=False),
    "agents:new_register": Row(post=WORKERS, data=NEW_AGENT),
    "agents:agent": Row(get=ALL),
    "agents:tools": Row(ALL, WORKERS, NEW_TOOL),
    "agents:tool": Row(ALL, WORKERS, {**NEW_TOOL, "price": "1.5"}),
    "agents:tool_remove": Row(post=WORKERS),
    "agents:grants": Row(ALL, ADMINS, {"caller": "asker", "tools": "*"}),
    "agents:grant": Row(ALL, ADMINS, {"tools": TOOL, "lifetime": ""}),
    "agents:grant_revoke": Row(post=ADMINS),
    "agents:keys": Row(ALL, WORKERS, {"name": "Outside"}, done=200),
    "agents:key_revoke": Row(post=ALL),
    "agents:manifests": Row(get=ALL),
    "agents:manifest": Row(get=ALL),
    "agents:settings": Row(ALL, WORKERS, {"name": "Renamed"}),
    "agents:activate": Row(post=WORKERS),
    "agents:suspend": Row(post=WORKERS),
    "agents:kill": Row(post=WORKERS),
    "agents:retire": Row(post=ADMINS),
    "agents:secret": Row(post=WORKERS, done=200),
    "agents:models": Row(ALL, ADMINS, {"name": "newest", "kind": "openai", "api_key": "a-key"}),
    "agents:provider": Row(
        ADMINS, ADMINS, {"base_url": "https://93.184.216.34/v2", "api_key": "another"}
    ),
    "agents:provider_remove": Row(post=ADMINS),
    "agents:price_add": Row(
        post=ADMINS, data={"model": "newest", "input_price": "0.15", "output_price": "0.6"}
    ),
    "agents:price_remove": Row(post=ADMINS),
    "runs:runs": Row(get=ALL),
    "runs:export": Row(get=WORKERS),
    "runs:views": Row(ALL, ALL, {"name": "Mine", "status": "failed"}),
    "runs:view": Row(ALL, ALL, {"name": "Renamed"}),
    "runs:view_delete": Row(post=ALL),
    "runs:run": Row(get=ALL),
    "runs:events": Row(get=ALL),
    "runs:feedback": Row(post=WORKERS, data={"rating": "up"}),
    "runs:feedback_take_back": Row(post=WORKERS),
    "runs:cancel": Row(post=WORKERS),
    "runs:try": Row(WORKERS, WORKERS, {"tool": "echo", "input": '{"text": "hi"}', "mode": "sync"}),
    "runs:of_agent": Row(get=ALL),
    **policy_rows.pages(Row),
    "approvals:approvals": Row(get=ALL),
    "approvals:approval": Row(get=ALL),
    "approvals:approve": Row(post=ADMINS, data={"comment": "Fine"}),
    "approvals:reject": Row(post=ADMINS),
    "approvals:break_glass": Row(post=OWNERS, data={"reason": "Fire"}),
    "approvals:cancel": Row(post=ALL),
    "approvals:rules": Row(ALL, ADMINS, {"quorum": "2", "timeout_minutes": "60"}),
    "approvals:rule": Row(ALL, ADMINS, {"quorum": "3", "timeout_minutes": "60"}),
    "approvals:rule_remove": Row(post=ADMINS),
    "orgs:projects": Row(ALL, WORKERS, {"name": "Gemini"}),
    "orgs:project": Row(ALL, WORKERS, {"name": "Apollo 11"}),
    "orgs:project_archive": Row(post=WORKERS),
    "orgs:project_restore": Row(post=WORKERS),
    "orgs:settings_general": Row(ALL, ADMINS, {"name": "Acme Corp"}),
    "orgs:members": Row(get=ALL),
    "orgs:member_role": Row(post=ADMINS, data={"role": "viewer"}),
    "orgs:member_groups": Row(ADMINS, ADMINS, {"groups": "finance, emea"}),
    "orgs:member_remove": Row(post=ADMINS),
    "orgs:invite": Row(post=ADMINS, data={"email": "new@x.example", "role": "viewer"}),
    "orgs:invitation_resend": Row(post=ADMINS),
    "orgs:invitation_revoke": Row(post=ADMINS),
    "orgs:roles": Row(get=ALL),
    "orgs:role_new": Row(ADMINS, ADMINS, {"name": "Auditor", "permissions": "runs.view"}),
    "orgs:role": Row(ALL, ADMINS, {"name": "Auditor", "permissions": "runs.view"}),
    "orgs:role_delete": Row(post=ADMINS),
    "orgs:domains": Row(ADMINS, ADMINS, {"kind": "host", "name": "new.acme.example"}),
    "orgs:domain": Row(get=ADMINS),
    "orgs:domain_check": Row(post=ADMINS),
    "orgs:domain_primary": Row(post=ADMINS, data={"primary": "on"}),
    "orgs:domain_remove": Row(post=ADMINS),
    "orgs:keys": Row(ALL, ALL, {"name": "Nightly"}, done=200),
    "orgs:key_rotate": Row(post=ALL, done=200),
    "orgs:key_revoke": Row(post=ALL),
    "orgs:settings_danger": Row(OWNERS, OWNERS, {"name": "Acme"}),
    "orgs:signing_keys": Row(ALL, ADMINS),
    "orgs:signing_key_rotate": Row(post=ADMINS),
    "orgs:signing_key_revoke": Row(post=ADMINS, data={"reason": "Lost"}),
    "orgs:audit": Row(get=ADMINS),
    "orgs:audit_entry": Row(get=ADMINS),
    "orgs:audit_check": Row(get=ADMINS),
    "orgs:audit_file": Row(get=ADMINS),
    "orgs:audit_keep": Row(post=OWNERS, data={"keep_days": "90"}),
    "notify:inbox": Row(get=ALL),
    "notify:read_all": Row(post=ALL),
    "notify:open": Row(post=ALL),
    "notify:read": Row(post=ALL),
    "notify:preferences": Row(ALL, ALL, {"digest": "daily"}),
    "notify:test": Row(post=ALL),
    "notify:channels": Row(ALL, ALL, NEW_CHANNEL),
    "notify:org_channels": Row(ADMINS, ADMINS, NEW_CHANNEL),
    "notify:channel": Row(ALL, ALL, {"name": "Renamed"}),
    "notify:channel_test": Row(post=ALL),
    "notify:channel_pause": Row(post=ALL),
    "notify:channel_resume": Row(post=ALL),
    "notify:channel_remove": Row(post=ALL),
}
STREAMS = {"runs:events", "runs:export", "orgs:audit_file"}
FORMS = [name for name, row in TABLE.items() if row.post]
GETS = [name for name, row in TABLE.items() if row.get]
DOCUMENTS = [name for name in GETS if name not in STREAMS]
CASES = [*((name, "GET") for name in GETS), *((name, "POST") for name in FORMS)]


NEW = ("agents:new", "agents:new_details", "agents:new_check", "agents:new_register")
BARE = (
    "approvals:approvals",
    "approvals:rules",
    "agents:agents",
    *NEW,
    "agents:models",
    "agents:price_add",
)
REFS = {
    *("orgs:project", "orgs:project_archive", "orgs:project_restore"),
    *("orgs:member_role", "orgs:member_groups", "orgs:member_remove"),
    *(n for n in TABLE if n.startswith("approvals:") and n not in BARE),
    *(n for n in TABLE if n.startswith("policies:") and n not in policy_rows.BARE),
    *("orgs:invitation_resend", "orgs:invitation_revoke"),
    *("orgs:key_rotate", "orgs:key_revoke", "orgs:role", "orgs:role_delete"),
    *("orgs:signing_key_revoke", "orgs:audit_entry"),
    *(n for n in TABLE if n.startswith("orgs:domain") and n != "orgs:domains"),
    *(n for n in TABLE if n.startswith("agents:") and n not in BARE),
    *(
        "runs:view",
        "runs:view_delete",
        "runs:run",
        "runs:events",
        "runs:feedback",
        "runs:feedback_take_back",
        "runs:cancel",
        "runs:try",
        "runs:of_agent",
    ),
    *("notify:open", "notify:read"),
    *(n for n in TABLE if n.startswith("notify:channel") and n != "notify:channels"),
}
# What stands in a URL behind the thing itself, by its name in what `furnish` made.
TAILS = {
    "agents:tool": "tool",
    "agents:tool_remove": "tool",
    "agents:manifest": "manifest",
    "agents:grant": "grant",
    "agents:grant_revoke": "grant",
    "agents:key_revoke": "agent_key",
    "policies:diff": "policy_versions",
    "policies:detach": "policy_attachment",
}


def served() -> set[str]:
    """The names of what an org's host serves besides the API and the probes."""
    found = set()
    for entry in urlconf.urlpatterns:
        if entry in urlconf.shared:
            continue
        inner = [entry] if isinstance(entry, URLPattern) else entry.url_patterns
        prefix = "" if isinstance(entry, URLPattern) else f"{entry.app_name}:"
        found |= {f"{prefix}{pattern.name}" for pattern in inner}
    return found


def furnish(org: Any, who: Any) -> dict[str, Any]:
    """One of each in the org, the key belonging to `who`; what each URL needs."""
    owner = owner_of(org)
    with keys.holding(org.schema, org.id):
        live = projects.create_project(name="Apollo", actor=owner.actor, at=AT)
        shelved = projects.create_project(name="Zeus", actor=owner.actor, at=AT)
        projects.archive_project(project_id=shelved.id, actor=owner.actor, at=AT)
        invited = invitations.invite(email="pat@x.example", role="viewer", by=owner, at=AT)
        key = api_keys.create_key(name="Import", by=who, at=AT).key
        domain = public_id("dom", verified_domain(f"{org.slug}.x.example", by=owner).id)
        role = roles.create_role(name="Reader", permissions=["runs.view"], by=owner, at=AT)
        kid, event = SigningKey.objects.get(state="active").kid, AuditEvent.objects.latest("seq")
    member = public_id("mem", join(org, "member").member_id)
    invitation, own_key = public_id("inv", invited.id), public_id("key", key.id)
    return {
        "orgs:project": public_id("prj", live.id),
        "orgs:project_archive": public_id("prj", live.id),
        "orgs:project_restore": public_id("prj", shelved.id),
        "orgs:member_role": member,
        "orgs:member_groups": member,
        "orgs:member_remove": member,
        "orgs:invitation_resend": invitation,
        "orgs:invitation_revoke": invitation,
        **{name: domain for name in REFS if name.startswith("orgs:domain")},
        "orgs:key_rotate": own_key,
        "orgs:key_revoke": own_key,
        "orgs:signing_key_revoke": kid,
        "orgs:audit_entry": public_id("evt", event.id),
        "orgs:role": public_id("rol", role.id),
        "orgs:role_delete": public_id("rol", role.id),
        "version": projects.version_of(live),
        **furnish_notices(org, who),
        **furnish_work(org, owner, who, refs=REFS, new=NEW),
        **furnish_approvals(org, owner, who, REFS),
        **furnish_policies(org, REFS),
    }


def url_of(name: str, refs: dict[str, Any]) -> str:
    args = [refs[name]] if name in refs else []
    if name in TAILS:
        args.append(refs.get(TAILS[name], 1))
    return reverse(name, args=args, urlconf=urlconf)


REFUSED = "trust.call.refused"


def data_of(name: str, refs: dict[str, Any]) -> dict[str, str]:
    more = {"version": refs["version"]} if name == "orgs:project" else {}
    return {**TABLE[name].data, **refs["more"].get(name, {}), **more}


def picture(org: Any) -> list[Any]:
    """Everything that a page could change; that a call was refused is on record besides."""
    with keys.holding(org.schema, org.id):
        kinds = (Project, Member, Invitation, ApiKey, Agent, Capability, Grant, Run, Feedback)
        kinds += (ModelProvider, ModelPrice, SavedView, OrgDomain, Role, RolePermission)
        kinds += (Notice, Channel, Delivery, Digest)
        kinds += (Approval, ApprovalRule, Vote, SigningKey, LogRetention)
        kinds += policy_rows.KINDS
        rows = [list(kind.objects.order_by("pk").values()) for kind in kinds]
        events = list(AuditEvent.objects.exclude(action=REFUSED).order_by("seq").values())
        return [*rows, events, Org.objects.filter(id=org.id).values("name", "state").get()]


def person(org: Any, role: str) -> Any:
    return owner_of(org) if role == "owner" else join(org, role)


def test_every_page_has_its_row() -> None:
    assert served() == set(TABLE) | OPEN
    for name in TABLE:
        refs = {name: "x"} if name in REFS else {}
        assert url_of(name, refs).startswith("/")


@dataclass(frozen=True)
class Home:
    """A furnished org, and whose view it is seen from."""

    org: Any
    role: str
    who: Any
    refs: dict[str, Any]


@pytest.fixture(scope="module")
def home(request: pytest.FixtureRequest, standing: None) -> Iterator[Home]:
    """The org furnished once for each role; each test has it as it was."""
    org, role = find_org_by_slug("acme"), request.param
    with transaction.atomic():
        who = person(org, role)
        yield Home(org, role, who, furnish(org, who))
        transaction.set_rollback(True)


as_each = pytest.mark.parametrize("home", ROLES, indirect=True)
as_owner = pytest.mark.parametrize("home", OWNERS, indirect=True)


@as_each
@pytest.mark.parametrize(("name", "method"), CASES)
def test_a_role_may_what_its_row_says(acme: Any, home: Home, name: str, method: str) -> None:
    who, row, refs = home.who, TABLE[name], home.refs
    browser, before = as_member(acme, who), picture(acme)

    allowed = row.get if method == "GET" else row.post
    if method == "GET":
        answer = browser.get(url_of(name, refs))
    else:
        answer = browser.post(url_of(name, refs), data_of(name, refs))

    done = 200 if method == "GET" else row.done
    assert answer.status_code == (done if home.role in allowed else 403), answer.content
    changed = picture(acme) != before
    assert changed is (method == "POST" and home.role in allowed and row.changes)
    with keys.holding(acme.schema, acme.id):
        refusals = AuditEvent.objects.filter(action=REFUSED, actor_id=who.actor.id).count()
    assert refusals == (0 if home.role in allowed else 1)


@as_owner
def test_a_page_has_no_method_beyond_its_row(acme: Any, home: Home) -> None:
    refs = home.refs
    browser, before = as_member(acme, home.who), picture(acme)

    for name in set(TABLE) - set(GETS):
        assert browser.get(url_of(name, refs)).status_code == 405
    for name in set(TABLE) - set(FORMS):
        assert browser.post(url_of(name, refs)).status_code == 405
    assert picture(acme) == before


@as_owner
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_page_is_one_document_with_one_heading(acme: Any, home: Home, name: str) -> None:
    assert is_page(as_member(acme, home.who).get(url_of(name, home.refs)))


@as_owner
@pytest.mark.parametrize(("name", "method"), CASES)
def test_nobody_gets_in_without_signing_in(acme: Any, home: Home, name: str, method: str) -> None:
    refs = home.refs
    url, before = url_of(name, refs), picture(acme)

    if method == "GET":
        answer = anonymous(acme).get(url)
        assert answer.status_code == 302
        assert answer["Location"] == f"/login?next={url.replace('/', '%2F')}"
        lost = anonymous(acme).part(url)
        assert (lost.status_code, lost["HX-Redirect"]) == (204, answer["Location"])
    else:
        assert anonymous(acme).post(url, data_of(name, refs)).status_code == 401
    assert picture(acme) == before


@as_owner
@pytest.mark.parametrize(("name", "method"), CASES)
def test_a_strangers_session_opens_no_page(
    acme: Any, other_org: Any, home: Home, name: str, method: str
) -> None:
    refs = home.refs
    stranger = user_of(owner_of(other_org))
    url, before = url_of(name, refs), picture(acme)

    for session_of in (None, acme, other_org):
        browser = signed_in(stranger, session_of, on=acme)
        if method == "GET":
            answer = browser.get(url)
            assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/login")
        else:
            assert browser.post(url, data_of(name, refs)).status_code == 401
    assert picture(acme) == before


def test_a_stranger_ends_at_a_404_of_the_apex(acme: Any, other_org: Any) -> None:
    stranger = user_of(owner_of(other_org))
    start = signed_in(stranger, on=acme).get("/login?next=/projects/")
    path = start["Location"].removeprefix("http://localhost:8000")

    assert signed_in(stranger).get(path).status_code == 404
    let_in = signed_in(user_of(owner_of(acme))).get(path)
    assert let_in["Location"].startswith("http://acme.localhost:8000/session?ticket=")


def test_somebody_without_a_role_is_signed_out(acme: Any) -> None:
    """The apex says member, the org says none: neither alone opens the door."""
    user = User.objects.create_user("ghost@x.example", "mandate-demo", name="Ghost")
    membership.admit_user(org_id=acme.id, user_id=user.pk, at=AT)
    browser = signed_in(user, acme)

    assert browser.get("/").status_code == 404
    assert browser.get("/")["Location"] == "/login?next=%2F"


@pytest.fixture(scope="module")
def theirs(standing: None) -> dict[str, Any]:
    """One of each in the other org."""
    org = find_org_by_slug("globex")
    return furnish(org, owner_of(org))


@as_owner
@pytest.mark.parametrize("name", [name for name in TABLE if name in REFS])
def test_another_orgs_things_do_not_exist_here(
    acme: Any, other_org: Any, home: Home, theirs: dict[str, Any], name: str
) -> None:
    own = home.refs
    browser = as_member(acme, owner_of(acme))
    before = picture(acme), picture(other_org)

    for refs in (theirs, {name: f"{own[name][:4]}{'0' * 32}"}, {name: "no-such"}):
        url = url_of(name, refs)
        if TABLE[name].post:
            assert browser.post(url, data_of(name, own)).status_code == 404
        if TABLE[name].get:
            assert browser.get(url).status_code == 404
    assert (picture(acme), picture(other_org)) == before
    if TABLE[name].get:
        assert browser.get(url_of(name, own)).status_code == 200
    if TABLE[name].post:
        answer = browser.post(url_of(name, own), data_of(name, own))
        assert answer.status_code == TABLE[name].done


@as_owner
@pytest.mark.parametrize("name", FORMS)
def test_a_form_needs_the_token_of_its_page(acme: Any, home: Home, name: str) -> None:
    refs = home.refs
    browser, before = as_member(acme, home.who, csrf=True), picture(acme)
    url, data = url_of(name, refs), data_of(name, refs)

    assert browser.post(url, data).status_code == 403
    assert browser.post(url, data, X_CSRFToken="x" * 64).status_code == 403
    assert picture(acme) == before
    token = browser.get("/projects/").context["csrf_token"]
    answer = browser.post(url, {**data, "csrfmiddlewaretoken": str(token)})
    assert answer.status_code == TABLE[name].done
