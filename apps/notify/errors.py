"""What the services of notices refuse, and why."""

from __future__ import annotations

from apps.common.errors import Conflict


class NotifyMisuse(RuntimeError):
    """A bug of the caller: told outside a transaction, or of an address that is not a page's."""


class ChannelNameInUse(Conflict):
    """Another channel of the same owner has this name."""

    code = "channel_name_in_use"
    title = "That name is taken"


class TooManyChannels(Conflict):
    """The list of channels is full."""

    code = "too_many_channels"
    title = "There are too many channels"


class ChannelPaused(Conflict):
    """Nothing goes to a channel that is paused."""

    code = "channel_paused"
    title = "The channel is paused"
