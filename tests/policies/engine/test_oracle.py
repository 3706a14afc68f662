"""The same texts and calls, asked of our engine and of the real OPA: no difference may be found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from apps.common.json import Object
from apps.policies.engine.asking import Answer, Failure, RegoEngine, draft
from apps.policies.engine.children import Children
from apps.policies.engine.opa import ANSWER, moved
from apps.policies.engine.opa_client import OpaClient, RefusedError, within
from apps.policies.engine.pool import Pool
from tests.policies.calls import calls
from tests.policies.engine.rego import PATIENT, engine, text

CORPUS = sorted(Path("tests/policies/corpus").glob("*.rego"))
LIBRARY = sorted(
    path for path in Path("apps/policies/library").glob("*.rego") if "_test" not in path.stem
)
SEED, CALLS = 20261126, 500
ERRING = {"failing", "conflicting"}
"""Texts some of whose evaluations end in an error: OPA would end those of all others with it."""
TOGETHER = "together"


def test_our_engine_and_opa_answer_five_hundred_calls_alike(pool: Pool, opa_url: str) -> None:
    """Given 35 texts, when 500 made-up calls are asked of both, then no document differs."""
    texts = {path.stem: path.read_text() for path in (*CORPUS, *LIBRARY)}
    oracle = Oracle(opa_url, texts)
    differences: list[str] = []
    outcomes: Counter[str] = Counter()
    for call in calls(CALLS, SEED):
        ours, theirs = documents(pool, texts, call), oracle.documents(call)
        for name in texts:
            outcomes["failed" if theirs[name] is None else "answered"] += 1
            if ours[name] != theirs[name]:
                differences.append(f"{name}: {ours[name]} is not {theirs[name]} for {call}")
    print(
        f"\noracle: seed {SEED}, {CALLS} calls x {len(texts)} texts = {outcomes.total()} "
        f"evaluations ({outcomes['failed']} fail in both), {len(differences)} differences"
    )
    assert differences[:3] == []
    assert len(CORPUS) >= 20 and outcomes["failed"] > 50 and outcomes["answered"] > 15_000


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_text_of_the_corpus_could_be_saved_with_either_engine(
    pool: Pool, opa: RegoEngine, path: Path
) -> None:
    assert engine(pool, seconds=PATIENT).find_flaws(path.read_text()) == []
    assert opa.find_flaws(path.read_text()) == []


def documents(pool: Pool, texts: Mapping[str, str], call: Object) -> Mapping[str, Any]:
    """What our engine says by each text; None where it fails."""
    asked = [text(rego, name) for name, rego in texts.items()]
    found: Sequence[Answer] = Children(pool, PATIENT).documents(
        "oracle", asked, json.dumps(call).encode()
    )
    return {
        each.name: None if isinstance(answer, Failure) else answer
        for each, answer in zip(asked, found, strict=True)
    }


class Oracle:
    """OPA, asked for all documents at once by a module that names them."""

    def __init__(self, url: str, texts: Mapping[str, str]) -> None:
        self._client = OpaClient(url)
        self._digests = {name: draft(rego).digest for name, rego in texts.items()}
        lines = [f"package policies.{TOGETHER}.mandate_answer", ""]
        for name, rego in texts.items():
            home = self._digests[name] if name in ERRING else TOGETHER
            for module, source in {"policy": rego, "answer": ANSWER}.items():
                place = f"{home}/{module}" if name in ERRING else f"{home}/{name}-{module}"
                self._put(place, moved(source, self._digests[name]))
            if name not in ERRING:
                answer = f'data.policies["{self._digests[name]}"].mandate_answer.document'
                lines.append(f'all["{name}"] := {answer}')
        self._put(f"{TOGETHER}/all", "\n\n".join(lines))

    def documents(self, call: Object) -> Mapping[str, Any]:
        body = json.dumps({"input": call}).encode()
        found = dict(self._ask(f"{TOGETHER}/mandate_answer/all", body))
        for name in ERRING:
            try:
                found[name] = self._ask(f"{self._digests[name]}/mandate_answer/document", body)
            except RefusedError:
                found[name] = None
        return found

    def _put(self, name: str, rego: str) -> None:
        with within(10):
            self._client.ask("PUT", f"/v1/policies/policies/{name}", rego.encode(), "text/plain")

    def _ask(self, path: str, body: bytes) -> Any:
        with within(10):
            query = "strict-builtin-errors=true"
            return self._client.ask("POST", f"/v1/data/policies/{path}?{query}", body)["result"]
