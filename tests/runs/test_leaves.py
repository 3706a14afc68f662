"""However a run ends, and whatever was decided, it leaves a digest, and can be proved by it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.common.ids import public_id
from apps.policies.models import Decision
from apps.runs import records, spine
from apps.runs.models import Run
from apps.runs.services.control import cancel_run
from apps.runs.spine import Ending
from apps.runs.states import RunStatus
from apps.trust import merkle
from apps.trust.models import Leaf
from apps.trust.services import sealer
from tests.orgs.conftest import Api, problem
from tests.runs.factories import CALLER, admit, capability, make_agent
from tests.runs.governing import in_force

pytestmark = pytest.mark.usefixtures("org")
DONE = Ending(RunStatus.SUCCEEDED, output={"text": "hello"})


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Seals what this very transaction has left, which no sealer does but of this test."""

    def edge() -> int:
        with connection.cursor() as cursor:
            cursor.execute("select pg_current_xact_id()::text::bigint + 1")
            return int(cursor.fetchone()[0])

    monkeypatch.setattr(sealer, "oldest_running", edge)
    return lambda: sealer.seal(at=timezone.now())


def digests(kind: str, subject: Any) -> list[str]:
    leaves = Leaf.objects.filter(kind=kind, subject_id=subject).order_by("xid", "id")
    return [bytes(leaf.digest).hex() for leaf in leaves]


def digest_of(run: Any) -> str:
    return hashlib.sha256((records.tell_run(run) or "").encode()).hexdigest()


def test_a_run_that_ends_leaves_what_it_was_and_one_at_work_leaves_nothing() -> None:
    hold = admit(make_agent("echo")).hold
    assert digests("run", hold.run_id) == []
    assert records.tell_run(hold.run_id) is None

    spine.close_run(hold, DONE, at=timezone.now())
    run, said = Run.objects.get(id=hold.run_id), json.loads(records.tell_run(hold.run_id) or "")
    assert digests("run", run.id) == [digest_of(run.id)]
    assert (said["status"], said["tool"], said["attempts"]) == ("succeeded", "echo", 1)
    assert (said["id"], said["caller"]) == (str(run.id), CALLER.principal)
    assert said["output"] == hashlib.sha256(b'{"text": "hello"}').hexdigest()
    assert said["finished_at"] == int(run.finished_at.timestamp() * 10**6)  # type: ignore[union-attr]
    assert "hello" not in str(said)


def test_a_run_that_is_cancelled_while_it_waits_leaves_that() -> None:
    run = admit(make_agent("echo"), mode="async").run_id
    cancel_run(run_id=run, actor=CALLER, at=timezone.now())

    assert digests("run", run) == [digest_of(run)]
    assert json.loads(records.tell_run(run) or "")["status"] == "cancelled"


def test_a_refusal_leaves_its_run_and_its_decision(api: Api, scripts: Any) -> None:
    scripts["echo"] = lambda invocation, ctx: invocation.input
    make_agent("echo", tools=[capability("echo", annotations={"read_only": True})])
    in_force('deny contains "Never." if true\n')
    assert problem(api.post("/agents/echo/invoke", {"input": {"text": "hi"}})) == (
        403,
        "run_denied",
    )
    run, decision = Run.objects.get(), Decision.objects.get()
    text = records.tell_decision(decision.id) or ""

    assert digests("run", run.id) == [digest_of(run.id)]
    assert digests("decision", decision.id) == [hashlib.sha256(text.encode()).hexdigest()]
    assert json.loads(text)["reasons"] == ["Never."]
    assert json.loads(records.tell_run(run.id) or "")["decision"] == str(decision.id)


def test_what_is_spent_after_the_end_leaves_another() -> None:
    hold = admit(make_agent("echo"), mode="sync").hold
    spine.close_run(hold, DONE, at=timezone.now())
    before = digest_of(hold.run_id)
    Run.objects.filter(id=hold.run_id).update(cost_micros=7)

    assert digests("run", hold.run_id) == [before, digest_of(hold.run_id)]
    Run.objects.filter(id=hold.run_id).update(idempotency_key=None)  # what is forgotten of it
    assert len(digests("run", hold.run_id)) == 2


def test_a_run_is_proved_and_a_changed_one_is_told(api: Api, sealed: Any) -> None:
    hold = admit(make_agent("echo")).hold
    name = public_id("run", hold.run_id)
    assert problem(api.get(f"/audit/records/{name}/proof")) == (404, "not_found")
    spine.close_run(hold, DONE, at=timezone.now())
    assert problem(api.get(f"/audit/records/{name}/proof")) == (409, "not_sealed")
    assert sealed()
    proof = api.get(f"/audit/records/{name}/proof").json()
    record, head = proof["record"], proof["checkpoint"]

    assert (record["id"], record["kind"], record["matches"]) == (name, "run", True)
    assert hashlib.sha256(record["text"].encode()).hexdigest() == record["digest"]
    assert record["line"] == f"run {hold.run_id.hex} {record['digest']}"
    assert merkle.verify_inclusion(
        index=proof["index"],
        size=head["size"],
        leaf=merkle.leaf_hash(record["line"].encode()),
        path=[bytes.fromhex(step) for step in proof["path"]],
        root=bytes.fromhex(head["root"]),
    )
    Run.objects.filter(id=hold.run_id).update(reason="otherwise")  # past every service
    changed = api.get(f"/audit/records/{name}/proof").json()["record"]
    assert (changed["matches"], changed["digest"]) == (False, record["digest"])
