from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from apps.common.errors import PreconditionFailed, PreconditionRequired
from apps.common.etag import NO_PRECONDITION, Precondition, etag_of, is_fresh


def test_a_tag_is_strong_and_tells_versions_apart():
    at = datetime(2026, 11, 23, 12, 0, 0, 1, tzinfo=UTC)
    assert etag_of(7) == '"7"'
    assert etag_of(at) == '"1795435200000001"'
    assert etag_of(7, UUID(int=1), "viewer") == '"7-00000000000000000000000000000001-viewer"'


@pytest.mark.parametrize("header", ['"7"', '"6", "7"', "*", ' "7" '])
def test_who_read_the_present_version_may_change_it(header):
    Precondition.read(header).check('"7"')


@pytest.mark.parametrize("header", ['"6"', 'W/"7"', "7", "", '"7', "rubbish, more"])
def test_who_read_another_version_may_not(header):
    with pytest.raises(PreconditionFailed):
        Precondition.read(header).check('"7"')


def test_without_a_header_everything_passes_unless_one_is_required():
    NO_PRECONDITION.check('"7"')
    Precondition.read(None).check('"7"')
    with pytest.raises(PreconditionRequired):
        Precondition.read(None, required=True)


@pytest.mark.parametrize(
    ("header", "fresh"),
    [
        (None, False),
        ('"7"', True),
        ('W/"7"', True),
        ('"1", "7"', True),
        ("*", True),
        ('"8"', False),
    ],
)
def test_a_reader_who_has_the_version_is_told_so(header, fresh):
    assert is_fresh(header, '"7"') is fresh
