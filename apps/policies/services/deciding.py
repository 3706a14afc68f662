"""The door to a decision: what an org's policies say of a call. No write, no lock.

What counts in an org is remembered by the process and never relied on: an answer names the bundle
that it was given by, and whoever writes it down asks Postgres whether that still is the org's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from apps.common.ids import uuid7
from apps.common.json import Object
from apps.common.lru import WeighedCache
from apps.policies.bundles import Bundle, Entry, obligations_as_json, opinion_as_json
from apps.policies.engine import get_engine
from apps.policies.engine.combining import combine
from apps.policies.engine.types import Engine, Obligations, Opinion, Verdict
from apps.policies.masking import mask
from apps.policies.questions import Question
from apps.policies.selectors import get_bundle
from apps.tenants import keys
from apps.trust.canonical import digest

BUNDLES_KEPT: Final = 16 * 1024 * 1024
"""How many characters of policies a process keeps."""
NOTHING_ATTACHED: Final = "No policy is attached here, and the organization denies what none allows"

_bundles: Final = WeighedCache[UUID | None, Bundle](BUNDLES_KEPT)


@dataclass(frozen=True, slots=True)
class Difference:
    """What would have been decided with a draft in force, where that isn't what was decided."""

    policy_id: UUID
    opinion: Opinion
    would_be: Verdict

    def as_json(self) -> Object:
        return {
            **opinion_as_json(self.policy_id, self.opinion),
            "would_be": self.would_be.result,
            "would_reasons": list(self.would_be.reasons),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was decided, with all that is kept of it.

    Nothing is kept of a call that no policy is attached to and the org allows: it has no decision.
    """

    id: UUID
    bundle: int
    verdict: Verdict
    entries: Sequence[Entry]
    question: Question
    shadows: Sequence[Difference] = ()

    @property
    def is_recorded(self) -> bool:
        return bool(self.entries) or self.verdict.result != "allow"

    def as_record(self, kept: Object | None = None) -> Object | None:
        """What `admit` writes down beside the run; None if nothing is.

        `kept` is the input as it may be kept, where more of it is hidden than is obliged to here.
        """
        if not self.is_recorded:
            return None
        document = self._kept(self.question.context.input if kept is None else kept)
        return {
            "id": str(self.id),
            "action": self.question.action,
            "result": self.verdict.result,
            "reasons": list(self.verdict.reasons),
            "policies": [opinion_as_json(*said) for said in self._opinions()],
            "bundle": self.bundle,
            "obligations": obligations_as_json(self.verdict.obligations),
            "shadows": [difference.as_json() for difference in self.shadows] or None,
            "input_digest": digest(document).hex(),
            "micros": self.verdict.micros,
            "document": document,
        }

    def _kept(self, input: Object) -> Object:
        masks = self.verdict.obligations.mask
        return self.question.kept(mask(input, masks, root="input"))

    def _opinions(self) -> list[tuple[UUID, Opinion]]:
        owner = {entry.active.id: entry.policy_id for entry in self.entries if entry.active}
        return [(owner[opinion.text.id], opinion) for opinion in self.verdict.opinions]


def decide(question: Question, *, fresh: bool = False) -> Answer:
    """What the org's policies say of a call, by what is remembered of them unless it must be fresh.

    Never raises for what a policy does: what fails is unavailable, which is a denial.
    """
    return answer(question, _bundle(fresh=fresh), get_engine())


def answer(question: Question, bundle: Bundle, engine: Engine) -> Answer:
    """What a bundle says of a call: each attached text by itself, then all together.

    Drafts that shadow are asked after that, so that none of them can be in the way.
    """
    entries = bundle.covering(question.resource)
    document = question.document() if entries else {}
    texts = [entry.active for entry in entries if entry.active]
    verdict = engine.evaluate(texts, document) if texts else _unattached(bundle)
    return Answer(
        id=uuid7(),
        bundle=bundle.number,
        verdict=verdict,
        entries=entries,
        question=question,
        shadows=_shadows(entries, verdict, document, engine),
    )


def replaced(verdict: Verdict, entry: Entry, opinion: Opinion) -> Verdict:
    """What would have been decided with this opinion in the place of the policy's active text's."""
    present = entry.active.id if entry.active else None
    others = [given for given in verdict.opinions if given.text.id != present]
    return combine([*others, opinion], micros=verdict.micros)


def differs(one: Verdict, other: Verdict) -> bool:
    """Whether two verdicts have another effect; wording aside."""
    return (one.result, one.obligations) != (other.result, other.obligations)


def _shadows(
    entries: Sequence[Entry], verdict: Verdict, document: Object, engine: Engine
) -> list[Difference]:
    found = []
    for entry in entries:
        if entry.shadow is None:
            continue
        opinion = engine.evaluate([entry.shadow], document).opinions[0]
        would_be = replaced(verdict, entry, opinion)
        if differs(verdict, would_be):
            found.append(Difference(entry.policy_id, opinion, would_be))
    return found


def _unattached(bundle: Bundle) -> Verdict:
    """The org's own answer where no policy is in force."""
    reasons = (NOTHING_ATTACHED,) if bundle.default_answer == "deny" else ()
    return Verdict(bundle.default_answer, reasons, Obligations(), (), 0)


def _bundle(*, fresh: bool) -> Bundle:
    org_id = keys.current().org_id
    found = None if fresh else _bundles.find(org_id)
    if found is None:
        found = get_bundle()
        _bundles.put(org_id, found, found.weight)
    return found
