"""What the tests of agents share: the people and clients of the orgs' tests, and a way to
endpoints on this machine."""

from __future__ import annotations

from typing import Any

import pytest

from apps.common import egress
from apps.common.egress import EgressClient, EgressPolicy
from tests.orgs.conftest import *  # noqa: F403


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """An installation for development: its egress may reach this machine; waits are left out."""
    settings.EGRESS_ALLOW_LOOPBACK = True
    policy = EgressPolicy(allow_loopback=True, breaker_failures=1000)
    client = EgressClient(policy, sleep=lambda seconds: None)
    monkeypatch.setattr(egress, "default_client", lambda: client)
