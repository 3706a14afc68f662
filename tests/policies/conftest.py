"""What the tests of policies share: the people and clients of the orgs' tests."""

from __future__ import annotations

from tests.orgs.conftest import *  # noqa: F403
