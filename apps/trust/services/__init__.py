"""What other apps may do with trust."""

from apps.trust.services.audit import record_event
from apps.trust.services.keys import (
    create_signing_key,
    get_signers,
    revoke_signing_key,
    rotate_signing_key,
)
from apps.trust.services.refusals import record_refusal, record_tallies

__all__ = [
    "create_signing_key",
    "get_signers",
    "record_event",
    "record_refusal",
    "record_tallies",
    "revoke_signing_key",
    "rotate_signing_key",
]
