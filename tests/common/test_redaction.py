from __future__ import annotations

import json
import logging
from uuid import UUID

import pytest
import structlog

from apps.common.logging import json_formatter
from apps.common.redaction import REDACTED, redact, redact_text

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLWJ5dGVz"
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIHsecret\nhunter2\n-----END EC PRIVATE KEY-----"

# (text, what must be gone, what must stay)
CORPUS = [
    ("key mnd_live_hunter2hunter2 refused", "hunter2", "refused"),
    ("mnd_k1.hunter2", "hunter2", "mnd_"),
    ("Authorization: Bearer hunter2hunter2", "hunter2", "Authorization"),
    ("authorization: Basic b3duZXI6aHVudGVyMg==", "b3duZXI6aHVudGVyMg", "authorization"),
    ("{'Authorization': 'Bearer hunter2hunter2', 'Accept': '*/*'}", "hunter2", "Accept"),
    ("sent bearer hunter2hunter2 to it", "hunter2", "to it"),
    ("Cookie: mandate-8000=hunter2; theme=hunter2\nHost: x", "hunter2", "Host: x"),
    ("Set-Cookie: __Host-mandate=hunter2; Path=/", "hunter2", "Set-Cookie"),
    ('"cookie": "mandate=hunter2"', "hunter2", "cookie"),
    ("GET /session?ticket=hunter2&next=/runs/ 200", "hunter2", "next=/runs/"),
    ("GET /cb?code=hunter2&state=hunter2 HTTP/1.1", "hunter2", "HTTP/1.1"),
    ("GET /x?api_key=hunter2", "hunter2", "GET /x"),
    ("GET /x?page=2&access_token=hunter2#frag", "hunter2", "page=2"),
    (
        "postgresql://mandate_app:hunter2@db.internal:5432/mandate",
        "hunter2",
        "db.internal:5432/mandate",
    ),
    ("postgres://u:hun@ter2@db/x failed", "ter2", "db/x failed"),
    ("redis://:hunter2@valkey:6379/0", "hunter2", "valkey:6379/0"),
    ("rediss://default:hunter2@valkey", "hunter2", "valkey"),
    ("amqp://guest:hunter2@mq//", "hunter2", "mq//"),
    ("smtp://me:hunter2@mail:587", "hunter2", "mail:587"),
    ("https://x:hunter2@git.example/repo.git", "hunter2", "git.example"),
    ("host=db user=app password=hunter2 dbname=m", "hunter2", "dbname=m"),
    ("host=db password='hun ter2' dbname=m", "ter2", "dbname=m"),
    ('{"password": "hunter2", "email": "a@b.example"}', "hunter2", "a@b.example"),
    ('{"password": "hun\\"ter2", "email": "a@b.example"}', "ter2", "a@b.example"),
    ('{\\"password\\": \\"hunter2\\", \\"n\\": 1}', "hunter2", "n"),
    ("{'new_password1': 'hunter2', 'plan': 'free'}", "hunter2", "free"),
    ("password: hunter2", "hunter2", "password"),
    ("passphrase=hunter2", "hunter2", "passphrase"),
    ("client_secret=hunter2&grant_type=x", "hunter2", "grant_type=x"),
    ("SECRET_KEY=hunter2", "hunter2", "SECRET_KEY"),
    ("MANDATE_KEK=aHVudGVyMg==", "aHVudGVyMg", "MANDATE_KEK"),
    ("STRIPE_API_KEY=hunter2", "hunter2", "STRIPE_API_KEY"),
    ("refresh_token=hunter2", "hunter2", "refresh_token"),
    ("id-token: hunter2", "hunter2", "id-token"),
    ("X-Api-Key: hunter2", "hunter2", "X-Api-Key"),
    ("csrfmiddlewaretoken=hunter2&name=x", "hunter2", "name=x"),
    ("sessionid=hunter2; other=1", "hunter2", "other=1"),
    ("otp=123456 for mem_1", "123456", "mem_1"),
    (f"jws {JWT} rejected", JWT, "rejected"),
    (f"id_token={JWT}", "c2lnbmF0dXJl", "id_token"),
    (PEM, "hunter2", ""),
    (PEM.replace("\n", "\\n"), "hunter2", ""),
    (PEM.partition("-----END")[0], "hunter2", ""),
    ("stripe sk_test_51Hhunter2hunter2 said no", "hunter2", "said no"),
    ("whsec_hunter2hunter2", "hunter2", ""),
    ("openai sk-proj-hunter2hunter2hunter2", "hunter2", "openai"),
    ("ghp_hunter2hunter2hunter2hunter2", "hunter2", ""),
    ("AKIAHUNTER2HUNTER222", "HUNTER2", ""),
    ("vault hvs.hunter2hunter2hunter2", "hunter2", "vault"),
]

HARMLESS = [
    "Not Found: /v1/projects",
    "GET /v1/runs?project=support&status=failed&limit=50",
    "https://acme.localhost:8000/agents/?project=support",
    "https://example.com:8443/a@b",
    "mail to owner@acme.example at 12:30",
    "error code=404, retry in 5 s",
    "prj_0190f7c26d1e7b5a9c3e2f4b6a8d0e11 by mem_0190f7c26d1e7b5a9c3e2f4b6a8d0e12",
    "the basic plan; a bearer of news",
    "tokens used: 512 of 1000",
    "apps.orgs.services.keys.create_key took 3 ms",
    "policy `no secrets in prompts` denied",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
]


@pytest.mark.parametrize(("text", "gone", "kept"), CORPUS)
def test_a_secret_in_a_text_is_taken_out_and_the_rest_stays(text, gone, kept):
    clean = redact_text(text)
    assert gone not in clean
    assert kept in clean
    assert REDACTED in clean


@pytest.mark.parametrize("text", HARMLESS)
def test_a_text_without_a_secret_stays_as_it_is(text):
    assert redact_text(text) == text


@pytest.mark.parametrize("text", [text for text, _, _ in CORPUS])
def test_redacting_twice_changes_nothing_more(text):
    assert redact_text(redact_text(text)) == redact_text(text)


@pytest.mark.parametrize(
    "name",
    [
        *("password", "new_password1", "token", "access_token", "idToken_secret", "Authorization"),
        *("Set-Cookie", "cookies", "ticket", "api_key", "X-Api-Key", "private_key", "kek"),
        *("client_secret", "secret_value", "session_key", "sessionid", "recovery_codes", "totp"),
        *("csrfmiddlewaretoken", "credential", "credentials", "token_hash"),
    ],
)
def test_a_value_under_a_secrets_name_is_taken_out_whatever_it_is(name):
    for value in ("hunter2", b"hunter2", ["hunter2"], {"a": "hunter2"}, 123456):
        assert redact(value, name) == REDACTED


@pytest.mark.parametrize(
    "name",
    [
        "token_count",
        "tokens",
        "key_id",
        "keyset",
        "event",
        "author",
        "secretary",
        "token_expires_at",
    ],
)
def test_a_name_that_only_looks_like_one_is_left_alone(name):
    assert redact(12, name) == 12


def test_absence_stays_visible():
    assert redact({"password": None, "token": ""}) == {"password": None, "token": ""}


def test_every_depth_and_every_type_is_looked_into():
    class Opaque:
        def __repr__(self):
            return "<Opaque password=hunter2>"

    value = {
        "a": [{"b": ("x", {"password": "hunter2"})}, b"Bearer hunter2hunter2"],
        "o": Opaque(),
        "id": UUID(int=1),
        "n": 1.5,
    }
    clean = redact(value)
    assert "hunter2" not in json.dumps(clean)
    assert clean["id"] == "00000000-0000-0000-0000-000000000001"
    assert clean["n"] == 1.5


@pytest.fixture
def line():
    """Log one event through the real formatter and read the line back."""
    formatter = json_formatter()

    def log(level, message, *args, **kwargs):
        logger = logging.getLogger("elsewhere")
        record = logger.makeRecord(
            "elsewhere", level, __file__, 1, message, args, kwargs.get("exc_info")
        )
        return json.loads(formatter.format(record))

    return log


def test_a_librarys_arguments_are_redacted_and_carry_the_request(line):
    with structlog.contextvars.bound_contextvars(request_id="r1", org="acme", principal="mem_1"):
        found = line(logging.WARNING, "could not connect to %s", "redis://:hunter2@x:1/0")
    assert found["event"] == f"could not connect to redis://:{REDACTED}@x:1/0"
    assert (found["request_id"], found["org"], found["principal"]) == ("r1", "acme", "mem_1")
    assert (found["level"], found["logger"]) == ("warning", "elsewhere")


def test_a_traceback_is_redacted_and_shows_no_locals(line):
    local_secret = "only-in-a-local"
    try:
        raise ValueError("postgresql://u:hunter2@db/x", len(local_secret))
    except ValueError as error:
        found = line(logging.ERROR, "failed", exc_info=(type(error), error, error.__traceback__))
    assert "ValueError" in found["exception"]
    assert "hunter2" not in json.dumps(found)


def test_a_line_is_one_line(line):
    formatted = line(logging.INFO, "first\nsecond")
    assert formatted["event"] == "first\nsecond"
