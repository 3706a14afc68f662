"""How long the documents of decisions are kept: as long as the org wants, and never the decisions
less for that.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from apps.policies.models import DecisionInput
from apps.policies.selectors import get_head

_BATCH: Final = 1_000


def sweep_inputs(at: datetime) -> None:
    """The sweeper's step: erase what is older than the org keeps it, a batch at a visit."""
    before = at - timedelta(days=get_head().keep_inputs_days)
    old = DecisionInput.objects.filter(at__lt=before).order_by("at")
    if batch := list(old.values_list("id", flat=True)[:_BATCH]):
        DecisionInput.objects.filter(id__in=batch).delete()
