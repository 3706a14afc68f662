import os
from collections.abc import Callable
from typing import Any

import pytest

# The public vectors are no part of the repository: `make vectors VECTORS=<folder>` brings them.
collect_ignore = [] if os.environ.get("VECTORS") else ["test_vectors.py"]


@pytest.fixture
def enter_other_org(org: Any, other_org: Any) -> Callable[[], Any]:
    from apps.tenants import keys

    return lambda: keys.holding(other_org.schema, other_org.id)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sealer waits for the transactions of this worker's own database only."""
    from apps.trust.services import sealer
    from tests.trust.log import oldest_running_here

    monkeypatch.setattr(sealer, "oldest_running", oldest_running_here)
