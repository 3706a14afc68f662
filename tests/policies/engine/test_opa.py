"""An OPA server as engine: what it is sent, what it isn't, and what its failures do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from apps.policies.engine import checks, door
from apps.policies.engine.asking import RegoEngine
from apps.policies.engine.children import Children
from apps.policies.engine.opa import OpaServer, moved
from apps.policies.engine.opa_client import OpaClient
from apps.policies.engine.pool import Pool
from apps.policies.engine.samples import INVOKE
from apps.policies.engine.strikes import Standing
from apps.policies.engine.types import Flaw, TestOutcome
from config.settings.parts.policies import POLICY_SECONDS as DEADLINE
from tests.policies.engine.rego import ALLOW, DENY, ENOUGH, PATIENT, answers_nothing, text

SLOW = """package mandate

allow := true

deny contains "x" if {
    some i in numbers.range(1, 2500)
    some j in numbers.range(1, 2500)
    i * j == -1 - input.context.depth
}
"""
LATE = "OPA didn't answer in time."
TOO_LARGE = "The answer is too large."
NOT_REACHED = "OPA can't be reached in time, or its answer can't be read."


class Handler(BaseHTTPRequestHandler):
    """Remembers what it was asked, and answers as its server's `respond` says."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server: Any = self.server
        server.asked.append((self.command, self.path, self.headers.get("Authorization"), body))
        server.respond(self)

    do_GET = do_PUT = do_POST = do_DELETE = _serve

    def say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def served(respond: Callable[[Handler], object]) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.asked, server.respond = True, [], respond
    server.handle_error = lambda *_: None
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def engine_at(url: str, pool: Pool, token: str = "", seconds: float = PATIENT) -> RegoEngine:
    children = Children(pool, PATIENT)
    server = OpaServer(OpaClient(url, token), children, seconds)
    return RegoEngine(server, children, Standing(), "acme")


RELEASED = threading.Event()
FAILURES: list[tuple[str, Callable[[Handler], object], str]] = [
    ("hung", lambda h: RELEASED.wait(5), LATE),
    ("no JSON", lambda h: h.say(200, b"hello"), NOT_REACHED),
    ("a list", lambda h: h.say(200, b"[]"), NOT_REACHED),
    ("a number", lambda h: h.say(200, b'{"result": 7}'), "OPA gave no document."),
    ("other rules", lambda h: h.say(200, b'{"result": {}}'), "The engine gave no document."),
    ("nothing", lambda h: h.say(200, b"{}"), "OPA gave no document."),
    ("too much", lambda h: h.say(200, b'{"x": "%s"}' % (b"y" * 2**20)), TOO_LARGE),
    ("broken", lambda h: h.say(500, b"{}"), NOT_REACHED),
    ("refused", lambda h: h.say(401, b'{"code": "unauthorized"}'), NOT_REACHED),
    ("hangs up", lambda h: h.connection.shutdown(socket.SHUT_RDWR), NOT_REACHED),
    ("elsewhere", lambda h: h.say(302, b"{}", Location="http://127.0.0.1:1/"), NOT_REACHED),
]


@pytest.mark.parametrize(
    ("respond", "flaw"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES]
)
def test_a_server_that_fails_denies_as_unavailable(
    pool: Pool, respond: Callable[[Handler], object], flaw: str
) -> None:
    RELEASED.clear()
    with served(respond) as server:
        seconds = DEADLINE if flaw == LATE else PATIENT
        verdict = engine_at(server.url, pool, seconds=seconds).evaluate([text(ALLOW)], INVOKE)
        RELEASED.set()
    assert (verdict.result, verdict.opinions[0].flaw) == ("unavailable", flaw)


@pytest.mark.parametrize("failing", ["hung", "broken", "refused", "hangs up", "nothing"])
def test_a_server_that_fails_is_no_flaw_of_a_text(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    (respond,) = (found[1] for found in FAILURES if found[0] == failing)
    monkeypatch.setattr("apps.policies.engine.opa.SEND_SECONDS", DEADLINE)
    RELEASED.clear()
    with served(respond) as server:
        answers_nothing(engine_at(server.url, pool, seconds=DEADLINE))
        RELEASED.set()


def test_an_answer_that_is_too_large_is_a_flaw_of_its_text(opa: RegoEngine) -> None:
    """It would be so again however often it is asked."""
    many = "numbers.range(1, 1000000)"
    rego = f'{ALLOW}\nrequire_approval contains sprintf("%v", [{many}])\n'
    assert opa.find_flaws(rego) == [Flaw(1, 1, TOO_LARGE)]
    assert not opa.evaluate([text(rego)], INVOKE).opinions[0].is_for_now
    tests = f"package mandate_test\n\ntest_a := {many}\n\ntest_b if true\n"
    outcomes = [TestOutcome("test_a", False, TOO_LARGE), TestOutcome("test_b", True)]
    assert opa.run_tests(ALLOW, tests) == outcomes


def test_a_server_that_is_not_there_denies_as_unavailable(pool: Pool) -> None:
    verdict = engine_at("http://127.0.0.1:1", pool).evaluate([text(ALLOW)], INVOKE)
    assert (verdict.result, verdict.opinions[0].flaw) == ("unavailable", NOT_REACHED)


def test_a_server_that_hangs_puts_no_text_aside(pool: Pool) -> None:
    RELEASED.clear()
    with served(lambda h: RELEASED.wait(5)) as server:
        asked = engine_at(server.url, pool, seconds=DEADLINE)
        flaws = {asked.evaluate([text(ALLOW)], INVOKE).opinions[0].flaw for _ in range(2)}
        RELEASED.set()
    assert flaws == {LATE}


def test_a_slow_text_is_put_aside_while_the_server_is_well(
    opa_url: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.policies.engine.opa.HEALTH_SECONDS", PATIENT)
    opa = engine_at(opa_url, pool, seconds=ENOUGH)
    assert opa.evaluate([text(ALLOW)], INVOKE).result == "allow"
    flaws = [opa.evaluate([text(SLOW)], INVOKE).opinions[0].flaw for _ in range(2)]
    assert flaws[0] == "It doesn't come to an end in time."
    assert flaws[1].startswith("It was put aside for a while")
    assert opa.evaluate([text(ALLOW), text(DENY)], INVOKE).result == "deny"


def test_a_server_that_forgot_a_text_is_given_it_again(opa_url: str, pool: Pool) -> None:
    children = Children(pool, PATIENT)
    server = OpaServer(OpaClient(opa_url), children, PATIENT)
    asked = RegoEngine(server, children, Standing(), "acme")
    assert asked.evaluate([text(DENY)], INVOKE).result == "deny"
    server._forget(text(DENY).digest)
    assert asked.evaluate([text(DENY)], INVOKE).result == "deny"


def test_a_text_that_was_never_judged_is_not_sent_either(pool: Pool) -> None:
    reads = 'package mandate\n\nallow := true\n\ndeny contains x if x := http.send({"url": "u"})\n'
    others = "package mandate\n\nallow := data.policies.other.mandate.allow\n"
    aliased = "package mandate\n\nallow if f(1) with f as http.send\n\nf(x) := x\n"
    unjudged = (reads, others, aliased)
    with served(lambda h: h.say(200, b"{}")) as server:
        asked = engine_at(server.url, pool)
        flaws = [asked.evaluate([text(rego)], INVOKE).opinions[0].flaw for rego in unjudged]
        assert {method for method, *_ in server.asked} == {"POST"}
        asked.evaluate([text(ALLOW)], INVOKE)  # positive control: this one is sent
        assert {method for method, *_ in server.asked} == {"POST", "PUT"}
    assert flaws[0].startswith("Line 5, column 25: `http.send` is refused.")
    assert flaws[1].startswith("Line 3, column 10: A policy sees no `data`")
    assert flaws[2].startswith("Line 3, column 25: `http.send` is refused.")


def test_the_server_is_asked_with_the_token_and_gets_the_input_only(pool: Pool) -> None:
    answer = {"result": {"allow": [True], "deny": [], "require_approval": [], "obligations": []}}
    with served(lambda h: h.say(200, json.dumps(answer).encode())) as server:
        verdict = engine_at(server.url, pool, "secret").evaluate([text(ALLOW)], INVOKE)
    assert verdict.result == "allow"
    ((method, path, authorization, body),) = server.asked
    digest = text(ALLOW).digest
    assert method == "POST" and authorization == "Bearer secret"
    assert path == (
        f"/v1/data/policies/{digest}/mandate_answer/document?strict-builtin-errors=true"
    )
    assert json.loads(body) == {"input": INVOKE}


def test_what_only_opa_finds_is_a_flaw(opa: RegoEngine) -> None:
    rule = 'allow if {\n    false\n    upper(7) == "A"\n}\n'
    (flaw,) = opa.find_flaws(f"package mandate\n\n{rule}")
    assert (flaw.line, flaw.message) == (5, "Upper: invalid argument(s).")


def test_a_field_has_any_name(asked: RegoEngine) -> None:
    """What looks like the package in the midst of a text is none."""
    rule = "deny contains d.mandate_x if d := input.data.mandate\n"
    other = "deny contains mandate_x if {\n    input.package\n    mandate_x\n}\n"
    other += "\nmandate_x := input.y\n"
    given = {**INVOKE, "data": {"mandate": {"mandate_x": "x"}}, "package": True, "y": "y"}
    verdict = asked.evaluate([text(f"{ALLOW}\n{rule}\n{other}")], given)
    assert verdict.reasons == ("x", "y")


def test_a_text_is_moved_into_a_package_of_its_own() -> None:
    rego = """# package mandate
package mandate

import data.mandate

said := "data.mandate and \\"package mandate" # data.mandate

raw := `package mandate`

x := data.mandate.y

z := data.mandate_test

said if { input.data.mandate; input.package
    mandate_x }
"""
    assert (
        moved(rego, "d1")
        == """# package mandate
package policies["d1"].mandate

import data.policies["d1"].mandate

said := "data.mandate and \\"package mandate" # data.mandate

raw := `package mandate`

x := data.policies["d1"].mandate.y

z := data.mandate_test

said if { input.data.mandate; input.package
    mandate_x }
"""
    )


@pytest.mark.parametrize(
    ("url", "token", "found"),
    [
        ("", "", []),
        ("http://opa:8181", "", []),
        ("https://opa.example.com/prefix", "t", []),
        ("opa:8181", "", ["mandate.E020"]),
        ("http://user@opa", "", ["mandate.E020"]),
        ("http://opa?x=1", "", ["mandate.E020"]),
        ("", "t", ["mandate.E021"]),
    ],
)
def test_settings_that_contradict_each_other_are_found(
    settings: Any, url: str, token: str, found: list[str]
) -> None:
    settings.OPA_URL, settings.OPA_TOKEN = url, token
    assert [message.id for message in checks.check_engine(None)] == found


def test_the_setting_names_the_engine(
    settings: Any, monkeypatch: pytest.MonkeyPatch, opa_url: str
) -> None:
    for url, kind in (("", Children), (opa_url, OpaServer)):
        settings.OPA_URL = url
        monkeypatch.setattr(door, "_made", None)
        assert type(door._shared().evaluator) is kind
        checks.ask_engine()
        door._shared().pool.close()


def test_an_engine_that_does_not_answer_is_told_by_readiness(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OPA_URL = "http://127.0.0.1:1"
    monkeypatch.setattr(door, "_made", None)
    with pytest.raises(checks.DownError, match="can't be reached"):
        checks.ask_engine()
    door._shared().pool.close()
