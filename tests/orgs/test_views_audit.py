"""The pages of the audit log: what they say when not all is as it should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.common.ids import public_id
from apps.trust.models import AuditEvent, CheckpointCopy
from apps.trust.services.sealer import seal
from tests.orgs.conftest import AT, owner_of
from tests.tenants.browsing import Browser, as_member


@pytest.fixture
def browser(org: Any) -> Browser:
    return as_member(org, owner_of(org))


def test_a_copy_that_is_behind_does_not_break_the_log(browser: Browser) -> None:
    seal(at=AT)
    CheckpointCopy.objects.create(sink="webhook", failure="it answered 503")
    page = browser.get("/audit/check/").content.decode()

    assert "The log holds" in page and "does not hold" not in page
    assert 'aria-label="Behind"' in page and "since then: it answered 503." in page


def test_a_copy_that_is_another_is_not_called_behind(browser: Browser) -> None:
    seal(at=AT)
    copy = CheckpointCopy.objects.create(sink="webhook", failure="it answered 503")
    assert b"Behind" in browser.get("/audit/").content
    copy.differs = True
    copy.save()
    page = browser.get("/audit/").content
    assert b"Another is there" in page and b"Behind" not in page


def test_a_copy_that_is_ahead_does(browser: Browser) -> None:
    seal(at=AT)
    CheckpointCopy.objects.create(sink="webhook", number=9)
    page = browser.get("/audit/check/").content.decode()

    assert "The log does not hold" in page and 'aria-label="Broken"' in page


def test_an_entry_that_is_not_in_the_tree_says_so(
    browser: Browser, as_superuser: Callable[[str], int]
) -> None:
    seal(at=AT)
    event = AuditEvent.objects.earliest("seq")
    url = f"/audit/{public_id('evt', event.id)}/"
    assert "In the signed tree" in browser.get(url).content.decode()

    as_superuser(f"update audit_events set hash = sha256('x') where seq = {event.seq}")
    assert "Not in the signed tree" in browser.get(url).content.decode()
