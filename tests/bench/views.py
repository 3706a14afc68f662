"""The yardsticks: a bare view, and an invocation as plain ORM code would write it.

`PlainView` leaves the row that an `echo` invocation leaves, in seven plain statements: it reads
the agent, its manifest, the tool and what the key stood for, then writes the run queued, running
and succeeded. It promises nothing: no fence, no lock, no refusal on record.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

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

    def post(self, request: Request) -> Response:
        now, body, who = timezone.now(), request.data["input"], self.by.actor
        key = request.headers["Idempotency-Key"]
        agent = Agent.objects.get(slug="echo")
        manifest = Manifest.objects.get(id=agent.manifest_id)
        tool = Capability.objects.get(agent=agent, name="echo")
        if Run.objects.filter(principal=who.principal, idempotency_key=key).exists():
            return Response(status=409)
        run_id = uuid7()
        run = Run.objects.create(
            id=run_id,
            agent=agent,
            manifest=manifest,
            project_id=agent.project_id,
            tool=tool.name,
            title=body["text"][:80],
            status="queued",
            mode="sync",
            input=body,
            root_id=run_id,
            lineage=[agent.id],
            caller_type=who.type.value,
            caller_id=who.id,
            caller_label=who.label,
            principal=who.principal,
            idempotency_key=key,
            fingerprint=b"0" * 32,
            timeout_seconds=60,
            created_at=now,
        )
        run.status, run.started_at, run.lease_no = "running", now, 1
        run.deadline_at = run.lease_until = now + timedelta(seconds=60)
        run.save(update_fields=["status", "started_at", "lease_no", "deadline_at", "lease_until"])
        run.status, run.output, run.finished_at = "succeeded", body, timezone.now()
        run.save(update_fields=["status", "output", "finished_at"])
        return Response(_told(run))


def _told(run: Run) -> dict[str, Any]:
    return {"id": public_id("run", run.id), "status": run.status, "output": run.output}
