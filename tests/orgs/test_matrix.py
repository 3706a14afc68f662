"""Role × endpoint × other org, over everything that the URLconf serves under /v1.

The table says who may; the URLconf says what there is. A URL or method without a row fails, and so
does a row without its URL, or one that the API's description doesn't know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from apps.agents.models import Agent, Capability, Grant, ModelPrice, ModelProvider
from apps.agents.services import agents, grants, models
from apps.approvals.models import Approval, ApprovalRule, Vote
from apps.approvals.services.rules import create_rule
from apps.common.ids import public_id
from apps.notify.models import Channel, Delivery, Notice
from apps.notify.selectors import list_channels
from apps.notify.services import channels
from apps.notify.services.inbox import send_test
from apps.orgs.errors import RoleInUse
from apps.orgs.permissions import MATRIX, NOT_FOR_AGENTS
from apps.orgs.selectors import list_domains, list_roles
from apps.orgs.services import invitations, projects, roles
from apps.orgs.services import keys as api_keys
from apps.orgs.services.domains import remove_domain
from apps.runs.models import Feedback, Run, SavedView
from apps.runs.services.invoke import Ask, invoke
from apps.runs.services.views import create_view
from apps.tenants import keys
from apps.tenants.selectors import find_org_by_slug
from apps.trust.models import SigningKey
from apps.trust.services.sealer import seal
from tests.approvals.factories import ask
from tests.notify.furnishing import DISCORD
from tests.orgs.conftest import AT, ROLES, Api, join, owner_of, problem, token_for
from tests.orgs.domains import verified_domain
from tests.policies.factories import govern
from tests.policies.rows import KINDS, ROWS

# Everything is asked here once more for each role: coverage is counted where it is tried in depth.
pytestmark = pytest.mark.no_cover

URLCONFS = ("config.urls.apex", "config.urls.org")

ALL, WORKERS, ADMINS = ROLES, ROLES[:3], ROLES[:2]
# Views that anybody may read; they are no part of what a role opens.
OPEN = {"/v1/schema", "/v1/docs"}
ECHO = {"name": "New", "runtime": "builtin", "config": {"skill": "echo"}}
# (method, path): (the roles that may, a body that is well-formed, what those who may are answered)
TABLE: dict[tuple[str, str], tuple[tuple[str, ...], Any, set[int]]] = {
    ("GET", "/v1/me"): (ALL, None, {200}),
    ("GET", "/v1/projects"): (ALL, None, {200}),
    ("POST", "/v1/projects"): (WORKERS, {"name": "New"}, {201}),
    ("GET", "/v1/projects/{project}"): (ALL, None, {200}),
    ("PATCH", "/v1/projects/{project}"): (WORKERS, {"name": "Changed"}, {200}),
    ("DELETE", "/v1/projects/{project}"): (ADMINS, None, {204}),
    ("GET", "/v1/members"): (ALL, None, {200}),
    ("GET", "/v1/members/{member}"): (ALL, None, {200}),
    ("PATCH", "/v1/members/{member}"): (ADMINS, {"role": "viewer"}, {200}),
    ("DELETE", "/v1/members/{member}"): (ADMINS, None, {204}),
    ("GET", "/v1/roles"): (ALL, None, {200}),
    ("POST", "/v1/roles"): (ADMINS, {"name": "Auditor", "permissions": ["runs.view"]}, {201}),
    ("GET", "/v1/roles/{role}"): (ALL, None, {200}),
    ("PATCH", "/v1/roles/{role}"): (ADMINS, {"permissions": ["agents.view"]}, {200}),
    ("DELETE", "/v1/roles/{role}"): (ADMINS, None, {204}),
    ("GET", "/v1/permissions"): (ALL, None, {200}),
    ("GET", "/v1/invitations"): (ADMINS, None, {200}),
    ("POST", "/v1/invitations"): (ADMINS, {"email": "n@x.example", "role": "viewer"}, {201}),
    ("GET", "/v1/invitations/{invitation}"): (ADMINS, None, {200}),
    ("DELETE", "/v1/invitations/{invitation}"): (ADMINS, None, {204}),
    ("POST", "/v1/invitations/{invitation}/resend"): (ADMINS, None, {200}),
    ("GET", "/v1/domains"): (ADMINS, None, {200}),
    ("POST", "/v1/domains"): (ADMINS, {"kind": "host", "name": "new.acme.example"}, {201}),
    ("GET", "/v1/domains/{domain}"): (ADMINS, None, {200}),
    ("PATCH", "/v1/domains/{domain}"): (ADMINS, {"primary": True}, {200}),
    ("DELETE", "/v1/domains/{domain}"): (ADMINS, None, {204}),
    ("POST", "/v1/domains/{domain}/check"): (ADMINS, None, {202}),
    ("GET", "/v1/audit"): (ADMINS, None, {200}),
    ("POST", "/v1/audit/verify"): (ADMINS, {}, {200}),
    ("GET", "/v1/audit/export"): (ADMINS, None, {200}),
    ("GET", "/v1/audit/verifier"): (ADMINS, None, {200}),
    ("GET", "/v1/audit/retention"): (ADMINS, None, {200}),
    ("PUT", "/v1/audit/retention"): (ROLES[:1], {"keep_days": 365}, {200}),
    ("GET", "/v1/audit/checkpoints"): (ADMINS, None, {200}),
    ("GET", "/v1/audit/checkpoints/{checkpoint}/growth"): (ADMINS, None, {200}),
    ("GET", "/v1/audit/{seq}/proof"): (ADMINS, None, {200}),
    # It is still waiting, so that nothing of it was put on record yet.
    ("GET", "/v1/audit/records/{record}/proof"): (ADMINS, None, {404}),
    ("GET", "/v1/signing-keys"): (ALL, None, {200}),
    ("POST", "/v1/signing-keys"): (ADMINS, None, {201}),
    ("POST", "/v1/signing-keys/rotate"): (ADMINS, None, {200}),
    ("POST", "/v1/signing-keys/{kid}/revoke"): (ADMINS, {"reason": "Lost"}, {200}),
    ("GET", "/v1/keys"): (ALL, None, {200}),
    ("POST", "/v1/keys"): (ALL, {"name": "New"}, {201}),
    # The key is a member's: who may have keys may not therefore see another's.
    ("GET", "/v1/keys/{key}"): (ADMINS, None, {200}),
    ("DELETE", "/v1/keys/{key}"): (ADMINS, None, {204}),
    ("POST", "/v1/keys/{key}/rotate"): ((), {}, set()),
    ("GET", "/v1/agents"): (ALL, None, {200}),
    ("POST", "/v1/agents"): (WORKERS, ECHO, {201}),
    ("GET", "/v1/agents/{agent}"): (ALL, None, {200}),
    ("PATCH", "/v1/agents/{agent}"): (WORKERS, {"name": "Changed"}, {200}),
    ("DELETE", "/v1/agents/{agent}"): (ADMINS, None, {204}),
    ("POST", "/v1/agents/{agent}/activate"): (WORKERS, None, {409}),
    ("POST", "/v1/agents/{agent}/suspend"): (WORKERS, {}, {200}),
    ("POST", "/v1/agents/{agent}/kill"): (WORKERS, {"note": "Wrong"}, {200}),
    ("POST", "/v1/agents/{agent}/signing-secret"): (WORKERS, None, {200}),
    ("GET", "/v1/agents/{agent}/capabilities"): (ALL, None, {200}),
    ("POST", "/v1/agents/{agent}/capabilities"): (WORKERS, {"name": "third"}, {201}),
    ("GET", "/v1/agents/{agent}/capabilities/{capability}"): (ALL, None, {200}),
    ("PATCH", "/v1/agents/{agent}/capabilities/{capability}"): (
        WORKERS,
        {"price_micros": 5},
        {200},
    ),
    ("DELETE", "/v1/agents/{agent}/capabilities/{capability}"): (WORKERS, None, {204}),
    ("GET", "/v1/agents/{agent}/manifests"): (ALL, None, {200}),
    ("GET", "/v1/agents/{agent}/manifests/{version}"): (ALL, None, {200}),
    ("GET", "/v1/agents/{agent}/keys"): (ALL, None, {200}),
    ("POST", "/v1/agents/{agent}/keys"): (WORKERS, {"name": "New"}, {201}),
    ("GET", "/v1/agents/{agent}/grants"): (ALL, None, {200}),
    ("POST", "/v1/agents/{agent}/grants"): (ADMINS, {"caller": "caller", "tools": ["*"]}, {201}),
    ("DELETE", "/v1/agents/{agent}/grants"): (ADMINS, None, {204}),
    ("GET", "/v1/agents/{agent}/grants/{grant}"): (ALL, None, {200}),
    ("PATCH", "/v1/agents/{agent}/grants/{grant}"): (ADMINS, {"tools": ["*"]}, {200}),
    ("DELETE", "/v1/agents/{agent}/grants/{grant}"): (ADMINS, None, {204}),
    ("GET", "/v1/model-providers"): (ALL, None, {200}),
    ("POST", "/v1/model-providers"): (
        ADMINS,
        {"name": "new", "kind": "openai", "api_key": "a-key"},
        {201},
    ),
    ("GET", "/v1/model-providers/{provider}"): (ALL, None, {200}),
    ("PATCH", "/v1/model-providers/{provider}"): (ADMINS, {"api_key": "another"}, {200}),
    ("DELETE", "/v1/model-providers/{provider}"): (ADMINS, None, {204}),
    ("GET", "/v1/model-prices"): (ALL, None, {200}),
    ("POST", "/v1/model-prices"): (
        ADMINS,
        {"model": "new", "input_micros": 1, "output_micros": 2},
        {201},
    ),
    ("GET", "/v1/model-prices/{price}"): (ALL, None, {200}),
    ("PATCH", "/v1/model-prices/{price}"): (ADMINS, {"input_micros": 5}, {200}),
    ("DELETE", "/v1/model-prices/{price}"): (ADMINS, None, {204}),
    ("POST", "/v1/agents/{agent}/invoke"): (
        WORKERS,
        {"tool": "act", "input": {}, "mode": "async"},
        {202},
    ),
    ("GET", "/v1/runs"): (ALL, None, {200}),
    ("GET", "/v1/runs/{run}"): (ALL, None, {200}),
    ("POST", "/v1/runs/{run}/cancel"): (WORKERS, None, {200}),
    ("GET", "/v1/runs/{run}/events"): (ALL, None, {200}),
    ("GET", "/v1/runs/{run}/feedback"): (ALL, None, {200}),
    ("PUT", "/v1/runs/{run}/feedback"): (WORKERS, {"rating": "up"}, {200}),
    ("DELETE", "/v1/runs/{run}/feedback"): (WORKERS, None, {404}),
    ("GET", "/v1/runs/views"): (ALL, None, {200}),
    ("POST", "/v1/runs/views"): (ALL, {"name": "Mine", "filter": {"status": "failed"}}, {201}),
    ("GET", "/v1/runs/views/{view}"): (ALL, None, {200}),
    ("PATCH", "/v1/runs/views/{view}"): (WORKERS, {"name": "Renamed"}, {200}),
    ("DELETE", "/v1/runs/views/{view}"): (WORKERS, None, {204}),
    ("GET", "/v1/runs/{run}/steps"): (ALL, None, {200}),
    ("GET", "/v1/runs/{run}/logs"): (ALL, None, {200}),
    ("GET", "/v1/approvals"): (ALL, None, {200}),
    ("GET", "/v1/approvals/{approval}"): (ALL, None, {200}),
    ("POST", "/v1/approvals/{approval}/approve"): (ADMINS, {"comment": "Fine"}, {200}),
    ("POST", "/v1/approvals/{approval}/reject"): (ADMINS, {}, {200}),
    ("POST", "/v1/approvals/{approval}/break-glass"): (ROLES[:1], {"reason": "Fire"}, {200}),
    # Nobody's but the requester's, who is none of these.
    ("POST", "/v1/approvals/{approval}/cancel"): ((), None, {403}),
    ("GET", "/v1/approval-rules"): (ALL, None, {200}),
    ("POST", "/v1/approval-rules"): (ADMINS, {"quorum": 2, "timeout_minutes": 60}, {201}),
    ("GET", "/v1/approval-rules/{rule}"): (ALL, None, {200}),
    ("PATCH", "/v1/approval-rules/{rule}"): (ADMINS, {"quorum": 3}, {200}),
    ("DELETE", "/v1/approval-rules/{rule}"): (ADMINS, None, {204}),
    **ROWS,
    ("GET", "/v1/notices"): (ALL, None, {200}),
    ("POST", "/v1/notices/read"): (ALL, None, {200}),
    ("POST", "/v1/notices/test"): (ALL, None, {204}),
    # The notice is another member's: nobody finds it but them.
    ("POST", "/v1/notices/{notice}/read"): ((), None, set()),
    ("GET", "/v1/notification-preferences"): (ALL, None, {200}),
    ("PATCH", "/v1/notification-preferences"): (ALL, {"digest": "daily"}, {200}),
    ("GET", "/v1/channels"): (ALL, None, {200}),
    ("POST", "/v1/channels"): (ALL, {"name": "New", **DISCORD}, {201}),
    # The channel is the org's: for who may not manage those it isn't there.
    ("GET", "/v1/channels/{channel}"): (ADMINS, None, {200}),
    ("PATCH", "/v1/channels/{channel}"): (ADMINS, {"name": "Renamed"}, {200}),
    ("DELETE", "/v1/channels/{channel}"): (ADMINS, None, {204}),
    ("POST", "/v1/channels/{channel}/test"): (ADMINS, None, {202}),
    ("GET", "/v1/channels/{channel}/deliveries"): (ADMINS, None, {200}),
}
# What a row's address asks for besides.
QUERIES = {("DELETE", "/v1/agents/{agent}/grants"): "?caller={holder}"}
# What a row asks for besides, because of the thing that it names: a shared view is the org's.
BESIDES = {(method, "/v1/runs/views/{view}"): "projects.edit" for method in ("PATCH", "DELETE")}
# Refusals that aren't 403: the thing doesn't exist for this role.
HIDDEN = {path for _, path in TABLE if path.startswith(("/v1/keys/", "/v1/channels/"))}
NOBODYS = {"/v1/notices/{notice}/read"}
"""Where not even who may do everything else finds a thing of another member's."""


def served(urlconf: str) -> dict[tuple[str, str], Any]:
    """Every method of every view under /v1, with the view's class (None for one that isn't DRF)."""
    found: dict[tuple[str, str], Any] = {}
    for path, callback in _walk(get_resolver(urlconf).url_patterns, "/"):
        if path.startswith("/v1/") and path not in OPEN:
            view = getattr(callback, "cls", None)
            for method in ("get", "post", "put", "patch", "delete"):
                if view is None or hasattr(view, method):
                    found[method.upper(), path] = view
    return found


def _walk(patterns: list[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for entry in patterns:
        path = prefix + str(entry.pattern).replace("<str:", "{").replace(">", "}")
        if isinstance(entry, URLResolver):
            yield from _walk(entry.url_patterns, path)
        elif isinstance(entry, URLPattern):
            yield path, entry.callback


@pytest.mark.parametrize("urlconf", URLCONFS)
def test_every_url_has_its_row(urlconf: str) -> None:
    assert set(served(urlconf)) == set(TABLE)


@pytest.mark.parametrize("urlconf", URLCONFS)
def test_the_description_knows_the_same(urlconf: str) -> None:
    schema = SchemaGenerator(urlconf=urlconf).get_schema(request=None, public=True)
    described = {
        (method.upper(), path)
        for path, operations in schema["paths"].items()
        for method in operations
    }
    assert described == set(TABLE)


def test_every_method_asks_for_a_permission_that_exists() -> None:
    for (method, path), view in served(URLCONFS[0]).items():
        code = view.required[method]
        assert code in MATRIX or (code, path) == ("", "/v1/me"), (method, path)
        assert not view.public


def test_a_url_without_a_row_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: one row less and the comparison fails."""
    monkeypatch.delitem(TABLE, ("GET", "/v1/roles"))
    with pytest.raises(AssertionError):
        test_every_url_has_its_row(URLCONFS[0])


class World:
    """Things in an org that nobody of those who ask has made."""

    def __init__(self, org: Any) -> None:
        self.org, self.owner = org, owner_of(org)

    def refs(self) -> dict[str, str]:
        """Fresh ones for every call, so that no call sees what another has done."""
        with keys.holding(self.org.schema, self.org.id):
            project = projects.create_project(name="Any", actor=self.owner.actor, at=AT)
            member = join(self.org, "member")
            key = api_keys.create_key(name="Theirs", by=member, at=AT).key
            invitation = invitations.invite(
                email=f"{project.id.hex}@x.example", role="viewer", by=self.owner, at=AT
            )
            mark = project.id.hex[-12:]
            for spare in list_roles().filter(built_in=False):  # of these too
                with suppress(RoleInUse):
                    roles.delete_role(role_id=spare.id, by=self.owner, at=AT)
            role = roles.create_role(name=mark, permissions=["runs.view"], by=self.owner, at=AT)
            things = self._agent_and_run(mark)
            things |= self._approval(things["holder"])
            for old in list_domains():  # an org has only so many
                remove_domain(domain_id=old.id, by=self.owner, at=AT)
            domain = verified_domain(f"{project.id.hex}.x.example", by=self.owner)
            head = seal(at=AT)
            assert head
            kid = SigningKey.objects.get(state="active").kid
            told = self._notice_and_channel(member, project.id.hex)
        return {
            **things,
            **told,
            "project": public_id("prj", project.id),
            "member": public_id("mem", member.member_id),
            "invitation": public_id("inv", invitation.id),
            "key": public_id("key", key.id),
            "domain": public_id("dom", domain.id),
            "seq": str(head.seq_to),
            "checkpoint": str(head.number),
            "record": things["run"],
            "kid": kid,
            "role": public_id("rol", role.id),
        }

    def _approval(self, agent: str) -> dict[str, str]:
        """A request that nobody here is behind, and a rule that isn't meant for it."""
        rule = create_rule(
            agent=agent, quorum=2, timeout_minutes=60, by=self.owner, at=timezone.now()
        )
        return {"approval": public_id("apr", ask().id), "rule": public_id("apl", rule.id)}

    def _agent_and_run(self, mark: str) -> dict[str, str]:
        """An agent with two capabilities, one that may call it, and a run that waits."""
        facts: dict[str, Any] = {
            "accountable_id": self.owner.member_id,
            "actor": self.owner.actor,
            "at": AT,
        }
        agent = agents.create_agent(
            name=mark,
            runtime="http",
            config={"url": "https://93.184.215.14/agent"},
            capabilities=[{"name": "act"}, {"name": "other"}],
            **facts,
        )
        echo = {"runtime": "builtin", "config": {"skill": "echo"}}
        holder = agents.create_agent(name=f"holder {mark}", **echo, **facts)
        if not Agent.objects.filter(slug="caller").exists():
            agents.create_agent(name="caller", **echo, **facts)
        grant = grants.create_grant(
            callee_id=agent.id,
            caller_id=holder.id,
            tools=["*"],
            by_member_id=self.owner.member_id,
            actor=self.owner.actor,
            at=AT,
        )
        ask = Ask(agent=agent.slug, tool="act", input={}, mode="async")
        run = invoke(ask, caller=self.owner, at=AT).run
        return {
            "agent": public_id("agt", agent.id),
            "capability": "act",
            "version": "1",
            "grant": public_id("gnt", grant.id),
            "holder": public_id("agt", holder.id),
            **self._model(mark),
            **govern(agent, run, by=self.owner),
            "run": public_id("run", run.id),
            "view": public_id("viw", self._view().id),
        }

    def _notice_and_channel(self, member: Any, mark: str) -> dict[str, str]:
        """A notice of another member, and a channel of the org."""
        send_test(by=member, at=AT)
        notice = Notice.objects.get(member_id=member.member_id)
        for old in list_channels(by=self.owner, own=False):  # an org has only so many
            channels.remove_channel(channel_id=old.id, by=self.owner, at=AT)
        made = channels.create_channel(name=mark, **DISCORD, own=False, by=self.owner, at=AT)
        return {
            "notice": public_id("ntc", notice.id),
            "channel": public_id("chn", made.channel.id),
        }

    def _view(self) -> SavedView:
        """One that is shared: what is somebody's own isn't there for anybody else."""
        with keys.holding(self.org.schema, self.org.id):
            found = SavedView.objects.filter(is_shared=True).first()
            query = {"status": "failed"}
            return found or create_view(
                name="Failed", query=query, is_shared=True, by=self.owner, at=AT
            )

    def _model(self, mark: str) -> dict[str, str]:
        """A provider of language models, and a model's price."""
        by: dict[str, Any] = {"actor": self.owner.actor, "at": AT}
        provider = models.create_provider(
            name=f"p{mark}",
            kind="openai",
            base_url="https://93.184.215.14/v1",
            api_key="a-key",
            **by,
        )
        price = models.create_price(model=mark, input_micros=1, output_micros=2, **by)
        return {
            "provider": public_id("mpv", provider.id),
            "price": public_id("mpr", price.id),
        }

    def state(self) -> str:
        """All that a refused call could have changed, as text."""
        from apps.orgs.models import ApiKey, Invitation, Member, OrgDomain, Project, Role

        with keys.holding(self.org.schema, self.org.id):
            unused = ApiKey.objects.values("id", "name", "revoked_at", "grace_until").order_by("id")
            kinds = (Project, Member, Invitation, Agent, Capability, Grant, Run, Feedback)
            kinds += (ModelProvider, ModelPrice, SavedView, OrgDomain, Role, *KINDS)
            kinds += (Notice, Channel, Delivery, SigningKey)
            kinds += (Approval, ApprovalRule, Vote)
            rows = [kind.objects.order_by("id").values() for kind in kinds]
            return str([list(found) for found in (*rows, unused)])


def address(method: str, path: str, refs: dict[str, str]) -> str:
    """A row's address for these things, as a client of the API writes it."""
    whole = path + QUERIES.get((method, path), "")
    return whole.format(**refs).removeprefix("/v1")


@pytest.fixture(scope="module")
def world(standing: None) -> World:
    return World(find_org_by_slug("acme"))


@pytest.fixture(scope="module")
def refs(world: World) -> dict[str, str]:
    """Things in the org; each test has them as they were."""
    return world.refs()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("method", "path"), TABLE, ids=lambda part: str(part))
def test_own_org_as_the_table_says(
    world: World, refs: dict[str, str], api_as: Any, role: str, method: str, path: str
) -> None:
    allowed, body, statuses = TABLE[method, path]
    api, before = api_as(role), world.state()

    answer = api(method, address(method, path, refs), body)

    if role in allowed:
        assert answer.status_code in statuses, answer.content
        return
    hidden = path in NOBODYS or (path in HIDDEN and role not in ADMINS)
    assert problem(answer)[0] == (404 if hidden else 403)
    assert world.state() == before


@pytest.mark.parametrize(("method", "path"), TABLE, ids=lambda part: str(part))
def test_an_agents_key_may_what_its_makers_may_except_lift_its_own_limits(
    world: World, refs: dict[str, str], org: Any, method: str, path: str
) -> None:
    _, body, statuses = TABLE[method, path]
    codes = {served(URLCONFS[0])[method, path].required[method], BESIDES.get((method, path))}
    api = Api(token_for(org, world.owner, agent="caller"))  # a key of its own, made by the owner
    before = world.state()

    answer = api(method, path.format(**refs).removeprefix("/v1"), body)

    if codes & NOT_FOR_AGENTS:
        assert problem(answer) == (403, "permission_denied")
        assert world.state() == before
    elif path.endswith("/invoke"):
        assert problem(answer) == (403, "run_denied")  # it has no grant
    else:
        assert answer.status_code in statuses, answer.content


@pytest.fixture(scope="module")
def theirs(standing: None) -> tuple[World, dict[str, str]]:
    """The other org, and things in it."""
    other = World(find_org_by_slug("globex"))
    other.refs()  # so that their log is the longer one: its last numbers are not our own
    other.refs()
    return other, other.refs()


@pytest.mark.parametrize(
    ("method", "path"), [key for key in TABLE if "{" in key[1]], ids=lambda part: str(part)
)
def test_another_orgs_things_are_not_found_by_its_owner(
    theirs: tuple[World, dict[str, str]], api: Api, method: str, path: str
) -> None:
    other, refs = theirs
    before = other.state()

    answer = api(method, address(method, path, refs), TABLE[method, path][1])

    assert problem(answer) == (404, "not_found")
    assert other.state() == before


@pytest.mark.parametrize(("method", "path"), TABLE, ids=lambda part: str(part))
def test_another_orgs_key_and_no_key_open_nothing(
    world: World, refs: dict[str, str], org: Any, other_org: Any, method: str, path: str
) -> None:
    body, before = TABLE[method, path][1], world.state()
    foreign = Api(token_for(other_org, owner_of(other_org)), host=f"{org.slug}.localhost:8000")
    for api in (foreign, Api(), Api(host=foreign.host)):
        answer = api(method, address(method, path, refs), body)
        assert problem(answer) == (401, "unauthenticated")
    assert world.state() == before
