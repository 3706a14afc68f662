"""Two models of the tests' own: a machine and a list, in a schema that goes with them."""

from __future__ import annotations

from django.db import models
from django_fsm import FSMField, transition

from apps.common.fsm import StateModel, states_constraint
from apps.common.ids import uuid7


class Status(models.TextChoices):
    OPEN = "open", "Open"
    HELD = "held", "Held"
    CLOSED = "closed", "Closed"


class Ticket(StateModel):
    id = models.UUIDField(primary_key=True, default=uuid7)
    name = models.TextField(default="")
    note = models.TextField(default="")
    status = FSMField(choices=Status.choices, default=Status.OPEN, protected=True)

    class Meta:
        app_label = "scratch"
        db_table = '"scratch"."ticket"'
        managed = False
        constraints = [states_constraint("status", Status, name="ticket_status")]

    def __str__(self) -> str:
        return self.name

    @transition(field=status, source=Status.OPEN, target=Status.HELD)
    def hold(self) -> None: ...

    @transition(field=status, source=[Status.OPEN, Status.HELD], target=Status.CLOSED)
    def close(self) -> None: ...

    @transition(field=status, source="+", target=Status.OPEN)
    def reopen(self) -> None: ...

    @transition(field=status, source="*", target=None)
    def annotate(self, note: str) -> None:
        self.note = note


class Entry(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7)
    created_at = models.DateTimeField()
    rank = models.IntegerField(default=0)
    label = models.TextField(default="")

    class Meta:
        app_label = "scratch"
        db_table = '"scratch"."entry"'
        managed = False

    def __str__(self) -> str:
        return self.label


TABLES = """
create schema scratch;
create table scratch.ticket (
    id uuid primary key, name text not null, note text not null, status varchar(50) not null
        constraint ticket_status check (status in ('open', 'held', 'closed'))
);
create table scratch.entry (
    id uuid primary key, created_at timestamptz not null, rank integer not null, label text not null
);
create index on scratch.entry (created_at, id);
grant usage on schema scratch to mandate_app;
grant select, insert, update, delete on all tables in schema scratch to mandate_app;
"""
