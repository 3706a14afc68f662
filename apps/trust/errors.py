"""What trust refuses, and why."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from apps.common.errors import BadRequest, Conflict, DomainError, NotFound, Unavailable


class JsonInvalid(BadRequest):
    """The text is not the strict JSON (RFC 7493) that can be put into one canonical form."""

    code = "json_invalid"
    title = "The JSON text is not acceptable"


class Reason(StrEnum):
    """Why a signature was refused: stable words for logs, metrics and API clients."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    HEADER = "header"
    ALGORITHM = "algorithm"
    KEY_UNKNOWN = "key_unknown"
    KEY_UNUSABLE = "key_unusable"
    MISMATCH = "mismatch"
    NOT_CANONICAL = "not_canonical"


class SignatureInvalid(DomainError):
    """A signed document that must not be believed; `reason` is the class, `detail` the sentence."""

    code = "signature_invalid"
    title = "The signature does not verify"
    status = 422

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail, reason=reason.value)
        self.reason = reason


class NoSigningKey(Unavailable):
    """The org has no active key, so nothing can be signed until one is made."""

    code = "no_signing_key"
    title = "The organisation has no active signing key"


class SigningKeyPending(Conflict):
    """A successor is waiting already, or another change of the keys came first."""

    code = "signing_key_pending"
    title = "Another change of the signing keys is under way"


class SecretNotFound(NotFound):
    """No secret, or no such version of it, under this reference."""

    code = "secret_not_found"
    title = "No such secret"


class SecretUnreadable(Unavailable):
    """A sealed value can't be opened: another master key, or bytes that were moved or changed."""

    code = "secret_unreadable"
    title = "The secret cannot be read"


class AuditMisuse(RuntimeError):
    """A programming error in a caller of the audit log, never the fault of a request."""


class NotSealed(Conflict):
    """Newer than the newest checkpoint: within seconds the sealer takes it in."""

    code = "not_sealed"
    title = "It is not sealed yet"

    def __init__(self) -> None:
        super().__init__("It is newer than the newest checkpoint. Ask again in some seconds.")


DISPLACED: Final = (
    "this database counts transactions from before those that the log has sealed, as after a "
    "restore into another cluster; docs/audit.md says how it goes on"
)


class LogDisplaced(Unavailable):
    """What the log would take in now would stand where no checkpoint has it."""

    code = "log_displaced"
    title = "The log can't be continued here"

    def __init__(self) -> None:
        super().__init__(DISPLACED)


class ProofFails(Conflict):
    """What is on record is not in the tree at its place: no proof of it would hold."""

    code = "proof_fails"
    title = "It is not in the log at its place"

    def __init__(self) -> None:
        super().__init__("There is no proof of it that holds. Have the log verified.")
