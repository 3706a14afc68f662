"""Checkpoints leave the database: to a file at once, over the network by a job, none forgotten."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from apps.common import egress
from apps.common.actors import SYSTEM
from apps.trust.gateways import sinks
from apps.trust.models import Checkpoint, CheckpointCopy
from apps.trust.services import copying, record_event
from apps.trust.services.sealer import seal

AT = datetime(2026, 3, 1, tzinfo=UTC)


def checkpoint():
    about = {"action": "orgs.project.renamed", "subject_type": "project", "subject_id": "prj_1"}
    with transaction.atomic():
        record_event(actor=SYSTEM, at=AT, **about)
    return seal(at=AT)


@pytest.fixture
def folder(settings, tmp_path):
    settings.CHECKPOINT_FOLDER = str(tmp_path)
    return tmp_path


class Receiver:
    """What stands behind the egress client here; answers with `status`."""

    def __init__(self, status=200):
        self.status, self.calls = status, []

    def __call__(self, method, url, *, scope, headers, content, idempotency_key):
        self.calls.append((method, url, headers, content.decode()))
        return egress.EgressResponse(self.status, {}, b"", url)


@pytest.fixture
def receiver(monkeypatch, settings):
    found = Receiver()
    monkeypatch.setattr(sinks.egress, "request", found)
    settings.CHECKPOINT_AUTHORIZATION = "Bearer abc"
    return found


def test_the_file_holds_every_checkpoint_in_order(org, folder):
    notes = [checkpoint().note for _ in range(3)]
    copying.sweep_copies(AT)

    (path,) = folder.rglob("*.txt")
    assert path.relative_to(folder).as_posix() == "acme/2026-03.txt"
    assert path.read_text() == "".join(f"{note}\n" for note in notes)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_copied_is_not_copied_again(org, folder):
    checkpoint()
    copying.sweep_copies(AT)
    before = next(folder.rglob("*.txt")).read_text()
    copying.sweep_copies(AT)
    assert next(folder.rglob("*.txt")).read_text() == before

    added = checkpoint().note
    copying.sweep_copies(AT)
    assert next(folder.rglob("*.txt")).read_text() == f"{before}{added}\n"


def test_a_file_that_can_not_be_written_is_tried_again_and_then_has_all(org, folder):
    (folder / "acme").write_text("in the way")
    notes = [checkpoint().note]
    copying.sweep_copies(AT)
    row = CheckpointCopy.objects.get()
    assert (row.number, row.tries, row.next_try_at) == (0, 1, AT + timedelta(seconds=5))
    assert row.failure

    (folder / "acme").unlink()
    notes.append(checkpoint().note)
    copying.sweep_copies(AT + timedelta(seconds=4))
    assert list(folder.rglob("*.txt")) == []
    copying.sweep_copies(AT + timedelta(seconds=5))
    row.refresh_from_db()
    assert (row.number, row.tries, row.next_try_at, row.failure) == (2, 0, None, "")
    assert next(folder.rglob("*.txt")).read_text() == "".join(f"{note}\n" for note in notes)


def test_a_receiver_gets_each_by_a_job(org, settings, receiver, django_capture_on_commit_callbacks):
    settings.CHECKPOINT_WEBHOOK = "https://witness.example/checkpoints"
    first = checkpoint()
    with django_capture_on_commit_callbacks(execute=True) as jobs:
        copying.sweep_copies(AT)
    named = {"Mandate-Org": "acme", "Mandate-Checkpoint": str(first.number)}
    rest = {"Content-Type": "text/plain; charset=utf-8", "Authorization": "Bearer abc"}

    assert len(jobs) == 1
    assert receiver.calls == [("POST", settings.CHECKPOINT_WEBHOOK, rest | named, first.note)]
    with django_capture_on_commit_callbacks() as jobs:
        copying.sweep_copies(AT)
    assert jobs == []


def test_a_store_keeps_each_as_an_object_once(org, settings, receiver):
    settings.CHECKPOINT_OBJECTS = "https://objects.example/bucket/"
    number = checkpoint().number
    receiver.status = 412  # it is there already: a try before this one was cut off
    copying.copy_checkpoints(at=AT)
    ((method, url, headers, _),) = receiver.calls

    assert (method, url) == ("PUT", f"https://objects.example/bucket/acme/{number:012}.txt")
    assert headers["If-None-Match"] == "*"
    assert CheckpointCopy.objects.get(sink="objects").number == number


@pytest.mark.parametrize("status", [302, 401, 412, 500])
def test_a_refusal_is_owed_and_keeps_no_other_sink_waiting(org, settings, receiver, folder, status):
    settings.CHECKPOINT_WEBHOOK = "https://witness.example/checkpoints"
    receiver.status = status
    newest = checkpoint().number
    copying.copy_checkpoints(at=AT)
    state = dict(CheckpointCopy.objects.values_list("sink", "number"))

    assert state == {"file": newest, "webhook": 0}
    assert CheckpointCopy.objects.get(sink="webhook").failure == f"it answered {status}"


def test_an_address_inside_is_refused_by_the_egress_client(org, settings):
    settings.CHECKPOINT_WEBHOOK = "https://169.254.169.254/latest"
    checkpoint()
    copying.copy_checkpoints(at=AT)

    row = CheckpointCopy.objects.get(sink="webhook")
    assert (row.number, row.tries) == (0, 1)
    assert row.failure


def test_without_a_sink_nothing_is_owed(org):
    checkpoint()
    copying.sweep_copies(AT)

    assert Checkpoint.objects.count() == 1
    assert not CheckpointCopy.objects.exists()
