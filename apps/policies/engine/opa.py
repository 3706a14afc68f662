"""Rego evaluated by an OPA server, over its own REST API (v1: policies, data; health).

Texts share the package `mandate`, so on the server each has a package of its own, by its digest:
`policies["…"].mandate`. A server that doesn't know a text (it was restarted, or another process
tidied up) answers without a result; it is then given the text and asked again.

OPA has the network and the texts of all orgs, so a text is judged before it is sent, be it saved
or only tried: what it may not call or see, it never gets there with.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from apps.common.json import Object
from apps.policies.engine import flaws
from apps.policies.engine.asking import POLICY_FILE, Answer, Failure, Reader, draft
from apps.policies.engine.opa_client import (
    LateError,
    NotReachedError,
    OpaClient,
    RefusedError,
    TooLargeError,
    seconds_left,
    within,
)
from apps.policies.engine.types import Flaw, Text

SEND_SECONDS: Final = 5.0
"""How long a server may take to compile a text together with all that it has."""
SENDERS: Final = 2
KNOWN: Final = 1000
"""Texts of this process that stay on the server; the one sent longest ago goes first."""
HEALTH_SECONDS: Final = 0.04
_NAMES: Final = re.compile(
    r"""("(?:\\.|[^"\\\n])*" | `[^`]*` | \#[^\n]*)   # strings and comments stay as they are
      | (?<!\.)\b(package\s+)(mandate\w*)
      | (?<!\.)\bdata\.(mandate)\b""",
    re.VERBOSE,
)
LATE: Final = Failure("OPA didn't answer in time.", is_for_now=True)
TOO_LARGE: Final = Failure("The answer is too large.")
LATE_BY_TEXT: Final = Failure("It doesn't come to an end in time.", is_by_text=True)
ANSWER: Final = Path(__file__).with_name("answer.rego").read_text()
NOT_REACHED: Final = Failure(
    "OPA can't be reached in time, or its answer can't be read.", is_for_now=True
)
NOT_THERE: Final = Failure("OPA gave no document.", is_for_now=True)


class OpaServer:
    """A server as evaluator; `reader` says what texts consist of, before they are sent."""

    def __init__(self, client: OpaClient, reader: Reader, seconds: float) -> None:
        self._client, self._reader, self._seconds = client, reader, seconds
        self._known: OrderedDict[str, None] = OrderedDict()
        self._sending: dict[str, Future[None]] = {}
        self._senders = ThreadPoolExecutor(SENDERS, "opa-sender")
        self._lock = threading.Lock()

    def documents(self, org: Hashable, texts: Sequence[Text], document: bytes) -> Sequence[Answer]:
        """One request a text, all within the deadline."""
        body = b'{"input":' + document + b"}"
        with within(self._seconds):
            return [self._document(org, text, body) for text in texts]

    def outcomes(
        self, org: Hashable, rego: str, tests: str, names: Sequence[str]
    ) -> Mapping[str, bool | Failure]:
        """The tests are sent beside their policy, and taken away again."""
        digest = draft(f"{rego}\n{tests}").digest
        try:
            self._send(digest, {"policy": rego, "tests": tests})
            with within(self._seconds):
                return {name: self._outcome(digest, name) for name in names}
        except (NotReachedError, RefusedError) as error:
            return dict.fromkeys(names, self._failure(error))
        finally:
            self._forget(digest)

    def compile(self, org: Hashable, rego: str) -> Sequence[Flaw] | Failure:
        """What OPA's own compiler says: it knows types, and variables before it meets them."""
        try:
            self._send(draft(rego).digest, {"policy": rego, "answer": ANSWER})
        except RefusedError as error:
            return _flaws(error) or NOT_REACHED
        except NotReachedError as error:
            return self._failure(error)
        return []

    def _document(self, org: Hashable, text: Text, body: bytes) -> Answer:
        path = f"/v1/data/policies/{text.digest}/mandate_answer/document?strict-builtin-errors=true"
        try:
            answer = self._client.ask("POST", path, body)
            if "result" not in answer:
                if failure := self._judge(org, text.rego):
                    return failure
                self._send_beside(text)
                answer = self._client.ask("POST", path, body)
        except (NotReachedError, RefusedError) as error:
            return self._failure(error)
        result = answer.get("result")
        return result if isinstance(result, dict) else NOT_THERE

    def _send_beside(self, text: Text) -> None:
        """Send it as long as it takes, and wait no longer than whoever asks may."""
        modules = {"policy": text.rego, "answer": ANSWER}
        with self._lock:
            sending = self._sending.get(text.digest)
            if sending is None or sending.done():
                sending = self._senders.submit(self._send, text.digest, modules)
                self._sending[text.digest] = sending
        try:
            sending.result(seconds_left())
        except TimeoutError:
            raise NotReachedError from None
        self._sending.pop(text.digest, None)

    def _judge(self, org: Hashable, rego: str) -> Failure | None:
        facts = self._reader.facts(org, POLICY_FILE, rego)
        if isinstance(facts, Failure):
            return facts
        found = flaws.of_size(rego) or flaws.of_policy(facts)
        return Failure(flaws.in_words(found[0]), flaw=found[0]) if found else None

    def _outcome(self, digest: str, name: str) -> bool | Failure:
        path = f"/v1/data/policies/{digest}/mandate_test/{name}?strict-builtin-errors=true"
        try:
            return self._client.ask("POST", path, b"{}").get("result") is True
        except (RefusedError, TooLargeError) as error:
            return self._failure(error)

    def _send(self, digest: str, modules: Mapping[str, str]) -> None:
        """Give the server a text's modules; it compiles them with all others."""
        with within(SEND_SECONDS):
            for name, rego in modules.items():
                path = f"/v1/policies/{_home(digest)}/{name}"
                self._client.ask("PUT", path, moved(rego, digest).encode(), "text/plain")
        with self._lock:
            self._known[digest] = None
            oldest = self._known.popitem(last=False)[0] if len(self._known) > KNOWN else None
        if oldest is not None:
            self._forget(oldest)

    def _forget(self, digest: str) -> None:
        """Take a text from the server; whoever still needs it sends it again."""
        with within(SEND_SECONDS), suppress(NotReachedError, RefusedError):
            for name in ("answer", "tests", "policy"):
                with suppress(RefusedError):
                    self._client.ask("DELETE", f"/v1/policies/{_home(digest)}/{name}", b"")

    def _failure(self, error: NotReachedError | RefusedError) -> Failure:
        """Who is late while the server is well has a text to blame, as who answers too much."""
        if isinstance(error, RefusedError):
            found = _flaws(error)
            return Failure(flaws.in_words(found[0]), flaw=found[0]) if found else NOT_REACHED
        if not isinstance(error, LateError):
            return TOO_LARGE if isinstance(error, TooLargeError) else NOT_REACHED
        try:
            with within(HEALTH_SECONDS):
                self._client.ask("GET", "/health", b"")
        except (NotReachedError, RefusedError):
            return LATE
        return LATE_BY_TEXT


def moved(rego: str, digest: str) -> str:
    """The text in the package of its digest; lines stay where they are."""

    def move(match: re.Match[str]) -> str:
        skipped, package, name, data = match.groups()
        if skipped:
            return skipped
        return f'{package or "data."}policies["{digest}"].{name or data}'

    return _NAMES.sub(move, rego)


def _home(digest: str) -> str:
    return f"policies/{digest}"


def _flaws(error: RefusedError) -> Sequence[Flaw]:
    """The errors that OPA lists, each at its place."""
    found = error.body.get("errors")
    return (
        [_flaw(item) for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    )


def _flaw(error: Object) -> Flaw:
    place: Any = error.get("location") or {}
    return Flaw(
        int(place.get("row") or 1),
        int(place.get("col") or 1),
        flaws.sentence(str(error.get("message", "")).partition("\n")[0]),
    )
