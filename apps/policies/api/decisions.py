"""`/v1/decisions`: what the policies said of each call, and why."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.ids import parse_id
from apps.common.openapi import page_of
from apps.orgs.api.base import OrgView
from apps.policies import decisions, places, reading, selectors
from apps.policies.api import examples
from apps.policies.api import serializers as s
from apps.policies.questions import RUN


class DecisionsView(OrgView):
    required = {"GET": "decisions.view"}
    filters = s.DecisionFilter
    list_keyset = decisions.NEWEST

    @extend_schema(
        operation_id="decisions_list",
        tags=["policies"],
        parameters=[s.DecisionFilter],
        responses=page_of(s.DecisionRead),
        examples=examples.DECISIONS,
    )
    def get(self, request: Request) -> Response:
        rows = decisions.list_decisions(**self._wanted())
        return self.answer_page(s.DecisionRead, rows, keyset=decisions.NEWEST)

    def _wanted(self) -> dict[str, Any]:
        """The filter, with what it names found; raises Invalid for a name that is nobody's."""
        asked = self.read_query(s.DecisionFilter)
        kept = {n: asked[n] for n in ("result", "since", "until", "shadowed") if n in asked}
        if "agent" in asked:
            kept["agent_id"] = self.named("agent", lambda: places.find_agent(asked["agent"])).id
        if "policy" in asked:
            found = self.named("policy", lambda: selectors.get_policy(asked["policy"]))
            kept["policy_id"] = found.id
        if "run" in asked:
            kept["run_id"] = self.named("run", lambda: parse_id(RUN, asked["run"]))
        return kept


class DecisionView(OrgView):
    required = {"GET": "decisions.view"}

    @extend_schema(
        operation_id="decisions_get",
        tags=["policies"],
        responses=s.WholeDecisionRead,
        examples=examples.DECISION,
    )
    def get(self, request: Request, decision: str) -> Response:
        """A decision; `input` is null for who may not read data, once it is erased, and where what
        is kept is another document (`input_is_altered`).
        """
        found = decisions.get_decision(decision)
        document = reading.document_of(found, self.by)
        found.input = document.content  # type: ignore[attr-defined]
        found.input_is_altered = document.is_altered  # type: ignore[attr-defined]
        return self.answer(s.WholeDecisionRead, found)
