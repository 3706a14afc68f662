"""The reckoning: do the clients, the database and the world outside tell the same story?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from tests.proof.client import Object
from tests.proof.outside import Seen

_RUNS: Final = """
select 'run_' || replace(r.id::text, '-', '') as id, r.idempotency_key as key, r.status, r.reason,
       r.error, r.output, r.lease_no
from runs r join agents a on a.id = r.agent_id where a.slug = %s order by r.created_at
"""
_OPEN_STEPS: Final = """
select count(*) as number
from steps s join runs r on r.id = s.run_id join agents a on a.id = r.agent_id
where a.slug = %s and (s.status = 'running' or s.finished_at is null)
"""


@dataclass(frozen=True)
class Kept:
    """What the database has of one agent's work."""

    runs: Sequence[Mapping[str, Any]]
    open_steps: int

    @property
    def requeued(self) -> int:
        """Attempts that were begun again."""
        return sum(max(0, run["lease_no"] - 1) for run in self.runs)

    @property
    def given_up(self) -> int:
        """Runs that the reaper ended."""
        return sum(run["reason"] in ("lost", "deadline") for run in self.runs)

    def number(self, status: str) -> int:
        return sum(run["status"] == status for run in self.runs)


def read_kept(database: psycopg.Connection[dict[str, Any]], agent: str) -> Kept:
    row = database.execute(_OPEN_STEPS, [agent]).fetchone()
    assert row is not None
    return Kept(database.execute(_RUNS, [agent]).fetchall(), row["number"])


def find_faults(
    *, asked: Sequence[str], answers: Mapping[str, Object], kept: Kept, seen: Sequence[Seen]
) -> list[str]:
    """Everything that isn't as promised; `answers` are the runs that clients got, by their keys.

    A key has one run and was answered with it. A run that succeeded had one effect outside, one
    that failed at most one and says why. What is settled is what its last execution was answered.
    """
    runs, effects = defaultdict(list), defaultdict(set)
    for run in kept.runs:
        runs[run["key"]].append(run)
    for one in seen:
        effects[one.token].add(one.key)
    faults = [f"{key}: a run that nobody asked for" for key in set(runs) - set(asked)]
    faults += [f"{kept.open_steps} steps are still open"] if kept.open_steps else []
    for key in asked:
        found = [*_lost(key, runs[key], answers), *_doubled(runs[key], effects[key])]
        if len(runs[key]) == 1:
            found += _untrue(runs[key][0], answers.get(key), effects[key])
        faults += [f"{key}: {fault}" for fault in found]
    return faults


def _lost(key: str, runs: Sequence[Object], answers: Mapping[str, Object]) -> list[str]:
    faults = [] if runs else ["lost: no run"]
    return faults if key in answers else [*faults, "lost: never answered"]


def _doubled(runs: Sequence[Object], effects: set[str]) -> list[str]:
    faults = [f"doubled: {len(runs)} runs"] if len(runs) > 1 else []
    return [*faults, f"doubled: {len(effects)} effects"] if len(effects) > 1 else faults


def _untrue(run: Object, answer: Object | None, effects: set[str]) -> list[str]:
    faults = []
    if run["status"] == "succeeded":
        if not effects:
            faults.append("lost: succeeded without an effect")
        if run["output"]["attempt"] != run["lease_no"]:
            told = run["output"]["attempt"]
            faults.append(f"settled by attempt {told}, not by {run['lease_no']}")
        if {run["output"]["key"]} != effects:
            faults.append("settled with somebody else's answer")
    elif run["status"] != "failed" or not (run["reason"] or run["error"]):
        faults.append(f"ended {run['status']} without a reason")
    if answer and any(answer[name] != run[name] for name in ("id", "status", "output")):
        faults.append("the client was told something else")
    return faults
