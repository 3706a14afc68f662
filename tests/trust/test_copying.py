"""Checkpoints leave the database: to a file at once, over the network by a job, none forgotten."""

import os
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
    """What stands behind the egress client here; answers with `status`, a GET with `held`."""

    def __init__(self, status=200):
        self.status, self.calls, self.held = status, [], None

    def __call__(self, method, url, *, scope, headers, content, idempotency_key):
        self.calls.append((method, url, headers, (content or b"").decode()))
        if method == "GET" and self.held is not None:
            return egress.EgressResponse(200, {}, self.held, url)
        return egress.EgressResponse(self.status, {}, b"", url)


@pytest.fixture
def receiver(monkeypatch, settings):
    found = Receiver()
    monkeypatch.setattr(sinks.egress, "request", found)
    settings.CHECKPOINT_WEBHOOK_AUTHORIZATION = "Bearer abc"
    settings.CHECKPOINT_OBJECTS_AUTHORIZATION = "Bearer bucket"
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


@pytest.fixture
def store(org, settings, receiver):
    """One that has something there already."""
    settings.CHECKPOINT_OBJECTS = "https://objects.example/bucket/"
    receiver.status = 412
    return receiver


def test_a_store_keeps_each_as_an_object_once(org, settings, receiver):
    settings.CHECKPOINT_OBJECTS = "https://objects.example/bucket/"
    made = checkpoint()
    copying.copy_checkpoints(at=AT)
    ((method, url, headers, content),) = receiver.calls

    place = f"https://objects.example/bucket/acme/{org.id}/{made.number:012}.txt"
    assert (method, url, content) == ("PUT", place, made.note)
    assert (headers["If-None-Match"], headers["Authorization"]) == ("*", "Bearer bucket")
    assert CheckpointCopy.objects.get(sink="objects").number == made.number


def test_an_object_that_is_there_already_is_looked_at(store):
    """A try before this one was cut off."""
    made = checkpoint()
    store.held = made.note.encode()
    copying.copy_checkpoints(at=AT)
    row = CheckpointCopy.objects.get()

    assert [call[0] for call in store.calls] == ["PUT", "GET"]
    assert store.calls[0][1] == store.calls[1][1]
    assert (row.number, row.differs, row.failure) == (made.number, False, "")


def test_another_object_in_its_place_is_no_copy(store):
    """The log was set back, or somebody was there first."""
    made = checkpoint()
    store.held = made.note.encode().replace(b"acme", b"evil")
    copying.copy_checkpoints(at=AT)
    row = CheckpointCopy.objects.get()
    assert (row.number, row.differs) == (0, True)
    assert row.failure == f"another checkpoint {made.number} is there already"

    store.held = None  # it can't be read any more: that it was another is still known
    copying.copy_checkpoints(at=AT + timedelta(hours=1))
    row.refresh_from_db()
    assert (row.number, row.differs, row.failure) == (0, True, "it answered 412")


@pytest.mark.parametrize("status", [302, 401, 412, 500])
def test_a_refusal_is_owed_and_keeps_no_other_sink_waiting(org, settings, receiver, folder, status):
    settings.CHECKPOINT_WEBHOOK = "https://witness.example/checkpoints"
    receiver.status = status
    newest = checkpoint().number
    copying.copy_checkpoints(at=AT)
    state = dict(CheckpointCopy.objects.values_list("sink", "number"))

    assert state == {"file": newest, "webhook": 0}
    assert CheckpointCopy.objects.get(sink="webhook").failure == f"it answered {status}"


def test_a_sink_that_is_down_for_days_keeps_no_other_waiting(org, settings, receiver, folder):
    settings.CHECKPOINT_WEBHOOK = "https://witness.example/checkpoints"
    newest = checkpoint().number
    (folder / "acme").write_text("in the way")
    CheckpointCopy.objects.create(sink="file", tries=1000, failure="as ever")
    copying.copy_checkpoints(at=AT)
    row = CheckpointCopy.objects.get(sink="file")

    assert (row.number, row.tries, row.next_try_at) == (0, 1001, AT + timedelta(hours=1))
    assert row.failure != "as ever"
    assert CheckpointCopy.objects.get(sink="webhook").number == newest


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


def test_a_note_that_found_no_room_leaves_nothing_of_itself(org, folder, monkeypatch):
    notes = [checkpoint().note]
    copying.sweep_copies(AT)
    path = next(folder.rglob("*.txt"))
    before, write = path.read_text(), os.write
    monkeypatch.setattr(sinks.os, "write", lambda handle, data: write(handle, data[:40]))
    notes.append(checkpoint().note)
    copying.sweep_copies(AT)
    row = CheckpointCopy.objects.get()
    assert (path.read_text(), row.number) == (before, 1)
    assert row.failure == "2026-03.txt: No space left on device"

    monkeypatch.undo()
    copying.sweep_copies(AT + timedelta(seconds=5))
    assert path.read_text() == "".join(f"{note}\n" for note in notes)


@pytest.mark.parametrize("left", [1, 50, 90, 140, -1])
def test_what_a_fall_of_the_machine_left_of_a_note_is_cut_off(org, folder, left):
    notes = [checkpoint().note]
    copying.sweep_copies(AT)
    path = next(folder.rglob("*.txt"))
    notes.append(checkpoint().note)
    whole = "".join(f"{note}\n" for note in notes)
    path.write_text(f"{notes[0]}\n" + f"{notes[1]}\n"[:left])
    copying.sweep_copies(AT)

    assert path.read_text() == whole


def test_what_is_no_file_of_checkpoints_is_left_alone(org, folder):
    (folder / "acme").mkdir()
    path = folder / "acme" / "2026-03.txt"
    path.write_text("x" * 70_000)
    checkpoint()
    copying.sweep_copies(AT)

    assert path.read_text() == "x" * 70_000
    assert CheckpointCopy.objects.get().failure


def test_what_nobody_thought_of_is_noted_and_keeps_no_other_sink_waiting(
    org, settings, receiver, folder, monkeypatch
):
    settings.CHECKPOINT_WEBHOOK = "https://witness.example/checkpoints"
    monkeypatch.setattr(sinks.FileSink, "put", lambda sink, copy: 1 / 0)
    newest = checkpoint().number
    copying.copy_checkpoints(at=AT)
    row = CheckpointCopy.objects.get(sink="file")

    assert (row.number, row.tries, row.next_try_at) == (0, 1, AT + timedelta(seconds=5))
    assert row.failure == "an error on our side, which is in the log of the server"
    assert CheckpointCopy.objects.get(sink="webhook").number == newest


def test_who_was_slow_does_not_set_back_who_took_over(org, folder, monkeypatch):
    put = sinks.FileSink.put
    newest = [checkpoint().number for _ in range(3)][-1]

    def slowly(sink, copy):
        CheckpointCopy.objects.update(number=newest)  # by another process meanwhile
        put(sink, copy)

    monkeypatch.setattr(sinks.FileSink, "put", slowly)
    copying.sweep_copies(AT)

    assert CheckpointCopy.objects.get().number == newest
