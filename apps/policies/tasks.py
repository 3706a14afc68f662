"""Jobs of policies."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.policies.services import backtesting


@shared_task(name="policies.go_on_backtest")
def go_on_backtest(*, backtest_id: str, **_: Any) -> None:
    """Look at further decisions; repeated, it goes on where it stopped."""
    backtesting.go_on(backtest_id=UUID(backtest_id), at=timezone.now())
