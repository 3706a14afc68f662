"""Agents and runs in an org for the tests that try every page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from apps.agents.services.agents import create_agent
from apps.agents.services.changing import version_of
from apps.agents.services.grants import create_grant
from apps.agents.services.models import create_price, create_provider
from apps.common.ids import public_id
from apps.orgs.models import ApiKey
from apps.orgs.services import keys as api_keys
from apps.runs.services.feedback import give_feedback
from apps.runs.services.invoke import Ask, invoke
from apps.runs.services.views import create_view
from apps.tenants import keys
from tests.orgs.conftest import AT

TOOL = "second"


def furnish_work(
    org: Any, owner: Any, who: Any, *, refs: Iterable[str], new: Iterable[str]
) -> dict[str, Any]:
    """Agents of both kinds, a grant between two, a key as one of them that belongs to `who`, a run
    that is over and one that is queued.
    """
    said = {"accountable_id": owner.member_id, "actor": owner.actor, "at": AT}
    skill = {"runtime": "builtin", "config": {"skill": "echo"}}
    with keys.holding(org.schema, org.id):
        echo = create_agent(name="Echo", **skill, **said)
        asker = create_agent(name="Asker", **skill, **said)
        draft = create_agent(name="Draft", status="draft", **skill, **said)
        desk = create_agent(
            name="Desk",
            runtime="http",
            config={"url": "https://93.184.216.34/desk"},
            capabilities=[{"name": "invoke"}, {"name": TOOL}],
            **said,
        )
        grant = create_grant(
            callee_id=desk.id,
            caller_id=asker.id,
            tools=["*"],
            by_member_id=owner.member_id,
            actor=owner.actor,
            at=AT,
        )
        provider = create_provider(
            name="models",
            kind="openai",
            base_url="https://93.184.216.34/v1",
            api_key="a-key",
            actor=owner.actor,
            at=AT,
        )
        price = create_price(model="m", input_micros=1, output_micros=2, actor=owner.actor, at=AT)
        agent_key = api_keys.create_key(name="Of echo", by=who, at=AT).key
        ApiKey.objects.filter(id=agent_key.id).update(agent=echo)
        over, queued = (
            invoke(
                Ask(agent="echo", input={"text": mode}, mode=mode),
                caller=owner,
                at=timezone.now(),
            ).run.id
            for mode in ("sync", "async")
        )
        give_feedback(run_id=over, rating="up", comment="", actor=who.actor, at=AT)
        view = create_view(name="Failed", query={"status": "failed"}, by=who, at=AT)
        settings = {
            "version": version_of(echo),
            "accountable": public_id("mem", owner.member_id),
            "project": "default",
            "timeout_seconds": "60",
            "skill": "echo",
        }
    desk_id, echo_id = public_id("agt", desk.id), public_id("agt", echo.id)
    on_desk = ("tools", "tool", "tool_remove", "grant", "grant_revoke", "secret")
    return {
        **{name: echo_id for name in refs if name.startswith("agents:")},
        **{f"agents:{name}": desk_id for name in on_desk},
        "agents:activate": public_id("agt", draft.id),
        "agents:provider": public_id("mpv", provider.id),
        "agents:provider_remove": public_id("mpv", provider.id),
        "agents:price_remove": public_id("mpr", price.id),
        "runs:view": public_id("viw", view.id),
        "runs:view_delete": public_id("viw", view.id),
        "runs:run": public_id("run", over),
        "runs:events": public_id("run", over),
        "runs:feedback": public_id("run", queued),
        "runs:feedback_take_back": public_id("run", over),
        "runs:cancel": public_id("run", queued),
        "runs:try": echo_id,
        "runs:of_agent": echo_id,
        "tool": TOOL,
        "manifest": 1,
        "grant": public_id("gnt", grant.id),
        "agent_key": public_id("key", agent_key.id),
        "more": {
            **{name: {"project": "default"} for name in new},
            "agents:settings": settings,
            "agents:retire": {"slug": "echo"},
            "runs:try": {"nonce": "ab" * 16},
        },
    }
