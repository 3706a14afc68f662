"""The yardsticks: a bare view, and an invocation as plain ORM code would write it.

`PlainView` leaves the row that an `echo` invocation leaves, in seven plain statements of one
transaction: it reads the agent, its manifest, the tool and what the key stood for, then writes the
run queued, running and succeeded. It promises nothing: no fence, no lock, no refusal on record.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents.models import Agent, Capability, Manifest
from apps.common.ids import public_id, uuid7
from apps.orgs.api.base import OrgView
from apps.runs.models import Run
from apps.tenants.access import open_to_all


@open_to_all
def bare(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


class PlainView(OrgView):
    required = {"POST": "agents.invoke"}
    keeps_keys = True

    @transaction.atomic
    def post(self, request: Request) -> Response:
        now, body, who = timezone.now(), request.data["input"], self.by.actor
        key, run_id = request.headers["Idempotency-Key"], uuid7()
        agent = Agent.objects.values("id", "manifest_id", "project_id").get(slug="echo")
        digest = Manifest.objects.values_list("digest", flat=True).get(id=agent["manifest_id"])
        tools = Capability.objects.filter(agent_id=agent["id"])
        tool = tools.values_list("name", flat=True).get(name="echo")
        known = Run.objects.filter(principal=who.principal, idempotency_key=key)
        if known.exclude(status="denied").exists():
            return Response(status=409)
        Run.objects.create(
            id=run_id,
            agent_id=agent["id"],
            manifest_id=agent["manifest_id"],
            project_id=agent["project_id"],
            tool=tool,
            title=body["text"][:80],
            status="queued",
            mode="sync",
            input=body,
            root_id=run_id,
            lineage=[agent["id"]],
            caller_type=who.type.value,
            caller_id=who.id,
            caller_label=who.label,
            principal=who.principal,
            idempotency_key=key,
            fingerprint=b"0" * 32,
            timeout_seconds=60,
            created_at=now,
        )
        run, until = Run.objects.filter(id=run_id), now + timedelta(seconds=60)
        run.update(
            status="running", started_at=now, lease_no=1, lease_until=until, deadline_at=until
        )
        run.update(status="succeeded", output=body, finished_at=timezone.now())
        told = {"id": public_id("run", run_id), "status": "succeeded", "output": body}
        return Response(told | {"manifest": digest})
