"""`/v1/notices`, `/v1/channels`, `/v1/notification-preferences`."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.openapi import page_of
from apps.common.pagination import NEWEST_FIRST
from apps.notify import selectors
from apps.notify.api import examples
from apps.notify.api import serializers as s
from apps.notify.models import Channel
from apps.notify.selectors import MANAGE, OWN
from apps.notify.services import channels, inbox, preferences
from apps.notify.services.preferences import Ways
from apps.orgs.api.base import OrgView
from apps.orgs.denials import needed


class NoticesView(OrgView):
    """What the key's member was told."""

    required = {"GET": OWN}
    filters = s.NoticeFilter
    list_keyset = NEWEST_FIRST

    @extend_schema(
        operation_id="notices_list",
        tags=["notices"],
        parameters=[s.NoticeFilter],
        responses=page_of(s.NoticeRead),
        examples=examples.NOTICES,
    )
    def get(self, request: Request) -> Response:
        unread = self.read_query(s.NoticeFilter)["unread"] == "true"
        rows = selectors.list_notices(by=self.by, unread=unread)
        return self.answer_page(s.NoticeRead, rows, keyset=NEWEST_FIRST)


class AllReadView(OrgView):
    required = {"POST": OWN}

    @extend_schema(
        operation_id="notices_read_all",
        tags=["notices"],
        request=None,
        responses={200: s.AllReadRead},
        examples=examples.ALL_READ,
    )
    def post(self, request: Request) -> Response:
        """Mark all of them as read."""
        number = inbox.mark_all_read(by=self.by, at=timezone.now())
        return self.answer(s.AllReadRead, {"read": number})


class NoticeTestView(OrgView):
    required = {"POST": OWN}

    @extend_schema(
        operation_id="notices_test", tags=["notices"], request=None, responses={204: None}
    )
    def post(self, request: Request) -> Response:
        """Tell the key's member something by every way that they have chosen."""
        inbox.send_test(by=self.by, at=timezone.now())
        return self.nothing()


class NoticeReadView(OrgView):
    required = {"POST": OWN}

    @extend_schema(
        operation_id="notices_read",
        tags=["notices"],
        request=None,
        responses={200: s.NoticeRead},
        examples=examples.NOTICE_READ,
    )
    def post(self, request: Request, notice: str) -> Response:
        """Mark one as read."""
        found = selectors.get_notice(notice, by=self.by)
        inbox.mark_read(notice_id=found.id, by=self.by, at=timezone.now())
        return self.answer(s.NoticeRead, selectors.get_notice(notice, by=self.by))


class PreferencesView(OrgView):
    required = {"GET": OWN, "PATCH": OWN}

    @extend_schema(
        operation_id="notification_preferences_get",
        tags=["notices"],
        responses=s.PreferencesRead,
        examples=examples.PREFERENCES,
    )
    def get(self, request: Request) -> Response:
        return self._answer()

    @extend_schema(
        operation_id="notification_preferences_change",
        tags=["notices"],
        request=s.PreferencesChange,
        responses=s.PreferencesRead,
        examples=examples.PREFERENCES_CHANGE,
    )
    def patch(self, request: Request) -> Response:
        """Choose the ways of some kinds, or how often mail is gathered; the rest stays."""
        data = self.read(s.PreferencesChange)
        ways = {row["kind"]: _ways(row) for row in data.get("kinds", ())}
        preferences.save_preferences(
            ways=ways, every=data.get("digest"), by=self.by, at=timezone.now()
        )
        return self._answer()

    def _answer(self) -> Response:
        every, choices = selectors.find_digest(by=self.by), selectors.list_choices(by=self.by)
        return self.answer(s.PreferencesRead, {"digest": every, "kinds": choices})


class ChannelsView(OrgView):
    """The member's own channels, and with `notify.manage` the organization's."""

    required = {"GET": OWN, "POST": OWN}
    filters = s.ChannelFilter
    list_keyset = NEWEST_FIRST

    @extend_schema(
        operation_id="channels_list",
        tags=["channels"],
        parameters=[s.ChannelFilter],
        responses=page_of(s.ChannelRead),
        examples=examples.CHANNELS,
    )
    def get(self, request: Request) -> Response:
        scope = self.read_query(s.ChannelFilter).get("scope")
        rows = selectors.list_channels(by=self.by, own=None if scope is None else scope == "own")
        return self.answer_page(s.ChannelRead, rows, keyset=NEWEST_FIRST)

    @extend_schema(
        operation_id="channels_create",
        tags=["channels"],
        request=s.ChannelWrite,
        responses={201: s.NewChannelRead},
        examples=examples.CHANNEL_CREATE,
    )
    def post(self, request: Request) -> Response:
        """Have notices go to a place outside. A webhook's secret is in this answer only."""
        data = self.read(s.ChannelWrite)
        own = data.pop("scope") == "own"
        if not own and not self.by.may(MANAGE):
            raise needed(MANAGE)
        made = channels.create_channel(**data, own=own, by=self.by, at=timezone.now())
        made.channel.signing_secret = made.secret or None  # type: ignore[attr-defined]
        return self.answer(s.NewChannelRead, made.channel, status=201)


class ChannelView(OrgView):
    required = {"GET": OWN, "PATCH": OWN, "DELETE": OWN}

    @extend_schema(
        operation_id="channels_get",
        tags=["channels"],
        responses=s.ChannelRead,
        examples=examples.CHANNEL,
    )
    def get(self, request: Request, channel: str) -> Response:
        return self.answer(s.ChannelRead, selectors.get_channel(channel, by=self.by))

    @extend_schema(
        operation_id="channels_change",
        tags=["channels"],
        request=s.ChannelChange,
        responses=s.ChannelRead,
        examples=examples.CHANNEL_CHANGE,
    )
    def patch(self, request: Request, channel: str) -> Response:
        """Change a channel; pausing drops what it is owed."""
        found, data = selectors.get_channel(channel, by=self.by), self.read(s.ChannelChange)
        paused = data.pop("paused", None)
        if data:
            channels.update_channel(channel_id=found.id, **data, by=self.by, at=timezone.now())
        if paused is not None:
            self._pause(found, paused)
        return self.answer(s.ChannelRead, selectors.get_channel(channel, by=self.by))

    @extend_schema(operation_id="channels_remove", tags=["channels"], responses={204: None})
    def delete(self, request: Request, channel: str) -> Response:
        """Forget a channel and its address."""
        found = selectors.get_channel(channel, by=self.by)
        channels.remove_channel(channel_id=found.id, by=self.by, at=timezone.now())
        return self.nothing()

    def _pause(self, found: Channel, paused: bool) -> None:
        service = channels.pause_channel if paused else channels.resume_channel
        service(channel_id=found.id, by=self.by, at=timezone.now())


class ChannelTestView(OrgView):
    required = {"POST": OWN}

    @extend_schema(
        operation_id="channels_test",
        tags=["channels"],
        request=None,
        responses={202: s.DeliveryRead},
        examples=examples.CHANNEL_TEST,
    )
    def post(self, request: Request, channel: str) -> Response:
        """Send a test message; the channel's deliveries say what comes of it."""
        found = selectors.get_channel(channel, by=self.by)
        delivery = channels.test_channel(channel_id=found.id, by=self.by, at=timezone.now())
        return self.answer(s.DeliveryRead, delivery, status=202)


class DeliveriesView(OrgView):
    """What went to a channel in the last 30 days."""

    required = {"GET": OWN}
    list_keyset = NEWEST_FIRST

    @extend_schema(
        operation_id="channel_deliveries_list",
        tags=["channels"],
        responses=page_of(s.DeliveryRead),
        examples=examples.DELIVERIES,
    )
    def get(self, request: Request, channel: str) -> Response:
        found = selectors.get_channel(channel, by=self.by)
        rows = selectors.list_deliveries(found)
        return self.answer_page(s.DeliveryRead, rows, keyset=NEWEST_FIRST)


def _ways(row: dict[str, bool]) -> Ways:
    return Ways(bell=row["bell"], email=row["email"], channels=row["channels"])
