from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from apps.common import pagination
from apps.common.errors import BadRequest, Invalid
from apps.common.pagination import NEWEST_FIRST, Keyset, paginate, parse_limit, read_cursor
from tests.common.scratch import Entry

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
OLDEST_FIRST = Keyset(descending=False)
BY_RANK = Keyset(fields=("rank", "label", "id"))


@pytest.fixture
def entries(scratch):
    """25 rows of which five share each instant, so that only the id tells them apart."""
    return Entry.objects.bulk_create(
        Entry(created_at=NOON + timedelta(seconds=n // 5), rank=n % 3, label=f"e{n}")
        for n in range(25)
    )


def walk(keyset, limit=4, **kwargs):
    seen, cursor = [], None
    while True:
        page = paginate(Entry.objects.all(), keyset=keyset, limit=limit, after=cursor, **kwargs)
        seen += page.items
        cursor = page.next
        if cursor is None:
            return seen


@pytest.mark.parametrize("keyset", [NEWEST_FIRST, OLDEST_FIRST, BY_RANK])
def test_pages_show_every_row_once_in_order(entries, keyset):
    assert walk(keyset) == list(Entry.objects.order_by(*keyset.order))


def test_the_last_full_page_says_that_it_is_the_last(entries):
    assert paginate(Entry.objects.all(), limit=25).next is None
    assert paginate(Entry.objects.all(), limit=24).next is not None


def test_an_empty_list_is_one_empty_page(scratch):
    page = paginate(Entry.objects.all())
    assert (page.items, page.next, page.previous) == ([], None, None)


def test_rows_added_meanwhile_neither_repeat_nor_hide_a_row(entries):
    first = paginate(Entry.objects.all(), limit=10)
    Entry.objects.create(created_at=NOON + timedelta(hours=1))
    Entry.objects.create(created_at=NOON - timedelta(hours=1), label="oldest")
    rest = paginate(Entry.objects.all(), limit=50, after=first.next)
    seen = [entry.label for entry in first.items + rest.items]
    assert sorted(seen) == sorted([*(f"e{n}" for n in range(25)), "oldest"])


def test_a_cursor_outlives_its_row(entries):
    first = paginate(Entry.objects.all(), limit=10)
    expected = paginate(Entry.objects.all(), limit=10, after=first.next).items
    first.items[-1].delete()
    assert paginate(Entry.objects.all(), limit=10, after=first.next).items == expected


def test_one_walks_back_the_way_one_came(entries):
    first = paginate(Entry.objects.all(), limit=10)
    second = paginate(Entry.objects.all(), limit=10, after=first.next)
    back = paginate(Entry.objects.all(), limit=10, before=second.previous)
    assert first.previous is None
    assert back.items == first.items
    assert (back.previous, back.next) == (None, first.next)


def test_filters_of_the_list_hold_on_every_page(entries):
    page = paginate(Entry.objects.filter(rank=1), limit=5)
    rest = paginate(Entry.objects.filter(rank=1), limit=50, after=page.next)
    assert {entry.rank for entry in page.items + rest.items} == {1}
    assert len(page.items + rest.items) == 8


def test_a_page_is_one_row_comparison_that_the_index_answers(entries):
    page = paginate(Entry.objects.all(), limit=5)
    with connection.cursor() as cursor:
        cursor.execute("set local enable_seqscan = off; set local enable_sort = off")
    sql = []
    with connection.execute_wrapper(lambda ex, q, p, m, c: (sql.append(q % p), ex(q, p, m, c))[1]):
        values = read_cursor(Entry, NEWEST_FIRST, page.next)
        plan = (
            Entry.objects.order_by("-created_at", "-id")
            .filter(_condition(values))[:5]
            .explain(format="text")
        )
    assert '("scratch"."entry"."created_at", "scratch"."entry"."id") <' in sql[0]
    assert "Index Scan Backward" in plan
    assert "Index Cond: (ROW(created_at, id) <" in plan


def _condition(values):
    from apps.common.pagination import _beyond

    return _beyond(Entry, NEWEST_FIRST, values, backwards=False)


def packed(*parts):
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).rstrip(b"=").decode()


ID = "0190f7c2-6d1e-7b5a-9c3e-2f4b6a8d0e11"
TAG = NEWEST_FIRST.tag


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "abc",
        "é",
        "a" * 5000,
        packed(),
        packed(TAG),
        packed(TAG, NOON.isoformat()),
        packed(TAG, NOON.isoformat(), ID, ID),
        packed(OLDEST_FIRST.tag, NOON.isoformat(), ID),
        packed(TAG, "yesterday", ID),
        packed(TAG, "2026-11-23T12:00:00", ID),
        packed(TAG, "2026-13-23T12:00:00+00:00", ID),
        packed(TAG, NOON.isoformat(), "1 or 1=1"),
        packed(TAG, NOON.isoformat(), None),
        packed(TAG, NOON.isoformat(), [ID]),
        base64.urlsafe_b64encode(b'{"a":1}').decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"[" * 700).decode(),
    ],
)
def test_a_made_up_cursor_is_refused_before_the_database_sees_it(cursor):
    with pytest.raises(BadRequest):
        read_cursor(Entry, NEWEST_FIRST, cursor)


@pytest.mark.parametrize("rank", ["99999999999", "1.5", "", "NaN"])
def test_a_number_that_the_column_cannot_hold_is_refused(rank):
    with pytest.raises(BadRequest):
        read_cursor(Entry, BY_RANK, packed(BY_RANK.tag, rank, "a", ID))


@pytest.mark.parametrize("label", ["a\x00b", "\ud800"])
def test_a_text_that_the_column_cannot_hold_is_refused(label):
    with pytest.raises(BadRequest):
        read_cursor(Entry, BY_RANK, packed(BY_RANK.tag, "1", label, ID))


def test_a_well_formed_cursor_reads_back():
    values = read_cursor(Entry, NEWEST_FIRST, packed(TAG, NOON.isoformat(), ID))
    assert (values[0], str(values[1])) == (NOON, ID)


@pytest.mark.parametrize(("text", "limit"), [(None, 50), ("1", 1), ("200", 200), ("007", 7)])
def test_a_limit_within_bounds_is_taken(text, limit):
    assert parse_limit(text) == limit


@pytest.mark.parametrize("text", ["", "0", "201", "-1", "1.0", "ten", "٣", "1e2", "9" * 400])
def test_a_limit_out_of_bounds_is_invalid(text):
    with pytest.raises(Invalid) as caught:
        parse_limit(text)
    assert caught.value.extra["errors"][0]["field"] == "limit"


def test_a_page_of_heavy_rows_ends_before_it_is_too_much(entries, monkeypatch):
    monkeypatch.setattr(pagination, "PAGE_BYTES", 10)
    Entry.objects.update(label="four")

    page = paginate(Entry.objects.all(), limit=20, heavy=["label"])
    assert len(page.items) == 2
    assert paginate(Entry.objects.all(), limit=20).items[:2] == page.items
    assert len(paginate(Entry.objects.all(), limit=1, heavy=["label"]).items) == 1
    assert len(paginate(Entry.objects.all(), limit=20, heavy=["label", "label"]).items) == 1
    assert walk(NEWEST_FIRST, heavy=["label"]) == list(Entry.objects.order_by("-created_at", "-id"))

    Entry.objects.filter(id=page.items[0].id).update(label="x" * 50)
    alone = paginate(Entry.objects.all(), limit=20, heavy=["label"])
    assert alone.items == page.items[:1]
    back = paginate(Entry.objects.all(), limit=20, before=alone.next, heavy=["label"])
    assert (back.items, back.previous) == ([], None)


def test_light_rows_are_a_full_page(entries, django_assert_num_queries):
    with django_assert_num_queries(2):
        page = paginate(Entry.objects.all(), limit=24, heavy=["label"])
    assert (len(page.items), page.next is None) == (24, False)
    assert paginate(Entry.objects.all(), limit=25, heavy=["label"]).next is None
    empty = paginate(Entry.objects.none(), heavy=["label"])
    assert (empty.items, empty.next) == ([], None)


def test_one_walks_back_through_heavy_rows(entries, monkeypatch):
    monkeypatch.setattr(pagination, "PAGE_BYTES", 10)
    Entry.objects.update(label="four")
    rows = Entry.objects.all()
    first = paginate(rows, heavy=["label"])
    second = paginate(rows, after=first.next, heavy=["label"])
    assert paginate(rows, before=second.previous, heavy=["label"]).items == first.items
