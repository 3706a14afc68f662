"""People of an org, kinds of news for the tests, and what was mailed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.notify import kinds
from apps.notify.services.telling import Audience, tell
from tests.orgs.conftest import AT, join, owner_of

NEWS = kinds.Kind("tests.thing.happened", "A thing happened", "When a test says so.")
QUIET = kinds.Kind(
    "tests.thing.quiet", "A quiet thing", "When a test says so.", email=False, channels=False
)
ALARM = kinds.Kind("tests.thing.burnt", "A thing burnt", "When a test says so.", always=True)


@pytest.fixture(autouse=True)
def _kinds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kinds, "_kinds", {**kinds._kinds})
    kinds.register(NEWS, QUIET, ALARM)
    yield


@pytest.fixture
def owner(org: Any) -> Any:
    return owner_of(org)


@pytest.fixture
def somebody(org: Any) -> Callable[..., Any]:
    return lambda role="member", **more: join(org, role, **more)


def said(to: Audience, **more: Any) -> int:
    """Tell of a thing, the way an app does."""
    fields = {
        "kind": NEWS.code,
        "title": "The thing is there",
        "body": "It came by night.",
        "path": "/things/1/",
        "subject_type": "thing",
        "subject_id": "thg_1",
        "at": AT,
    }
    return tell(**{**fields, **more}, to=to)
