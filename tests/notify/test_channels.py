"""Channels: who has which, what goes there, and what happens when it doesn't arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone

from apps.common import egress
from apps.common.egress import EgressResponse
from apps.common.errors import Invalid, NotFound
from apps.common.fsm import transition_table
from apps.common.ids import public_id
from apps.notify import kinds
from apps.notify.errors import ChannelNameInUse, ChannelPaused, TooManyChannels
from apps.notify.gateways.messages import Address
from apps.notify.models import Channel, Delivery, Notice
from apps.notify.selectors import get_channel, list_channels
from apps.notify.services import addresses, delivering, sweeping, telling
from apps.notify.services import channels as services
from apps.notify.services.delivering import PAUSED_AFTER, PAUSED_SINCE, deliver
from apps.notify.services.inbox import send_test
from apps.notify.services.pauses import MOST_TRIES, after_try
from apps.notify.services.preferences import Ways, save_preferences
from apps.notify.services.telling import Audience
from apps.orgs.services import members
from apps.trust.errors import SecretNotFound
from tests.notify.conftest import NEWS, QUIET, said
from tests.orgs.conftest import AT

URL = "https://hooks.acme.example/in/0123456789abcdef"
Answers = Callable[..., EgressResponse]


@pytest.fixture(autouse=True)
def _no_wake_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are run by hand here."""
    for module in (telling, services, sweeping):
        monkeypatch.setattr(module, "enqueue", lambda *_, **__: None)


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The endpoint outside: the statuses that it answers, the last one for ever."""
    statuses = [200]

    def answer(method: str, url: str, **_: Any) -> EgressResponse:
        status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        return EgressResponse(status, httpx.Headers(), b"", url)

    monkeypatch.setattr(egress, "request", answer)
    yield statuses


def add(by: Any, name: str = "Endpoint", **more: Any) -> Channel:
    fields = {"service": "webhook", "url": URL, **more}
    return services.create_channel(name=name, by=by, at=AT, **fields).channel


def owed() -> list[Delivery]:
    return list(Delivery.objects.filter(state="owed").order_by("id"))


def reread(channel: Channel) -> Channel:
    return Channel.objects.get(id=channel.id)


# Whose they are -------------------------------------------------------------------------------


def test_the_states_of_a_channel() -> None:
    assert transition_table(Channel, "state") == {
        ("active", "pause"): "paused",
        ("paused", "pause"): None,
        ("active", "resume"): None,
        ("paused", "resume"): "active",
    }


def test_a_channel_is_on_record_and_its_address_is_not(owner: Any, org: Any) -> None:
    from apps.trust.models import AuditEvent

    made = services.create_channel(
        name="On call", service="webhook", url=URL, own=False, by=owner, at=AT
    )
    event = AuditEvent.objects.latest("seq")
    assert (event.action, event.subject_id) == (
        "notify.channel.created",
        public_id("chn", made.channel.id),
    )
    assert event.detail["new"] == {
        "name": "On call",
        "service": "webhook",
        "kinds": [],
        "own": False,
    }
    assert URL not in event.body and made.secret not in event.body
    assert made.channel.hint == "cdef" and made.secret.startswith("whsec_")
    assert addresses.read(made.channel.id) == Address(URL, made.secret)
    assert made.secret not in repr(addresses.read(made.channel.id))


def test_each_sees_their_own_and_who_manages_them_the_orgs(owner: Any, somebody: Any) -> None:
    member, admin = somebody("member"), somebody("admin")
    of_org, of_member = add(owner, "Room", own=False), add(member, "Phone")

    def seen(by: Any, own: bool | None = None) -> set[Any]:
        return set(list_channels(by=by, own=own).values_list("id", flat=True))

    assert seen(member) == {of_member.id} and seen(admin) == {of_org.id}
    assert seen(owner, own=True) == set() and seen(owner, own=False) == {of_org.id}
    with pytest.raises(NotFound):
        get_channel(public_id("chn", of_org.id), by=member)
    with pytest.raises(NotFound):
        get_channel(public_id("chn", of_member.id), by=owner)


def test_another_members_channel_can_not_be_touched(owner: Any, somebody: Any) -> None:
    member, other = somebody("member"), somebody("member")
    channel = add(member)
    before = Channel.objects.values().get()
    acts: list[Callable[..., Any]] = [
        services.update_channel,
        services.resume_channel,
        services.pause_channel,
        services.remove_channel,
        services.test_channel,
    ]
    for act in acts:
        for by in (owner, other):
            with pytest.raises(NotFound):
                act(channel_id=channel.id, by=by, at=AT)
    assert Channel.objects.values().get() == before and not Delivery.objects.exists()
    services.pause_channel(channel_id=channel.id, by=member, at=AT)


def test_a_name_is_one_owners_once(owner: Any, somebody: Any) -> None:
    add(owner)
    add(owner, own=False)
    add(somebody())
    for own in (True, False):
        with pytest.raises(ChannelNameInUse):
            add(owner, own=own)
    assert Channel.objects.count() == 3


def test_there_are_only_so_many(owner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MOST", 2)
    for n in range(2):
        add(owner, f"c{n}")
    with pytest.raises(TooManyChannels):
        add(owner, "c3")
    add(owner, "c3", own=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 81},
        {"service": "carrier-pigeon"},
        {"url": "https://127.0.0.1/x"},
        {"url": "https://a b.example/"},
        {"url": ""},
        {"kinds": ["tests.nothing.known"]},
    ],
)
def test_what_makes_no_channel_is_refused(owner: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        add(owner, **{"name": "Fine", **wrong})
    assert not Channel.objects.exists()
    add(owner, "Fine")


def test_a_change_replaces_the_address_and_keeps_the_secret(owner: Any) -> None:
    made = services.create_channel(name="A", service="webhook", url=URL, by=owner, at=AT)
    other = "https://hooks.acme.example/in/fedcba9876543210"

    services.update_channel(
        channel_id=made.channel.id, name="B", url=other, kinds=[NEWS.code], by=owner, at=AT
    )

    channel = reread(made.channel)
    assert (channel.name, channel.hint, channel.kinds) == ("B", "3210", [NEWS.code])
    assert addresses.read(channel.id) == Address(other, made.secret)


def test_what_is_removed_leaves_no_address(owner: Any, outside: list[int]) -> None:
    channel = add(owner)
    services.test_channel(channel_id=channel.id, by=owner, at=AT)
    services.remove_channel(channel_id=channel.id, by=owner, at=AT)
    assert not Channel.objects.exists() and not Delivery.objects.exists()
    with pytest.raises(SecretNotFound):
        addresses.read(channel.id)


@pytest.mark.parametrize("way", ["removed", "left"])
def test_the_channels_of_who_goes_go_with_them(
    owner: Any, somebody: Any, outside: list[int], way: str
) -> None:
    from apps.trust.models import AuditEvent

    # Given a member's channel that is owed something, another member's and the org's
    member, other = somebody(), somebody()
    theirs, others = add(member, "Phone"), add(other, "Phone")
    room = add(owner, "Room", own=False)
    said(Audience(members=(member.member_id, other.member_id), org=True))
    pending = next(row for row in owed() if row.channel_id == theirs.id)
    since = AuditEvent.objects.count()

    if way == "removed":
        members.remove_member(member_id=member.member_id, by=owner, at=AT)
    else:
        members.leave_org(by=member, at=AT)

    # Then nothing of theirs is left, and nothing arrives there
    assert set(Channel.objects.values_list("id", flat=True)) == {others.id, room.id}
    with pytest.raises(SecretNotFound):
        addresses.read(theirs.id)
    assert not deliver(delivery_id=pending.id, at=AT)
    assert {row.channel_id for row in owed()} == {others.id, room.id}
    gone = AuditEvent.objects.order_by("seq")[since:]
    assert [row.action for row in gone] == ["notify.channel.removed", f"orgs.member.{way}"]


# What goes there ------------------------------------------------------------------------------


def test_the_orgs_channels_hear_and_those_of_members_who_are_told(
    owner: Any, somebody: Any
) -> None:
    member = somebody()
    places = {
        "org": add(owner, "Room", own=False),
        "told": add(owner, "Phone"),
        "not told": add(member, "Phone"),
        "other kind": add(owner, "Quiet room", own=False, kinds=[QUIET.code]),
        "this kind": add(owner, "News room", own=False, kinds=[NEWS.code]),
    }
    paused = add(owner, "Silent", own=False)
    services.pause_channel(channel_id=paused.id, by=owner, at=AT)

    said(Audience(members=(owner.member_id,), org=True))

    heard = {row.channel_id for row in owed()}
    assert heard == {places[name].id for name in ("org", "told", "this kind")}


def test_what_is_a_members_alone_no_channel_of_the_org_hears(
    owner: Any, somebody: Any, outside: list[int]
) -> None:
    # Given a room of the org's, and a viewer with a phone of their own
    room, viewer = add(owner, "Room", own=False), somebody("viewer")
    phone = add(viewer, "Phone")

    # When they try whether notices arrive, and when their phone is paused
    send_test(by=viewer, at=AT)
    assert {row.channel_id for row in owed()} == {phone.id}
    Channel.objects.filter(id=phone.id).update(
        failures=PAUSED_AFTER - 1, failing_since=AT - PAUSED_SINCE
    )
    outside[:] = [500]
    deliver(delivery_id=owed()[0].id, at=AT)

    # Then only they hear of it; what is told by permission the room hears
    assert reread(phone).state == "paused" and owed() == []
    said(Audience(permission="notify.manage"))
    assert {row.channel_id for row in owed()} == {room.id}


def test_a_member_may_leave_channels_out(owner: Any) -> None:
    add(owner)
    save_preferences(ways={NEWS.code: Ways(True, True, channels=False)}, by=owner, at=AT)
    said(Audience(members=(owner.member_id,)))
    assert owed() == []


def test_a_channel_hears_what_its_member_has_not_in_the_inbox(owner: Any) -> None:
    add(owner)
    save_preferences(
        ways={NEWS.code: Ways(bell=False, email=False, channels=True)}, by=owner, at=AT
    )
    said(Audience(members=(owner.member_id,)))
    assert len(owed()) == 1 and not Notice.objects.exists()


# When it arrives, and when not ----------------------------------------------------------------


def test_a_delivery_arrives_once(owner: Any, outside: list[int]) -> None:
    channel = add(owner)
    Channel.objects.update(failures=3, last_error="It was so before.")
    delivery = services.test_channel(channel_id=channel.id, by=owner, at=AT)

    assert deliver(delivery_id=delivery.id, at=AT)
    assert not deliver(delivery_id=delivery.id, at=AT + timedelta(days=1))

    delivery.refresh_from_db()
    assert (delivery.state, delivery.tries, delivery.error) == ("sent", 1, "")
    found = reread(channel)
    assert (found.failures, found.failing_since, found.last_error) == (0, None, "")
    assert found.last_sent_at is not None


def test_a_failed_one_is_tried_again_and_given_up(owner: Any, outside: list[int]) -> None:
    add(owner)
    outside[:] = [500]
    said(Audience(members=(owner.member_id,)))
    (delivery,), at = owed(), AT
    for tries in range(1, MOST_TRIES + 1):
        assert not deliver(delivery_id=delivery.id, at=at)
        assert not deliver(delivery_id=delivery.id, at=at)  # not before its time
        delivery.refresh_from_db()
        assert delivery.tries == tries
        if tries < MOST_TRIES:
            assert delivery.next_try_at == at + after_try(tries)
            at = delivery.next_try_at
    assert (delivery.state, delivery.error) == ("failed", "The endpoint answered 500.")
    assert reread(delivery.channel).failures == MOST_TRIES


def test_a_test_is_tried_once(owner: Any, outside: list[int]) -> None:
    outside[:] = [404]
    delivery = services.test_channel(channel_id=add(owner).id, by=owner, at=AT)
    assert not deliver(delivery_id=delivery.id, at=AT)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.error) == ("failed", "The endpoint answered 404.")


def test_after_too_many_failures_in_a_row_it_is_paused_and_its_owner_told(
    owner: Any, somebody: Any, outside: list[int]
) -> None:
    from apps.trust.models import AuditEvent

    admin, member = somebody("admin"), somebody("member")
    channel = add(owner, "Room", own=False)
    outside[:] = [500]
    for _ in range(PAUSED_AFTER + 2):
        said(Audience(org=True))
    first = timezone.now()
    for n, delivery in enumerate(owed()[:PAUSED_AFTER], start=1):
        assert reread(channel).state == "active"
        assert not deliver(delivery_id=delivery.id, at=first + timedelta(minutes=n * 9))
        assert reread(channel).failures == n

    found = reread(channel)
    assert found.state == "paused" and found.paused_at is not None and owed() == []
    assert set(Delivery.objects.values_list("state", flat=True)) == {"dropped"}
    notices = Notice.objects.filter(kind=kinds.CHANNEL_PAUSED.code)
    assert set(notices.values_list("member_id", flat=True)) == {owner.member_id, admin.member_id}
    notice = notices.first()
    assert notice is not None and notice.title == "The channel Room is paused"
    assert notice.path == f"/notifications/channels/{public_id('chn', channel.id)}/"
    assert "The endpoint answered 500." in notice.body and URL not in notice.body
    assert AuditEvent.objects.latest("seq").action == "notify.channel.paused"
    assert member.member_id not in set(notices.values_list("member_id", flat=True))


def test_of_a_members_own_only_that_member_is_told(
    owner: Any, somebody: Any, outside: list[int]
) -> None:
    member = somebody("member")
    channel = add(member, "Phone")
    Channel.objects.update(failures=PAUSED_AFTER - 1, failing_since=AT - PAUSED_SINCE)
    outside[:] = [500]
    delivery = services.test_channel(channel_id=channel.id, by=member, at=AT)
    deliver(delivery_id=delivery.id, at=AT)
    (notice,) = Notice.objects.filter(kind=kinds.CHANNEL_PAUSED.code)
    assert notice.member_id == member.member_id


def test_a_burst_of_failures_pauses_nothing(owner: Any, outside: list[int]) -> None:
    channel = add(owner, "Room", own=False)
    outside[:] = [500]
    for _ in range(PAUSED_AFTER + 2):
        said(Audience(org=True))
    for delivery in owed():
        deliver(delivery_id=delivery.id, at=AT)
    assert (reread(channel).state, reread(channel).failures) == ("active", PAUSED_AFTER + 2)


def test_one_that_arrives_begins_the_count_anew(owner: Any, outside: list[int]) -> None:
    channel = add(owner, "Room", own=False)
    outside[:] = [500] * (PAUSED_AFTER - 1) + [200, 500]
    for _ in range(PAUSED_AFTER + 1):
        said(Audience(org=True))
    for delivery in owed():
        deliver(delivery_id=delivery.id, at=AT)
    assert (reread(channel).state, reread(channel).failures) == ("active", 1)


def test_a_paused_channel_gets_nothing_until_it_is_resumed(owner: Any, outside: list[int]) -> None:
    channel = add(owner)
    before = services.test_channel(channel_id=channel.id, by=owner, at=AT)
    services.pause_channel(channel_id=channel.id, by=owner, at=AT)

    assert not deliver(delivery_id=before.id, at=AT)
    with pytest.raises(ChannelPaused):
        services.test_channel(channel_id=channel.id, by=owner, at=AT)
    said(Audience(members=(owner.member_id,)))
    assert owed() == []

    services.resume_channel(channel_id=channel.id, by=owner, at=AT)
    after = services.test_channel(channel_id=channel.id, by=owner, at=AT)
    assert deliver(delivery_id=after.id, at=AT)


def test_whatever_a_gateway_does_the_job_only_notes_it(
    owner: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"unexpected, with {URL}")

    monkeypatch.setattr(addresses, "send", explode)
    delivery = services.test_channel(channel_id=add(owner).id, by=owner, at=AT)
    assert not deliver(delivery_id=delivery.id, at=AT)
    delivery.refresh_from_db()
    assert delivery.error == "It could not be sent (RuntimeError)."
    assert "RuntimeError" in caplog.text and URL not in caplog.text


def test_the_sweeper_wakes_what_is_owed_and_erases_what_is_old(
    owner: Any, outside: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[str] = []
    monkeypatch.setattr(sweeping, "enqueue", lambda name, **ids: woken.append(ids["delivery_id"]))
    channel = add(owner)
    late, old = (services.test_channel(channel_id=channel.id, by=owner, at=AT) for _ in range(2))
    assert deliver(delivery_id=old.id, at=AT)
    Delivery.objects.filter(id=old.id).update(settled_at=AT - timedelta(days=31))

    sweeping.sweep_notices(AT + timedelta(seconds=30))

    assert woken == [str(late.id)]
    assert [row.id for row in Delivery.objects.all()] == [late.id]


def test_an_unknown_delivery_is_nothing_to_do(org: Any) -> None:
    from uuid import uuid4

    assert not delivering.deliver(delivery_id=uuid4(), at=AT)
