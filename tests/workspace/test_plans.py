"""Plans: what an org may have, who changes it, and what is refused beyond it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.agents.models import Agent
from apps.agents.services.agents import create_agent, retire_agent
from apps.common.ids import public_id
from apps.orgs.models import Invitation, Member
from apps.orgs.services import invitations
from apps.tenants import keys
from apps.tenants.errors import PlanLimit
from apps.tenants.models import Org, Plan, User
from apps.tenants.services import orgs
from apps.trust.models import AuditEvent
from tests.orgs.conftest import Api, join, owner_of, token_for
from tests.tenants.browsing import as_member, is_page, signed_in
from tests.workspace.operators import REASON, make_operator

NOW = timezone.now()


def put_on(org: Any, **limits: int | None) -> Plan:
    """A new plan with these limits, and the org on it."""
    plan = Plan.objects.create(code=f"p{uuid.uuid4().hex[:8]}", name="Small", **limits)
    Org.objects.filter(id=org.id).update(plan=plan)
    return plan


def person(org: Any) -> User:
    """Somebody with a verified address who is in no org."""
    from allauth.account.models import EmailAddress

    email = f"{uuid.uuid4().hex[:10]}@people.example"
    with keys.holding():
        user = User.objects.create_user(email, "mandate-demo", name="Somebody")
        EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


def register(org: Any, name: str) -> Agent:
    owner = owner_of(org)
    return create_agent(
        name=name,
        runtime="builtin",
        config={"skill": "echo"},
        accountable_id=owner.member_id,
        actor=owner.actor,
        at=NOW,
    )


def events(slug: str, start: str) -> list[AuditEvent]:
    with keys.holding():
        org = Org.objects.get(slug=slug)
    with keys.holding(org.schema_name, org.id):
        return list(AuditEvent.objects.filter(action__startswith=start).order_by("seq"))


# Limits


def test_everybody_starts_on_the_standard_plan_without_limits(acme: Any) -> None:
    plan = Plan.objects.get(is_default=True)
    assert (plan.code, plan.member_limit, plan.agent_limit) == ("standard", None, None)
    assert set(Org.objects.values_list("plan__code", flat=True)) == {"standard"}
    owner = owner_of(acme)
    made = orgs._write_org(name="New", slug=f"n{uuid.uuid4().hex[:8]}", owner_id=None, at=NOW)
    assert made.plan == plan and owner


def test_members_and_open_invitations_stay_within_the_plan(org: Any) -> None:
    # Given a plan for three, one member and one open invitation
    owner = owner_of(org)
    put_on(org, member_limit=3)
    first = invitations.invite(email="a@x.example", role="viewer", by=owner, at=NOW)
    invitations.invite(email="b@x.example", role="viewer", by=owner, at=NOW)

    # When a fourth is invited, then that is refused, and says by what and who can help
    before = Invitation.objects.count()
    with pytest.raises(PlanLimit) as refused:
        invitations.invite(email="c@x.example", role="viewer", by=owner, at=NOW)
    assert refused.value.status == 409 and refused.value.extra == {
        "plan": "Small",
        "of": "members",
        "limit": 3,
    }
    assert "allows 3 members" in str(refused.value) and "operators" in str(refused.value)
    assert Invitation.objects.count() == before

    # And room that is given back can be used
    invitations.revoke_invitation(invitation_id=first.id, by=owner, at=NOW)
    invitations.invite(email="c@x.example", role="viewer", by=owner, at=NOW)


def test_who_was_invited_before_the_plan_shrank_cannot_come(org: Any) -> None:
    owner, user = owner_of(org), person(org)
    invited = invitations.invite(email=user.email, role="viewer", by=owner, at=NOW)
    small = put_on(org, member_limit=1)
    accept = {"invitation_id": invited.id, "user_id": user.pk, "at": NOW}

    with pytest.raises(PlanLimit):
        invitations.accept_invitation(**accept)

    invited.refresh_from_db()
    assert invited.state == "pending" and Member.objects.filter(left_at=None).count() == 1
    Plan.objects.filter(pk=small.pk).update(member_limit=2)
    invitations.accept_invitation(**accept)
    assert Member.objects.filter(left_at=None).count() == 2


def test_agents_stay_within_the_plan_and_retired_ones_leave_room(org: Any) -> None:
    put_on(org, agent_limit=2)
    first, _ = register(org, "One"), register(org, "Two")

    with pytest.raises(PlanLimit) as refused:
        register(org, "Three")

    assert "allows 2 agents." in str(refused.value)
    assert Agent.objects.count() == 2
    retire_agent(agent_id=first.id, actor=owner_of(org).actor, at=NOW)
    register(org, "Three")


def test_a_smaller_plan_takes_nothing_away(org: Any) -> None:
    register(org, "One")
    join(org, "member")
    put_on(org, member_limit=1, agent_limit=0)
    assert Agent.objects.filter(status="active").count() == 1
    assert Member.objects.filter(left_at=None).count() == 2


def test_without_a_limit_nobody_waits(org: Any) -> None:
    def queries() -> list[str]:
        with CaptureQueriesContext(connection) as seen:
            register(org, f"Agent {uuid.uuid4().hex[:6]}")
        return [query["sql"] for query in seen.captured_queries]

    free = queries()
    assert len([sql for sql in free if "tenants_plan" in sql]) == 1
    assert not [sql for sql in free if "pg_advisory_xact_lock" in sql]
    put_on(org, agent_limit=50)
    held = queries()
    assert len([sql for sql in held if "pg_advisory_xact_lock" in sql]) == 1
    assert len(held) == len(free) + 2


def at_once(org: Any, work: list[Callable[[], Any]]) -> list[BaseException | None]:
    """Start all together, each on a connection of its own; what each raised."""
    found: list[BaseException | None] = [None] * len(work)
    start = threading.Barrier(len(work))

    def run(number: int) -> None:
        try:
            with keys.holding(org.schema, org.id):
                start.wait()
                work[number]()
        except PlanLimit as error:
            found[number] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[n]) for n in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_of_many_at_once_only_as_many_come_as_there_is_room(
    throwaway_org: Callable[[], Any],
) -> None:
    org = throwaway_org()
    put_on(org, member_limit=3, agent_limit=2)
    with keys.holding(org.schema, org.id):
        owner = owner_of(org)

    agents = at_once(org, [lambda n=n: register(org, f"Agent {n}") for n in range(6)])
    invited = at_once(
        org,
        [
            lambda n=n: invitations.invite(
                email=f"p{n}@x.example", role="viewer", by=owner, at=timezone.now()
            )
            for n in range(6)
        ],
    )

    assert len([error for error in agents if error is None]) == 2
    assert len([error for error in invited if error is None]) == 2
    with keys.holding(org.schema, org.id):
        assert (Agent.objects.count(), Invitation.objects.count()) == (2, 2)


# Where it is seen


def test_the_settings_and_the_api_tell_the_plan(org: Any) -> None:
    owner = owner_of(org)
    page = as_member(org, owner).get("/settings/").content.decode()
    assert "Standard" in page and "1, no limit" in page and "No limit" in page
    put_on(org, member_limit=5, agent_limit=7)
    page = as_member(org, owner).get("/settings/").content.decode()
    assert "Small" in page and "1 of 5" in page and "At most 7" in page
    told = Api(token_for(org, owner)).get("/me").json()["plan"]
    assert (told["name"], told["member_limit"], told["agent_limit"]) == ("Small", 5, 7)


def test_forms_and_the_api_say_what_the_plan_refuses(org: Any) -> None:
    owner = owner_of(org)
    put_on(org, member_limit=1, agent_limit=0)
    browser = as_member(org, owner)
    invite = browser.post("/settings/invitations/", {"email": "a@x.example", "role": "viewer"})
    new = {"name": "Fresh", "skill": "echo", "timeout_seconds": "60", "project": "default"}
    agent = browser.post("/agents/new/register/?runtime=builtin", new)
    for answer in (invite, agent):
        assert answer.status_code == 422 and b"The plan Small allows" in answer.content
    api = Api(token_for(org, owner))
    answer = api.post("/invitations", {"email": "a@x.example", "role": "viewer"})
    assert (answer.status_code, answer.json()["code"]) == (409, "plan_limit")
    assert answer.json()["limit"] == 1
    assert not Invitation.objects.exists() and not Agent.objects.exists()


# Who changes it


def test_an_operator_puts_an_org_on_another_plan_and_both_logs_say_why(acme: Any) -> None:
    user = make_operator()
    browser, path = signed_in(user), "/admin/plan/acme/"
    plan = Plan.objects.create(code="small", name="Small", member_limit=3)
    row = browser.get(f"/admin/tenants/org/{acme.id}/change/")
    assert dict(row.context["row_links"]) == {"Change plan": path}
    assert is_page(browser.get(path))

    answer = browser.post(path, {"plan": str(plan.pk), "reason": REASON})

    assert (answer.status_code, answer["Location"]) == (
        303,
        f"/admin/tenants/org/{acme.id}/change/",
    )
    assert Org.objects.get(id=acme.id).plan == plan
    for slug in ("acme", "system"):
        (event,) = events(slug, "tenants.org.plan_changed")
        assert (event.actor_type, event.actor_id) == ("operator", public_id("usr", user.pk))
        told = {"slug": "acme", "plan": "small", "was": "standard", "reason": REASON}
        assert event.detail["new"] == told
    assert b"Small" in browser.get("/admin/tenants/org/").content


@pytest.mark.parametrize("fields", [{"reason": " "}, {"plan": str(uuid.uuid4())}, {"plan": "same"}])
def test_a_bad_change_of_plan_changes_nothing(acme: Any, fields: dict[str, str]) -> None:
    plan = Plan.objects.create(code="small", name="Small")
    standard = Plan.objects.get(is_default=True)
    sent = {"plan": str(plan.pk), "reason": REASON, **fields}
    sent["plan"] = str(standard.pk) if sent["plan"] == "same" else sent["plan"]
    answer = signed_in(make_operator()).post("/admin/plan/acme/", sent)
    assert answer.status_code == 422 and is_page(answer)
    assert Org.objects.get(id=acme.id).plan == standard
    assert events("acme", "tenants.org.plan") == []


def test_it_takes_the_permission_to_change_orgs(acme: Any) -> None:
    user = make_operator()
    User.objects.filter(pk=user.pk).update(is_superuser=False)
    plan = Plan.objects.create(code="small", name="Small")
    sent = {"plan": str(plan.pk), "reason": REASON}
    refused = signed_in(user).post("/admin/plan/acme/", sent)
    assert refused.status_code == 403 and Org.objects.get(id=acme.id).plan != plan

    user.user_permissions.add(Permission.objects.get(codename="change_org"))

    assert signed_in(user).post("/admin/plan/acme/", sent).status_code == 303


def test_plans_are_added_changed_and_made_the_default_on_record(acme: Any) -> None:
    browser, path = signed_in(make_operator()), "/admin/tenants/plan/"
    sent = {"code": "team", "name": "Team", "member_limit": "10", "agent_limit": ""}
    assert browser.post(f"{path}add/", sent).status_code == 302
    team = Plan.objects.get(code="team")
    assert (team.name, team.member_limit, team.agent_limit) == ("Team", 10, None)

    changed = {**sent, "code": "other", "agent_limit": "4"}
    assert browser.post(f"{path}{team.pk}/change/", changed).status_code == 302
    team.refresh_from_db()
    assert (team.code, team.agent_limit) == ("team", 4)

    chosen = {"action": "make_default", "_selected_action": str(team.pk)}
    assert browser.post(path, chosen).status_code == 302
    assert list(Plan.objects.filter(is_default=True)) == [team]
    assert Org.objects.get(id=acme.id).plan.code == "standard"

    said = [event.action for event in events("system", "tenants.plan.")]
    assert said == ["tenants.plan.added", "tenants.plan.changed", "tenants.plan.made_default"]
    assert events("system", "tenants.plan.")[1].detail["new"]["agent_limit"] == "4"
    for rest in ("delete/",):
        assert browser.post(f"{path}{team.pk}/{rest}", {"post": "yes"}).status_code == 403
    assert Plan.objects.filter(pk=team.pk).exists()


def test_who_may_only_look_writes_no_plan(acme: Any) -> None:
    user = make_operator()
    User.objects.filter(pk=user.pk).update(is_superuser=False)
    user.user_permissions.add(Permission.objects.get(codename="view_plan"))
    browser, path = signed_in(user), "/admin/tenants/plan/"
    assert browser.get(path).status_code == 200
    sent = {"code": "team", "name": "Team", "member_limit": "", "agent_limit": ""}
    plan = Plan.objects.get()
    for rest in ("add/", f"{plan.pk}/change/"):
        assert browser.post(f"{path}{rest}", sent).status_code == 403
    assert list(Plan.objects.values_list("code", "name")) == [("standard", "Standard")]
