"""However a run ends, and whatever was decided, it leaves a digest, and can be proved by it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.common.ids import public_id
from apps.policies.models import Decision
from apps.runs import records, spine
from apps.runs.models import Run
from apps.runs.services.control import cancel_run
from apps.runs.spine import Ending
from apps.runs.states import RunStatus
from apps.trust import merkle, proving
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


def texts(kind: str, subject: Any) -> list[str]:
    """What a record says now, for each time that it left a digest."""
    leaves = [leaf.id for leaf in proving.list_leaves(kind=kind, subject_id=subject)]
    tell = {"run": records.tell_runs, "decision": records.tell_decisions}[kind]
    return list(map(tell(leaves).get, leaves))[::-1]  # type: ignore[arg-type]


def digests_of(kind: str, subject: Any) -> list[str]:
    return [hashlib.sha256(text.encode()).hexdigest() for text in texts(kind, subject)]


def test_a_run_that_ends_leaves_what_it_was_and_one_at_work_leaves_nothing() -> None:
    hold = admit(make_agent("echo")).hold
    assert digests("run", hold.run_id) == []

    spine.close_run(hold, DONE, at=timezone.now())
    run = Run.objects.get(id=hold.run_id)
    (text,) = texts("run", run.id)
    said, salt = json.loads(text), Leaf.objects.get(subject_id=run.id).aside["salt"]
    assert digests("run", run.id) == digests_of("run", run.id)
    assert (said["status"], said["tool"], said["attempts"]) == ("succeeded", "echo", 1)
    assert (said["id"], said["caller"]) == (str(run.id), CALLER.principal)
    assert said["output"] == hashlib.sha256(f'{salt}{{"text": "hello"}}'.encode()).hexdigest()
    assert said["finished_at"] == int(run.finished_at.timestamp() * 10**6)  # type: ignore[union-attr]
    assert "hello" not in text and salt not in text


def test_a_run_that_is_cancelled_while_it_waits_leaves_that() -> None:
    run = admit(make_agent("echo"), mode="async").run_id
    cancel_run(run_id=run, actor=CALLER, at=timezone.now())

    assert digests("run", run) == digests_of("run", run)
    assert [json.loads(text)["status"] for text in texts("run", run)] == ["cancelled"]


def test_a_refusal_leaves_its_run_and_its_decision(api: Api, scripts: Any) -> None:
    scripts["echo"] = lambda invocation, ctx: invocation.input
    make_agent("echo", tools=[capability("echo", annotations={"read_only": True})])
    in_force('deny contains "Never." if true\n')
    assert problem(api.post("/agents/echo/invoke", {"input": {"text": "hi"}})) == (
        403,
        "run_denied",
    )
    run, decision = Run.objects.get(), Decision.objects.get()
    (of_run,), (of_decision,) = texts("run", run.id), texts("decision", decision.id)

    assert digests("run", run.id) == digests_of("run", run.id)
    assert digests("decision", decision.id) == digests_of("decision", decision.id)
    assert json.loads(of_decision)["reasons"] == ["Never."]
    assert json.loads(of_run)["decision"] == str(decision.id)


@pytest.fixture
def over() -> Any:
    """The rows of a run that is over."""
    hold = admit(make_agent("echo"), key="k").hold
    spine.close_run(hold, DONE, at=timezone.now())
    return Run.objects.filter(id=hold.run_id)


def test_what_is_spent_after_the_end_leaves_another(over: Any) -> None:
    run = over.get().id
    over.update(cost_micros=7)

    assert digests("run", run) == digests_of("run", run)
    assert [json.loads(text)["cost_micros"] for text in texts("run", run)] == [0, 7]
    over.update(idempotency_key=None, is_sealed=False)  # what is forgotten of it
    assert len(digests("run", run)) == 2
    over.update(usage={"requests": 1})  # of a model that costs nothing
    assert digests("run", run) == digests_of("run", run)
    assert [json.loads(text)["usage"] for text in texts("run", run)] == [
        None,
        None,
        {"requests": 1},
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"output": {"text": "otherwise"}, "cost_micros": 7},
        {"output": {"text": "otherwise"}},
        {"caller_label": "Eve"},
        {"title": "Otherwise"},
        {"finished_at": timezone.now()},
        {"session_id": "otherwise"},
    ],
    ids=lambda change: " ".join(change),
)
def test_what_is_over_stays_as_it_was(over: Any, change: Any) -> None:
    """By the application's own login, which may else update runs."""
    before = over.values().get()
    with pytest.raises(IntegrityError, match="stays as it was"), transaction.atomic():
        over.update(**change)

    assert over.values().get() == before
    assert len(digests("run", before["id"])) == 1


def test_a_run_is_proved_and_a_changed_one_is_told(api: Api, sealed: Any, rewrite: Any) -> None:
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
    assert (proof["earlier"], record["withheld"]) == ([], False)
    rewrite(Run.objects.filter(id=hold.run_id), reason="otherwise")
    changed = api.get(f"/audit/records/{name}/proof").json()["record"]
    assert (changed["matches"], changed["digest"]) == (False, record["digest"])


def test_a_proof_tells_every_digest_that_a_run_left(api: Api, over: Any, sealed: Any) -> None:
    over.update(cost_micros=7)
    assert sealed()
    proof = api.get(f"/audit/records/{public_id('run', over.get().id)}/proof").json()
    (earlier,) = proof["earlier"]

    assert [json.loads(r["text"])["cost_micros"] for r in (proof["record"], earlier)] == [7, 0]
    assert [r["matches"] for r in (proof["record"], earlier)] == [True, True]
    assert proof["record"]["digest"] != earlier["digest"]


def test_what_a_record_says_is_for_who_may_see_such_records(
    api: Api, api_as: Any, over: Any, sealed: Any
) -> None:
    assert sealed()
    path = f"/audit/records/{public_id('run', over.get().id)}/proof"
    whole = api.get(path).json()["record"]
    assert (whole["withheld"], len(whole["salt"])) == (False, 36)

    blind = api_as("owner", scopes=["audit.view", "decisions.view"]).get(path).json()["record"]
    assert blind == whole | {"text": None, "salt": None, "withheld": True}
    seeing = api_as("owner", scopes=["audit.view", "runs.view"]).get(path).json()["record"]
    assert seeing == whole | {"salt": None}
