"""What time it is, as something that can be handed over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.utils import timezone

Clock = Callable[[], datetime]


def clock_set_to(at: datetime) -> Clock:
    """A clock that shows `at` now and goes on from there as time does."""
    behind = timezone.now() - at
    return lambda: timezone.now() - behind
