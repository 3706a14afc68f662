"""Entity tags: who changes a resource says which version they read (RFC 9110 §8.8.3, §13.1).

Nothing here knows of requests: a service takes the `Precondition` and checks it against the row it
has locked, which is the only moment at which the answer can't grow stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.utils.http import parse_etags

from apps.common.errors import PreconditionFailed, PreconditionRequired

_ANY: Final = "*"


def etag_of(version: int | datetime, *parts: UUID | str) -> str:
    """Make the strong tag of a version: a counter, or the microsecond of the last change.

    `parts` are what else the answer depends on, such as the id where two resources share a
    version, or the role where two roles see different fields.
    """
    stamp = str(version) if isinstance(version, int) else f"{version.timestamp() * 1e6:.0f}"
    tail = "".join(f"-{part.hex if isinstance(part, UUID) else part}" for part in parts)
    return f'"{stamp}{tail}"'


@dataclass(frozen=True, slots=True)
class Precondition:
    """What a caller believes the present version to be; by default nothing."""

    tags: tuple[str, ...] | None = None

    @classmethod
    def read(cls, if_match: str | None, *, required: bool = False) -> Precondition:
        """Read an If-Match header; one that holds no valid tag matches nothing (§13.1.1).

        Raises PreconditionRequired where the resource may not be changed blindly.
        """
        if if_match is None:
            if required:
                raise PreconditionRequired("Send the ETag you read as If-Match.")
            return cls()
        return cls(tuple(parse_etags(if_match)))

    def check(self, etag: str) -> None:
        """Let pass who read the present version; raises PreconditionFailed for all others.

        The comparison is strong: a weak tag never matches (§8.8.3.2). The present tag isn't told,
        or a client would be tempted to send it back without reading what changed.
        """
        if self.tags is not None and _ANY not in self.tags and etag not in self.tags:
            raise PreconditionFailed("Read it again and repeat your change on what you find.")


NO_PRECONDITION: Final = Precondition()


def is_fresh(if_none_match: str | None, etag: str) -> bool:
    """Whether the reader has this version already; compares weakly, as §13.1.2 wants."""
    if if_none_match is None:
        return False
    tags = [tag.removeprefix("W/") for tag in parse_etags(if_none_match)]
    return _ANY in tags or etag.removeprefix("W/") in tags
