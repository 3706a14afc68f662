"""The chain under attack: whatever is changed behind its back, verifying says where."""

from datetime import UTC, datetime

import pytest

from apps.common.actors import SYSTEM
from apps.trust import selectors
from apps.trust.services import record_event

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def chain(org):
    """Five events on top of whatever the org began with; gives the number of the first."""
    events = [
        record_event(
            actor=SYSTEM,
            action="orgs.project.renamed",
            subject_type="project",
            subject_id=f"prj_{n}",
            new={"name": f"n{n}"},
            at=AT,
        )
        for n in range(5)
    ]
    return events[0].seq


def broken(report):
    return {(b.check, b.seq) for b in report.breaks}


def test_an_untouched_chain_holds(chain):
    report = selectors.verify_chain()

    assert (report.from_seq, report.to_seq, report.checked) == (1, chain + 4, chain + 4)
    assert report.breaks == ()
    assert report.valid


@pytest.mark.parametrize(
    "change",
    [
        "update audit_events set action = 'orgs.project.deleted' where seq = %s",
        "update audit_events set actor_id = 'mem_9' where seq = %s",
        "update audit_events set actor_label = 'Eve' where seq = %s",
        "update audit_events set actor_type = 'user' where seq = %s",
        "update audit_events set subject_id = 'prj_9' where seq = %s",
        "update audit_events set subject_type = 'member' where seq = %s",
        "update audit_events set at = at + interval '1 microsecond' where seq = %s",
        """update audit_events set detail = '{"new": {"name": "other"}}' where seq = %s""",
    ],
)
def test_a_changed_column_is_found(chain, as_superuser, change):
    tamper(as_superuser, change, chain + 2)

    assert broken(selectors.verify_chain()) == {("columns", chain + 2)}


def test_a_changed_body_is_found(chain, as_superuser):
    tamper(
        as_superuser,
        "update audit_events set body = replace(body, 'n2', 'nX') where seq = %s",
        chain + 2,
    )

    assert broken(selectors.verify_chain()) == {("hash", chain + 2), ("columns", chain + 2)}


def test_a_body_with_a_matching_hash_is_found_by_its_successor(chain, as_superuser):
    tamper(
        as_superuser,
        """update audit_events set body = replace(body, 'n2', 'nX'),
             detail = '{"new": {"name": "nX"}}',
             hash = sha256('\\x00'::bytea || int8send(seq) || prev
                           || convert_to(replace(body, 'n2', 'nX'), 'UTF8'))
           where seq = %s""",
        chain + 2,
    )

    assert broken(selectors.verify_chain()) == {("link", chain + 3)}


def test_a_removed_event_is_found(chain, as_superuser):
    tamper(as_superuser, "delete from audit_events where seq = %s", chain + 2)

    assert broken(selectors.verify_chain()) == {("sequence", chain + 2)}


def test_a_removed_end_is_found(chain, as_superuser):
    tamper(as_superuser, "delete from audit_events where seq >= %s", chain + 3)

    assert broken(selectors.verify_chain()) == {("sequence", chain + 3)}


def test_two_exchanged_events_are_found(chain, as_superuser):
    for old, new in ((chain + 1, -1), (chain + 2, chain + 1), (-1, chain + 2)):
        tamper(as_superuser, "update audit_events set seq = %s where seq = %s", new, old)

    assert {seq for _, seq in broken(selectors.verify_chain())} == {chain + 1, chain + 2, chain + 3}


@pytest.mark.parametrize(
    "change",
    [
        "update audit_head set seq = seq - 1 where seq = %s",
        "update audit_head set hash = '' where seq = %s",
        "update audit_head set seq = 0, hash = '' where seq = %s",
    ],
)
def test_a_head_that_was_set_back_is_found(chain, as_superuser, change):
    tamper(as_superuser, change, chain + 4)

    assert {check for check, _ in broken(selectors.verify_chain())} == {"head"}


def test_a_missing_head_is_found(chain, as_superuser):
    tamper(as_superuser, "delete from audit_head where seq = %s", chain + 4)

    assert broken(selectors.verify_chain()) == {("head", 0)}


def test_a_part_of_the_chain_is_verified_by_itself(chain, as_superuser):
    tamper(as_superuser, "update audit_events set actor_id = 'x' where seq = %s", chain + 1)

    part = selectors.verify_chain(chain + 2, chain + 3)
    assert (part.checked, part.valid) == (2, True)
    assert broken(selectors.verify_chain(chain, chain + 1)) == {("columns", chain + 1)}
    assert broken(selectors.verify_chain(chain + 3, chain + 9)) == {("sequence", chain + 5)}


def test_a_part_whose_predecessor_is_gone_is_not_believed(chain, as_superuser):
    tamper(as_superuser, "delete from audit_events where seq = %s", chain + 1)

    assert broken(selectors.verify_chain(chain + 2)) == {("link", chain + 2)}


def test_a_chain_that_is_broken_everywhere_is_reported_in_bounds(org, as_superuser):
    for _ in range(selectors.MAX_BREAKS + 5):
        record_event(actor=SYSTEM, action="a.b.c", subject_type="x", subject_id="1", at=AT)
    tamper(as_superuser, "update audit_events set actor_id = 'x' where seq >= %s", 0)

    assert len(selectors.verify_chain().breaks) == selectors.MAX_BREAKS


def tamper(as_superuser, statement, *values):
    """Change the rows behind the product's back, and make sure that this did hit some."""
    assert as_superuser(statement % values) > 0
