from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.policies.engine.pool import Pool


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    pool = Pool(4)
    yield pool
    pool.close()
