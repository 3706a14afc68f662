"""What goes out to a channel, and how it can fail: values without any I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from apps.notify.models import ERROR_MAX

SECONDS = 10.0
"""How long one delivery may take."""
_MEANS: Final = re.compile(r"([\\`*_{}\[\]()#+\-!|<>~])")


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """Where a channel leads, from the secret store; `secret` signs what a webhook is sent."""

    url: str
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A notice as a channel gets it; `id` is the same at every try."""

    id: str
    kind: str
    label: str
    title: str
    body: str
    url: str
    org: str
    at: datetime

    @property
    def text(self) -> str:
        """The body with the link under it."""
        return _with_link(self.body, self.url)

    @property
    def markdown(self) -> str:
        """The same as Markdown, in which the body says what it says and nothing more."""
        return _with_link(_MEANS.sub(r"\\\1", self.body), self.url)


def _with_link(body: str, url: str) -> str:
    return "\n\n".join(part for part in (body, url) if part)


class NotDelivered(Exception):
    """It didn't arrive; the text says why, for whoever owns the channel, and holds no address."""

    def __init__(self, why: str) -> None:
        super().__init__(why[:ERROR_MAX])
