"""How long the documents of decisions are kept: as long as the org wants, and never the decisions
less for that.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from apps.policies.decisions import kept_since
from apps.policies.models import DecisionInput
from apps.tenants.services import activity

_BATCH: Final = 1_000


def sweep_inputs(at: datetime) -> None:
    """The sweeper's step: erase what is older than the org keeps it, a batch at a visit."""
    old = DecisionInput.objects.filter(at__lt=kept_since(at)).order_by("at")
    batch = list(old.values_list("id", flat=True)[:_BATCH])
    if batch:
        DecisionInput.objects.filter(id__in=batch).delete()
    if len(batch) == _BATCH:
        activity.due_again(at=at)
