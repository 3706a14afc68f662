"""What an operator does in an org: by its services, under their name, on its record."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from apps.agents.models import Agent
from apps.orgs.models import Invitation
from apps.orgs.services import invitations
from apps.runs.models import Run
from apps.tenants import keys
from apps.tenants.models import InvitationIndex, User
from apps.trust.models import AuditEvent, SigningKey
from tests.orgs.conftest import owner_of
from tests.runs.factories import admit, make_agent
from tests.tenants.browsing import signed_in
from tests.workspace.operators import door, look_into, make_operator


def act(browser: Any, org: Any, model: Any, action: str, *rows: Any) -> Any:
    path = door(org, f"{model._meta.app_label}/{model._meta.model_name}/")
    form = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return browser.post(path, form)


def recorded(user: Any) -> list[str]:
    rows = AuditEvent.objects.filter(actor_type="operator", actor_label=user.email)
    return [row.action for row in rows.order_by("seq")][1:]  # after that the door was opened


def test_an_agent_is_killed_with_all_its_runs(org: Any) -> None:
    user = make_operator()
    browser, agent, other = look_into(org, user), make_agent("rogue"), make_agent("tame")
    run, kept = (admit(one, mode="async").run_id for one in (agent, other))

    answer = act(browser, org, Agent, "kill", agent)

    assert answer.status_code == 302
    states = dict(Agent.objects.values_list("slug", "status"))
    assert (states["rogue"], states["tame"]) == ("suspended", "active")
    assert Run.objects.get(id=run).status == "cancelled"
    assert Run.objects.get(id=kept).status == "queued"
    assert recorded(user) == ["agents.agent.killed"]
    said = browser.get(answer["Location"]).content
    assert b"Rogue is suspended" in said or b"rogue is suspended" in said
    assert keys.current().org_id == org.id


def test_runs_are_cancelled_and_one_that_is_over_is_refused(org: Any) -> None:
    user = make_operator()
    browser, agent = look_into(org, user), make_agent("busy")
    runs = [Run.objects.get(id=admit(agent, mode="async").run_id) for _ in range(2)]
    assert act(browser, org, Run, "cancel", runs[0]).status_code == 302
    assert recorded(user) == ["runs.run.cancelled"]

    answer = act(browser, org, Run, "cancel", *runs)

    assert {run.status for run in Run.objects.filter(agent=agent)} == {"cancelled"}
    assert recorded(user) == ["runs.run.cancelled"] * 2
    assert b"nothing left to cancel" in browser.get(answer["Location"]).content


def test_the_signing_key_is_rotated(org: Any) -> None:
    user = make_operator()
    browser, old = look_into(org, user), SigningKey.objects.get(state="active")
    assert act(browser, org, SigningKey, "rotate", old).status_code == 302
    assert SigningKey.objects.get(state="active").pk != old.pk
    assert recorded(user) == ["trust.signing_key.retired", "trust.signing_key.activated"]


def test_an_invitation_is_sent_again_and_another_expires(org: Any) -> None:
    user, owner, at = make_operator(), owner_of(org), timezone.now() - timedelta(days=1)
    browser = look_into(org, user)
    one, other = (
        invitations.invite(email=f"{name}@x.example", role="viewer", by=owner, at=at)
        for name in ("one", "other")
    )
    for invitation in (one, other):
        invitations.deliver_invitation(invitation_id=invitation.id, at=at)
    other.refresh_from_db()
    link = bytes(other.token_hash or b"")
    assert InvitationIndex.objects.filter(token_hash=link).exists()

    assert act(browser, org, Invitation, "resend", one).status_code == 302
    assert act(browser, org, Invitation, "expire", other).status_code == 302

    one.refresh_from_db()
    other.refresh_from_db()
    assert (one.state, one.sent_at) == ("pending", None)
    assert one.expires_at > at + invitations.LIFE
    assert (other.state, other.token_hash) == ("expired", None)
    assert not InvitationIndex.objects.filter(token_hash=link).exists()
    assert recorded(user) == ["orgs.invitation.resent", "orgs.invitation.expired"]
    for action in ("resend", "expire"):
        refused = act(browser, org, Invitation, action, other)
        assert b"no longer open" in browser.get(refused["Location"]).content
    assert len(recorded(user)) == 2


def test_who_may_only_look_may_not_act_until_they_are_let(org: Any) -> None:
    user, agent = make_operator(), make_agent("rogue")
    User.objects.filter(pk=user.pk).update(is_superuser=False)
    browser = look_into(org, user)
    assert b"Kill" not in browser.get(door(org, "agents/agent/")).content
    act(browser, org, Agent, "kill", agent)
    agent.refresh_from_db()
    assert agent.status == "active" and recorded(user) == []

    user.user_permissions.add(Permission.objects.get(codename="change_agent"))

    assert b"Kill" in browser.get(door(org, "agents/agent/")).content
    act(browser, org, Agent, "kill", agent)
    agent.refresh_from_db()
    assert agent.status == "suspended" and recorded(user) == ["agents.agent.killed"]


@pytest.mark.parametrize(
    ("model", "action"), [(Agent, "kill"), (Run, "cancel"), (Invitation, "expire")]
)
def test_behind_a_shut_door_nothing_is_done(
    org: Any, other_org: Any, model: Any, action: str
) -> None:
    agent = make_agent("busy")
    run = Run.objects.get(id=admit(agent, mode="async").run_id)
    owner = owner_of(org)
    invited = invitations.invite(email="x@x.example", role="viewer", by=owner, at=timezone.now())
    rows = {Agent: agent, Run: run, Invitation: invited}
    assert act(signed_in(make_operator()), org, model, action, rows[model]).status_code == 403
    elsewhere = look_into(other_org)
    assert act(elsewhere, other_org, model, action, rows[model]).status_code == 302
    agent.refresh_from_db()
    run.refresh_from_db()
    invited.refresh_from_db()
    assert (agent.status, run.status, invited.state) == ("active", "queued", "pending")
