"""State machines: one base model, and the table that a test draws from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, cast

from django.db import models
from django.db.models import QuerySet
from django_fsm import ConcurrentTransition, FSMField, FSMFieldMixin, Transition

ANY = "*"
ANY_OTHER = "+"


class StateModel(models.Model):
    """A model whose `FSMField(protected=True)` changes by named transitions only.

    Assigning the state fails always, and saving fails with ConcurrentTransition when someone else
    moved the row since it was read: every UPDATE names the state it was read in.

    The library's own ConcurrentTransitionMixin promises the same, but it reloads by switching the
    field's protection off for the whole process (seen by other threads, and left off if the row is
    gone), queries once per row when the state is deferred, and takes an unsaved state for a stored
    one after a partial reload. So the stored states are kept here, by the three doors through
    which they come: reading, reloading, saving.
    """

    _reloading: ClassVar[frozenset[str]] = frozenset()

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Any:
        """Read a row, and remember the state it is in."""
        row = super().from_db(*args, **kwargs)
        row._remember_states()
        return row

    def save_base(
        self,
        raw: bool = False,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Write the row, and remember the states that were among what was written."""
        super().save_base(raw, force_insert, force_update, using, update_fields)
        self._remember_states(None if update_fields is None else set(update_fields))

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: QuerySet[Any] | None = None,
    ) -> None:
        """Read the row again, state included; if it is gone, keep what was known.

        A protected field refuses a second value but lets a first one in, so the loaded states are
        taken out of the instance before the reload.
        """
        wanted = None if fields is None else set(fields)
        loaded = {name: self.__dict__.pop(name) for name in self._loaded_states(wanted)}
        self.__dict__["_reloading"] = frozenset(loaded)
        try:
            super().refresh_from_db(using, wanted, from_queryset)
            self._remember_states(wanted)
        finally:
            del self.__dict__["_reloading"]
            for name, value in loaded.items():
                self.__dict__.setdefault(name, value)

    def get_deferred_fields(self) -> set[str]:
        """A state taken out to be reloaded isn't deferred, or it would be left out of the query."""
        return super().get_deferred_fields() - self._reloading

    def _do_update(self, base_qs: QuerySet[Any], using: Any, pk_val: Any, *rest: Any) -> Any:
        """Update only a row that is still in the state it was read in."""
        stored = self.__dict__.get("_stored_states", {})
        expected = {
            name: stored.get(name, self.__dict__[name])
            for name in self._loaded_states()
            if self._meta.get_field(name).model is base_qs.model
        }
        narrowed = base_qs.filter(**expected)
        updated = super()._do_update(narrowed, using, pk_val, *rest)
        if not updated and expected and base_qs.filter(pk=pk_val).using(using).exists():
            raise ConcurrentTransition(f"{self._meta.label} was moved by someone else")
        return updated

    def _loaded_states(self, among: set[str] | None = None) -> list[str]:
        names = [f.attname for f in self._meta.concrete_fields if isinstance(f, FSMFieldMixin)]
        return [n for n in names if n in self.__dict__ and (among is None or n in among)]

    def _remember_states(self, among: set[str] | None = None) -> None:
        stored = self.__dict__.setdefault("_stored_states", {})
        stored.update({name: self.__dict__[name] for name in self._loaded_states(among)})


def states_constraint(
    field: str, states: type[models.TextChoices], *, name: str
) -> models.CheckConstraint:
    """Repeat the list of states in the database, which outlives any code."""
    return models.CheckConstraint(
        condition=models.Q(**{f"{field}__in": list(states.values)}), name=name
    )


def transition_table(
    model: type[models.Model], field: str = "status"
) -> dict[tuple[str, str], str | None]:
    """Draw the whole machine: every (state, verb) and the state it leads to, None if not allowed.

    Conditions are not asked, for they need a row. A test compares this with the table it wrote
    down, so that no arrow appears or vanishes unseen.
    """
    machine = cast(FSMField, model._meta.get_field(field))
    states = [str(value) for value, _ in machine.flatchoices]
    verbs: dict[str, Callable[..., Any]] = machine.transitions[model]
    return {
        (state, verb): _target(cast(Any, method)._django_fsm.transitions, state)
        for verb, method in verbs.items()
        for state in states
    }


def _target(arrows: dict[Any, Transition], state: str) -> str | None:
    by_source = {str(source): arrow for source, arrow in arrows.items()}
    arrow = by_source.get(state) or by_source.get(ANY)
    if arrow is None and (other := by_source.get(ANY_OTHER)) and str(other.target) != state:
        arrow = other
    if arrow is None:
        return None
    return state if arrow.target is None else str(arrow.target)
