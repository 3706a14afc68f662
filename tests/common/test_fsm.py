from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction
from django_fsm import ConcurrentTransition, TransitionNotAllowed

from apps.common.fsm import transition_table
from tests.common.scratch import Ticket

pytestmark = pytest.mark.usefixtures("scratch")


def stored(ticket):
    return Ticket.objects.values_list("status", "name").get(pk=ticket.pk)


def test_the_machine_is_drawn_whole():
    assert transition_table(Ticket) == {
        ("open", "hold"): "held",
        ("held", "hold"): None,
        ("closed", "hold"): None,
        ("open", "close"): "closed",
        ("held", "close"): "closed",
        ("closed", "close"): None,
        ("open", "reopen"): None,
        ("held", "reopen"): "open",
        ("closed", "reopen"): "open",
        ("open", "annotate"): "open",
        ("held", "annotate"): "held",
        ("closed", "annotate"): "closed",
    }


def test_a_transition_is_saved_and_another_follows():
    ticket = Ticket.objects.create()
    ticket.hold()
    ticket.save(update_fields=["status"])
    ticket.close()
    ticket.save(update_fields=["status"])
    assert stored(ticket) == ("closed", "")


def test_a_forbidden_transition_changes_nothing():
    ticket = Ticket.objects.create()
    ticket.close()
    ticket.save()
    with pytest.raises(TransitionNotAllowed):
        ticket.hold()
    assert ticket.status == "closed"
    assert stored(ticket) == ("closed", "")


def test_a_state_cannot_be_assigned():
    ticket = Ticket.objects.create()
    with pytest.raises(AttributeError):
        ticket.status = "closed"
    assert ticket.status == "open"


def test_a_stale_row_cannot_be_saved():
    ticket = Ticket.objects.create()
    stale = Ticket.objects.get(pk=ticket.pk)
    ticket.close()
    ticket.save()
    stale.name = "late"
    with pytest.raises(ConcurrentTransition), transaction.atomic():
        stale.save()
    assert stored(ticket) == ("closed", "")


def test_of_two_transitions_at_once_one_wins():
    ticket = Ticket.objects.create()
    first, second = (Ticket.objects.get(pk=ticket.pk) for _ in range(2))
    first.hold()
    second.close()
    first.save(update_fields=["status"])
    with pytest.raises(ConcurrentTransition), transaction.atomic():
        second.save(update_fields=["status"])
    assert stored(ticket) == ("held", "")


def test_a_reload_brings_the_new_state_in_one_query(django_assert_num_queries):
    ticket = Ticket.objects.create()
    Ticket.objects.filter(pk=ticket.pk).update(status="held", name="moved")
    with django_assert_num_queries(1):
        ticket.refresh_from_db()
    assert (ticket.status, ticket.name) == ("held", "moved")
    ticket.close()
    ticket.save()
    assert stored(ticket) == ("closed", "moved")


def test_a_reload_of_the_state_alone_works():
    ticket = Ticket.objects.create()
    Ticket.objects.filter(pk=ticket.pk).update(status="held", name="moved")
    ticket.refresh_from_db(fields=["status"])
    assert (ticket.status, ticket.name) == ("held", "")


def test_a_partial_reload_keeps_the_state_that_is_not_yet_saved():
    ticket = Ticket.objects.create()
    ticket.hold()
    Ticket.objects.filter(pk=ticket.pk).update(name="moved")
    ticket.refresh_from_db(fields=["name"])
    assert (ticket.status, ticket.name) == ("held", "moved")
    ticket.save()
    assert stored(ticket) == ("held", "moved")


def test_a_partial_save_does_not_take_the_state_for_saved():
    ticket = Ticket.objects.create()
    ticket.hold()
    ticket.save(update_fields=["name"])
    assert stored(ticket) == ("open", "")
    ticket.save()
    assert stored(ticket) == ("held", "")


def test_a_reload_of_a_row_that_is_gone_keeps_what_was_known_and_the_protection():
    ticket = Ticket.objects.create()
    Ticket.objects.all().delete()
    with pytest.raises(Ticket.DoesNotExist):
        ticket.refresh_from_db()
    assert ticket.status == "open"
    with pytest.raises(AttributeError):
        ticket.status = "closed"
    assert Ticket._meta.get_field("status").protected


def test_a_deferred_state_costs_no_query_until_it_is_asked(django_assert_num_queries):
    for _ in range(3):
        Ticket.objects.create()
    with django_assert_num_queries(1):
        tickets = list(Ticket.objects.only("name"))
    with django_assert_num_queries(1):
        assert tickets[0].status == "open"
    tickets[0].hold()
    tickets[0].save()
    assert stored(tickets[0]) == ("held", "")


def test_a_save_without_the_state_passes_a_row_that_moved_if_the_state_was_never_read():
    ticket = Ticket.objects.create()
    row = Ticket.objects.only("name").get(pk=ticket.pk)
    Ticket.objects.filter(pk=ticket.pk).update(status="held")
    row.name = "named"
    row.save()
    assert stored(ticket) == ("held", "named")


def test_the_database_knows_the_states_too():
    ticket = Ticket.objects.create()
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("update scratch.ticket set status = 'lost'")
    assert stored(ticket) == ("open", "")
    assert Ticket._meta.constraints[0].condition.children == [
        ("status__in", ["open", "held", "closed"])
    ]
