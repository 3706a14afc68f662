"""What a run was given whose record is masked: in the secret store, and only until it is over.

A run that begins later, or again, needs its whole input, and what its tool calls were answered.
Nobody else reads it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.utils.crypto import salted_hmac

from apps.common.json import JsonDecoder, Object
from apps.runs.models import Run, Step
from apps.trust.canonical import dumps
from apps.trust.errors import SecretNotFound
from apps.trust.secrets import get_secret_store

_BATCH: Final = 200


def keep_input(run_id: UUID, input: Object) -> None:
    """Keep it, in the transaction that admits the run."""
    get_secret_store().add(_ref(run_id), dumps(input))


def open_input(row: Run) -> Object:
    """What a run was given."""
    if not row.is_sealed:
        return row.input  # type: ignore[no-any-return]
    whole: Any = json.loads(get_secret_store().get(_ref(row.id)), cls=JsonDecoder)
    found: Object = whole
    return found


def keep_output(step_id: UUID, output: Object) -> None:
    """Keep what a tool call was answered, in the transaction that ends it."""
    get_secret_store().add(_ref_of_output(step_id), dumps(output))


def open_output(step_id: UUID) -> Object:
    """What a tool call was answered."""
    found: Object = json.loads(get_secret_store().get(_ref_of_output(step_id)), cls=JsonDecoder)
    return found


def erase_sealed(at: datetime) -> None:
    """The sweeper's step: what is over needs it no more."""
    over = Run.objects.filter(is_sealed=True, finished_at__isnull=False)
    for run_id in over.values_list("id", flat=True)[:_BATCH]:
        with suppress(SecretNotFound):
            get_secret_store().delete(_ref(run_id))
        Run.objects.filter(id=run_id).update(is_sealed=False)
    done = Step.objects.filter(is_sealed=True, run__finished_at__isnull=False)
    for step_id in done.values_list("id", flat=True)[:_BATCH]:
        with suppress(SecretNotFound):
            get_secret_store().delete(_ref_of_output(step_id))
        Step.objects.filter(id=step_id).update(is_sealed=False)


def fingerprint_of_hidden(whole: Object, kept: Object) -> str | None:
    """What binds the values that a record hides, and tells nobody what they are; None if it hides
    none. Keyed, for the digest of a card's number alone would tell it to whoever tries them all.
    """
    if whole == kept:
        return None
    return salted_hmac("apps.runs.sealing", dumps(whole), algorithm="sha256").hexdigest()


def _ref(run_id: UUID) -> str:
    return f"run-inputs/{run_id.hex}"


def _ref_of_output(step_id: UUID) -> str:
    return f"step-outputs/{step_id.hex}"
