from __future__ import annotations

import threading
import uuid

import pytest
import redis
from prometheus_client import REGISTRY

from apps.common import ratelimit, valkey
from apps.common.ratelimit import Limiter, Policy, Verdict
from tests.common.conftest import bearer

THREE = Policy("default", quota=3, window=60)


@pytest.fixture
def limiter(valkey_url):
    client = redis.Redis.from_url(valkey_url)
    yield Limiter(lambda: client)
    client.close()


@pytest.fixture
def who():
    return f"acme:{uuid.uuid4()}"


def count(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0


def test_a_rate_is_read_as_people_write_it():
    assert Policy.parse("x", "600/minute") == Policy("x", 600, 60)
    assert Policy.parse("x", "20 per 10 seconds") == Policy("x", 20, 10)
    with pytest.raises(ValueError, match="couldn't parse"):
        Policy.parse("x", "a lot")


def test_a_quota_is_spent_one_by_one_and_then_refused(limiter, who):
    verdicts = [limiter.spend(THREE, who) for _ in range(5)]
    assert [v.allowed for v in verdicts] == [True, True, True, False, False]
    assert [v.remaining for v in verdicts] == [2, 1, 0, 0, 0]
    assert all(1 <= v.reset <= 61 for v in verdicts)


def test_one_caller_does_not_spend_anothers(limiter, who):
    for _ in range(4):
        limiter.spend(THREE, who)
    assert limiter.spend(THREE, who).allowed is False
    assert limiter.spend(THREE, f"{who}-other").allowed is True
    assert limiter.spend(Policy("burst", 3, 60), who).allowed is True


def test_a_quota_comes_back_with_time(limiter, who):
    """The window's age is set on the keys, so the test needs no waiting."""
    client = limiter._client()
    for _ in range(3):
        limiter.spend(THREE, who)
    assert limiter.spend(THREE, who).allowed is False
    client.pexpire(f"rate:{{default:{who}}}", 10_000)  # turned 50 s ago: 10 of 60 s still weigh
    verdict = limiter.spend(THREE, who)
    assert (verdict.allowed, verdict.remaining) == (True, 2)


@pytest.mark.parametrize(
    ("before", "before_ms", "now", "now_ms", "remaining", "reset"),
    [
        (0, 0, 1, 120_000, 2, 61),  # a window that has just begun
        (0, 0, 3, 90_000, 0, 31),  # full: it turns in 30 s, then starts to fade
        (3, 60_000, 0, 120_000, 0, 1),  # the whole old window weighs, and fades at once
        (3, 30_000, 1, 90_000, 1, 1),  # half of it weighs: one free already
        (6, 60_000, 0, 120_000, 0, 30),  # twice the quota: half must fade first
        (3, 40_000, 2, 100_000, 0, 20),
    ],
)
def test_what_is_left_and_when_there_is_more(before, before_ms, now, now_ms, remaining, reset):
    verdict = ratelimit._judge(THREE, True, before, before_ms, now, now_ms)
    assert (verdict.remaining, verdict.reset) == (remaining, reset)


def test_the_headers_are_structured_fields():
    assert Verdict(THREE, True, 2, 31).headers == {
        "RateLimit-Policy": '"default";q=3;w=60',
        "RateLimit": '"default";r=2;t=31',
    }


def test_spending_is_one_round_trip(limiter, who, monkeypatch):
    limiter.spend(THREE, who)
    sent = []
    original = redis.Connection.send_packed_command
    monkeypatch.setattr(
        redis.Connection,
        "send_packed_command",
        lambda self, *a, **k: (sent.append(1), original(self, *a, **k))[1],
    )
    limiter.spend(THREE, who)
    assert len(sent) == 1


@pytest.fixture
def asked(monkeypatch):
    """How many requests each round trip had counted."""
    amounts, really = [], ratelimit._evaluate

    def evaluate(client, keys, policy, amount):
        amounts.append(amount)
        return really(client, keys, policy, amount)

    monkeypatch.setattr(ratelimit, "_evaluate", evaluate)
    return amounts


def stopped(limiter):
    """The same limiter with a clock that is set by hand."""
    now = [100.0]
    return now, Limiter(limiter._client, clock=lambda: now[0])


def test_a_fast_caller_far_from_its_limit_is_counted_by_the_handful(limiter, who, asked):
    _, limiter = stopped(limiter)
    many = Policy("default", quota=1000, window=60)
    verdicts = [limiter.spend(many, who) for _ in range(40)]
    assert [v.remaining for v in verdicts] == list(range(999, 959, -1))
    assert all(v.allowed for v in verdicts)
    assert asked == [1, 16, 16, 16]
    counted = int(limiter._client().get(f"rate:{{default:{who}}}"))
    assert counted == sum(asked) >= len(verdicts)


def test_a_slow_caller_is_counted_one_by_one(limiter, who, asked):
    now, limiter = stopped(limiter)
    many = Policy("default", quota=1000, window=60)
    for _ in range(4):
        limiter.spend(many, who)
        now[0] += 0.3
    assert asked == [1, 1, 1, 1]


def test_a_handful_is_not_used_later(limiter, who, asked):
    now, limiter = stopped(limiter)
    many = Policy("default", quota=1000, window=60)
    told = [limiter.spend(many, who).remaining for _ in range(3)]
    now[0] += 0.3
    told.append(limiter.spend(many, who).remaining)
    assert (told, asked) == ([999, 998, 997, 982], [1, 16, 1])


@pytest.mark.parametrize("quota", [40, 100, 700])
def test_no_limiter_among_many_lets_more_through_than_the_quota(limiter, who, quota):
    limiters = [stopped(limiter)[1] for _ in range(4)]
    policy = Policy("default", quota=quota, window=60)
    passed = sum(limiters[n % 4].spend(policy, who).allowed for n in range(2 * quota))
    assert quota * 7 // 8 <= passed <= quota


@pytest.mark.parametrize("quota", [40, 700])
def test_nor_do_threads_of_many_that_ask_at_once(limiter, who, quota):
    """As processes do: three limiters that know nothing of each other, each asked by four."""
    policy, passed = Policy("default", quota=quota, window=60), []

    def ask(own):
        for _ in range(quota // 4):
            passed.append(own.spend(policy, who).allowed)

    limiters = [stopped(limiter)[1] for _ in range(3)]
    threads = [threading.Thread(target=ask, args=(limiters[n % 3],)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = int(limiter._client().get(f"rate:{{default:{who}}}"))
    assert len(passed) == 3 * quota
    assert quota * 3 // 4 <= sum(passed) <= counted <= quota


def test_where_no_handful_is_left_one_request_is_asked_for(limiter, who, asked):
    _, limiter = stopped(limiter)
    policy = Policy("default", quota=128, window=60)
    limiter.spend(policy, who)
    for _ in range(126):
        limiter._ask(policy, ("default", who), 1)
    del asked[:]
    verdicts = [limiter.spend(policy, who) for _ in range(2)]
    assert [(v.allowed, v.remaining) for v in verdicts] == [(True, 0), (False, 0)]
    assert asked == [3, 1, 1]


def test_another_limit_for_the_same_caller_counts_at_once(limiter, who):
    _, limiter = stopped(limiter)
    for _ in range(3):
        limiter.spend(Policy("default", quota=1000, window=60), who)
    assert limiter.spend(THREE, who).allowed is False


def test_a_flushed_valkey_learns_the_scripts_again(limiter, who):
    limiter.spend(THREE, who)
    limiter._client().script_flush()
    assert limiter.spend(THREE, who).remaining == 1


def test_without_valkey_everything_passes_with_a_warning_and_a_count(who, caplog):
    now = [100.0]
    asked = []

    def client():
        asked.append(1)
        return redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2, retry=None)

    limiter = Limiter(client, clock=lambda: now[0])
    before = count("mandate_rate_limit_store_failures_total")
    assert [limiter.spend(THREE, who) for _ in range(5)] == [None] * 5
    assert len(asked) == 1  # then it doesn't ask for a second
    now[0] += 1.1
    assert limiter.spend(THREE, who) is None
    assert len(asked) == 2
    assert count("mandate_rate_limit_store_failures_total") == before + 6
    assert [r.levelname for r in caplog.records] == ["WARNING", "WARNING"]


@pytest.fixture
def counted(settings, valkey_url):
    settings.REDIS_URL = valkey_url
    settings.API_RATE_LIMIT = "3/minute"
    settings.API_RATE_LIMIT_ANONYMOUS = "2/minute"
    ratelimit.default_limiter.cache_clear()
    yield
    ratelimit.default_limiter.cache_clear()


def test_a_key_is_told_its_limit_and_refused_beyond_it(api, counted):
    headers = bearer("doors.view", name=uuid.uuid4().hex)
    refused = count("mandate_rate_limited_total", policy="default")
    answers = [api.get("/v1/doors", headers=headers) for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert [a["RateLimit"].split(";")[1] for a in answers] == ["r=2", "r=1", "r=0", "r=0"]
    assert {a["RateLimit-Policy"] for a in answers} == {'"default";q=3;w=60'}
    document = answers[3].json()
    assert document["code"] == "rate_limited"
    assert answers[3]["Retry-After"] == str(document["retry_after"])
    assert count("mandate_rate_limited_total", policy="default") == refused + 1
    assert api.get("/v1/doors", headers=bearer("doors.view")).status_code == 200


def test_what_is_forbidden_or_wrong_is_counted_too(api, counted):
    headers = bearer("none", name=uuid.uuid4().hex)
    answers = [api.post("/v1/doors", {}, headers=headers) for _ in range(4)]
    assert [a.status_code for a in answers] == [403, 403, 403, 429]


def test_an_address_without_a_key_has_a_limit_of_its_own(api, counted):
    assert [api.get("/v1/open").status_code for _ in range(3)] == [200, 200, 429]
    assert api.get("/v1/open", REMOTE_ADDR=f"other-{uuid.uuid4()}").status_code == 200


def test_without_valkey_the_api_answers_and_says_nothing_of_limits(api, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    ratelimit.default_limiter.cache_clear()
    answer = api.get("/v1/open")
    ratelimit.default_limiter.cache_clear()
    assert answer.status_code == 200
    assert "RateLimit" not in answer


def test_a_valkey_scheme_is_read_as_the_same_protocol(settings):
    settings.REDIS_URL = "valkey://127.0.0.1:1/0"
    assert valkey.client().connection_pool.connection_kwargs["port"] == 1
