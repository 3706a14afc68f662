"""The reckoning: do the clients, the database and the world outside tell the same story?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from tests.proof.client import Object
from tests.proof.outside import Seen

_RUNS: Final = """
select 'run_' || replace(r.id::text, '-', '') as id, r.idempotency_key as key, r.status, r.reason,
       r.error, r.output, r.lease_no,
       (select count(*) from runs c where c.parent_id = r.id) as children
from runs r join agents a on a.id = r.agent_id
where a.slug = any(%s) and r.parent_id is null order by r.created_at
"""
_LEFT_OPEN: Final = """
select (select count(*) from runs where status in ('queued', 'running') or finished_at is null)
         as "runs are still open",
       (select count(*) from steps where status = 'running' or finished_at is null)
         as "steps are still open",
       (select count(*) from runs c join runs p on p.id = c.parent_id
          where p.finished_at is not null and c.finished_at is null)
         as "children have outlived their parents"
"""


@dataclass(frozen=True)
class Kept:
    """What the database has of some agents' work, and what its whole org has left open."""

    runs: Sequence[Mapping[str, Any]]
    left_open: Mapping[str, int] = field(default_factory=dict)

    @property
    def requeued(self) -> int:
        """Attempts that were begun again."""
        return sum(max(0, run["lease_no"] - 1) for run in self.runs)

    @property
    def given_up(self) -> int:
        """Runs that the reaper ended."""
        return sum(run["reason"] in ("lost", "deadline") for run in self.runs)

    @property
    def children(self) -> int:
        return sum(run["children"] for run in self.runs)

    def number(self, status: str) -> int:
        return sum(run["status"] == status for run in self.runs)


def read_kept(database: psycopg.Connection[dict[str, Any]], *agents: str) -> Kept:
    row = database.execute(_LEFT_OPEN).fetchone()
    assert row is not None
    return Kept(database.execute(_RUNS, [list(agents)]).fetchall(), row)


def find_faults(
    *, asked: Sequence[str], answers: Mapping[str, Object], kept: Kept, seen: Sequence[Seen]
) -> list[str]:
    """Everything that isn't as promised; `answers` are the runs that clients got, by their keys.

    A key has one run and was answered with it. A run that succeeded had one effect outside, one
    that failed at most one and says why. What is settled is what the last attempt that arrived
    outside was answered: one after it that finds that answer on record makes no call. Nothing in
    the org is open any more.
    """
    runs, arrived = defaultdict(list), defaultdict(list)
    for run in kept.runs:
        runs[run["key"]].append(run)
    for one in seen:
        arrived[one.token].append(one)
    faults = [f"{key}: a run that nobody asked for" for key in set(runs) - set(asked)]
    faults += [f"{number} {what}" for what, number in kept.left_open.items() if number]
    for key in asked:
        found = [*_lost(key, runs[key], answers), *_doubled(runs[key], arrived[key])]
        if len(runs[key]) == 1:
            found += _untrue(runs[key][0], answers.get(key), arrived[key])
        faults += [f"{key}: {fault}" for fault in found]
    return faults


def tell(faults: Sequence[str]) -> str:
    """How many of the faults are of which kind, in words."""
    lost, doubled = (sum(f": {kind}" in fault for fault in faults) for kind in ("lost", "doubled"))
    return f"lost {lost}, doubled {doubled}, other faults {len(faults) - lost - doubled}"


def _lost(key: str, runs: Sequence[Object], answers: Mapping[str, Object]) -> list[str]:
    faults = [] if runs else ["lost: no run"]
    return faults if key in answers else [*faults, "lost: never answered"]


def _doubled(runs: Sequence[Object], arrived: Sequence[Seen]) -> list[str]:
    effects = {one.key for one in arrived}
    faults = [f"doubled: {len(runs)} runs"] if len(runs) > 1 else []
    faults += [f"doubled: {run['children']} children" for run in runs if run["children"] > 1]
    return [*faults, f"doubled: {len(effects)} effects"] if len(effects) > 1 else faults


def _untrue(run: Object, answer: Object | None, arrived: Sequence[Seen]) -> list[str]:
    faults = []
    if run["status"] == "succeeded":
        told, last = run["output"]["attempt"], max((one.attempt for one in arrived), default=None)
        if last is None:
            faults.append("lost: succeeded without an effect")
        elif told != last:
            faults.append(f"settled by attempt {told}, not by {last}")
        if {run["output"]["key"]} != {one.key for one in arrived}:
            faults.append("settled with somebody else's answer")
    elif run["status"] != "failed" or not (run["reason"] or run["error"]):
        faults.append(f"ended {run['status']} without a reason")
    if answer and any(answer[name] != run[name] for name in ("id", "status", "output")):
        faults.append("the client was told something else")
    return faults
