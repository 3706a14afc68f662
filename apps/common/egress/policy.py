"""The limits one client works under, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from django.conf import settings

Origin = tuple[str, str, int]
"""Scheme, host and port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """Times are seconds, sizes bytes; config/settings/parts/egress.py tells what each is for."""

    allow_loopback: bool = False
    model_origins: frozenset[Origin] = frozenset()
    forbidden_networks: tuple[str, ...] = ()
    timeout: float = 10.0
    connect_timeout: float = 4.0
    max_bytes: int = 1024 * 1024
    rate: str = "300/minute"
    breaker_failures: int = 5
    breaker_seconds: float = 30.0
    attempts: int = 3

    def vouches_for(self, host: str, port: int) -> bool:
        """Whether operators have named what answers there, whatever its address is."""
        return any((scheme, host, port) in self.model_origins for scheme in ("http", "https"))

    @classmethod
    def from_settings(cls) -> Self:
        return cls(
            allow_loopback=settings.EGRESS_ALLOW_LOOPBACK,
            model_origins=frozenset(settings.EGRESS_MODEL_ORIGINS),
            forbidden_networks=tuple(settings.EGRESS_FORBIDDEN_NETWORKS),
            timeout=settings.EGRESS_TIMEOUT_SECONDS,
            connect_timeout=settings.EGRESS_CONNECT_SECONDS,
            max_bytes=settings.EGRESS_MAX_BYTES,
            rate=settings.EGRESS_RATE,
            breaker_failures=settings.EGRESS_BREAKER_FAILURES,
            breaker_seconds=settings.EGRESS_BREAKER_SECONDS,
            attempts=settings.EGRESS_ATTEMPTS,
        )
