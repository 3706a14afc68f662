"""One key, one effect: at once, later, after a crash; and what a key must not be used for."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone

from apps.orgs.models import ApiKey, IdempotencyRecord, Project
from apps.orgs.services import idempotency, projects
from apps.orgs.services.idempotency import Answer, Claim
from apps.tenants import keys
from tests.orgs.conftest import AT, Api, owner_of, problem, token_for

BODY = {"name": "Once", "tags": ["a"]}


def made(name: str = "Once") -> int:
    return Project.objects.filter(name=name).count()


def test_a_repeat_gets_the_same_answer_and_has_no_second_effect(api: Api, org: Any) -> None:
    first = api.post("/projects", BODY, Idempotency_Key="k1")
    again = api.post("/projects", {"tags": ["a"], "name": "Once"}, Idempotency_Key="k1")

    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert first["ETag"] == again["ETag"]
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"
    assert made() == 1


def test_without_a_key_or_with_another_there_is_a_second_effect(api: Api, org: Any) -> None:
    for headers in ({}, {}, {"Idempotency_Key": "k1"}, {"Idempotency_Key": "k2"}):
        assert api.post("/projects", BODY, **headers).status_code == 201
    assert made() == 4


@pytest.mark.parametrize(
    ("path", "body"), [("/projects", {"name": "Other"}), ("/keys", {"name": "Once"})]
)
def test_a_key_belongs_to_one_request(api: Api, org: Any, path: str, body: Any) -> None:
    api.post("/projects", BODY, Idempotency_Key="k1")
    before = (Project.objects.count(), ApiKey.objects.count())

    answer = api.post(path, body, Idempotency_Key="k1")

    assert problem(answer) == (422, "idempotency_key_reused")
    assert (Project.objects.count(), ApiKey.objects.count()) == before


def test_two_principals_may_use_the_same_key(api_as: Any, org: Any) -> None:
    for client in (api_as("member"), api_as("member")):
        assert client.post("/projects", BODY, Idempotency_Key="k1").status_code == 201
    assert made() == 2


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "tab\t"])
def test_a_key_out_of_its_grammar_is_refused(api: Api, org: Any, key: str) -> None:
    assert problem(api.post("/projects", BODY, Idempotency_Key=key)) == (400, "bad_request")
    assert made() == 0


def test_the_longest_key_will_do(api: Api, org: Any) -> None:
    assert api.post("/projects", BODY, Idempotency_Key="~" * 255).status_code == 201


def test_a_refused_request_stores_nothing_and_may_be_tried_again(api: Api, org: Any) -> None:
    assert problem(api.post("/projects", {"name": ""}, Idempotency_Key="k1")) == (422, "invalid")
    assert IdempotencyRecord.objects.count() == 0
    assert api.post("/projects", BODY, Idempotency_Key="k1").status_code == 201


def test_a_token_is_given_again_but_stands_nowhere_in_clear(api: Api, org: Any) -> None:
    first = api.post("/keys", {"name": "CI"}, Idempotency_Key="k1")
    again = api.post("/keys", {"name": "CI"}, Idempotency_Key="k1")

    token = first.json()["token"]
    assert again.json()["token"] == token
    assert ApiKey.objects.filter(name="CI").count() == 1
    (row,) = IdempotencyRecord.objects.values()
    assert token.encode() not in bytes(row["sealed_body"])
    assert token not in str(row)


def test_an_answer_does_not_open_in_another_record(api: Api, org: Any) -> None:
    from apps.trust.errors import SecretUnreadable

    api.post("/keys", {"name": "A"}, Idempotency_Key="a")
    api.post("/keys", {"name": "B"}, Idempotency_Key="b")
    a, b = IdempotencyRecord.objects.order_by("key")
    assert b"A" in idempotency._open(a).body
    b.nonce, b.sealed_body = a.nonce, a.sealed_body
    with pytest.raises(SecretUnreadable):
        idempotency._open(b)


def test_an_answer_opens_after_the_master_key_was_changed(
    api: Api, org: Any, settings: Any
) -> None:
    first = api.post("/projects", BODY, Idempotency_Key="k1")
    settings.MANDATE_KEK, settings.MANDATE_KEK_PREVIOUS = b"n" * 32, [settings.MANDATE_KEK]
    assert api.post("/projects", BODY, Idempotency_Key="k1").content == first.content


def test_answers_are_kept_for_a_day(api: Api, org: Any) -> None:
    api.post("/projects", BODY, Idempotency_Key="old")
    api.post("/projects", BODY, Idempotency_Key="older")
    rows = IdempotencyRecord.objects.filter(key__startswith="old")
    rows.update(created_at=timezone.now() - idempotency.LIFE)
    assert api.post("/projects", {"name": "New"}, Idempotency_Key="old").status_code == 201

    idempotency.expire_idempotency(timezone.now())
    assert [row.key for row in IdempotencyRecord.objects.all()] == ["old"]
    idempotency.expire_idempotency(timezone.now() + idempotency.LIFE - timedelta(minutes=1))
    assert IdempotencyRecord.objects.count() == 1


def claim_of(org: Any, key: str = "k") -> Claim:
    return Claim(org_id=org.id, principal="user:mem_1", key=key, fingerprint=b"f" * 32)


def test_a_crash_leaves_nothing_and_the_retry_works(throwaway_org: Any) -> None:
    """The handler has done its work, then the process fails before the commit."""
    org = throwaway_org()
    owner = owner_of(org)

    def work() -> Answer:
        projects.create_project(name="Once", actor=owner.actor, at=AT)
        return Answer(201, {}, b"{}")

    def crash() -> Answer:
        work()
        raise RuntimeError("the process is gone")

    with keys.holding(org.schema, org.id):
        with pytest.raises(RuntimeError):
            idempotency.answer_once(claim=claim_of(org), produce=crash, at=AT)
        assert (made(), IdempotencyRecord.objects.count()) == (0, 0)

        answer, replayed = idempotency.answer_once(claim=claim_of(org), produce=work, at=AT)
        assert (answer.status, replayed, made()) == (201, False, 1)
        assert idempotency.answer_once(claim=claim_of(org), produce=crash, at=AT)[1] is True
        assert made() == 1


def test_an_answer_that_is_an_error_takes_its_changes_back(throwaway_org: Any) -> None:
    org = throwaway_org()
    owner = owner_of(org)

    def fail() -> Answer:
        projects.create_project(name="Once", actor=owner.actor, at=AT)
        return Answer(409, {}, b"{}")

    with keys.holding(org.schema, org.id):
        answer, _ = idempotency.answer_once(claim=claim_of(org), produce=fail, at=AT)
        assert (answer.status, made(), IdempotencyRecord.objects.count()) == (409, 0, 0)


def test_while_the_first_is_under_way_a_repeat_is_told_so(throwaway_org: Any) -> None:
    org = throwaway_org()
    owner = owner_of(org)
    api = Api(token_for(org, owner))
    who = api.get("/me").json()["principal"]
    claim = Claim(
        org_id=org.id,
        principal=f"{who['type']}:{who['id']}",
        key="k1",
        fingerprint=idempotency.fingerprint_of("POST", "/v1/projects", BODY),
    )
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with keys.holding(org.schema, org.id), transaction.atomic():
            assert idempotency._try_lock(claim)
            held.set()
            done.wait(30)
        connections.close_all()

    first = threading.Thread(target=hold)
    first.start()
    assert held.wait(30)
    refused = api.post("/projects", BODY, Idempotency_Key="k1")
    other = api.post("/projects", BODY, Idempotency_Key="k2")
    done.set()
    first.join(30)

    assert problem(refused) == (409, "idempotency_in_flight")
    assert other.status_code == 201
    assert api.post("/projects", BODY, Idempotency_Key="k1").status_code == 201
    with keys.holding(org.schema, org.id):
        assert made() == 2


def test_a_hundred_at_once_make_one_project(throwaway_org: Any, capsys: Any) -> None:
    org = throwaway_org()
    token = token_for(org, owner_of(org))
    gate, answers = threading.Barrier(20), []

    def ask() -> None:
        api = Api(token)
        gate.wait(30)
        for _ in range(5):
            answers.append(api.post("/projects", BODY, Idempotency_Key="the-one"))
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    statuses = Counter(answer.status_code for answer in answers)
    with capsys.disabled():
        print(f"\nidempotency: 100 at once: {dict(statuses)}")
    assert statuses[201] >= 1
    assert statuses[201] + statuses[409] == 100
    bodies = {answer.content for answer in answers if answer.status_code == 201}
    fresh = [a for a in answers if a.status_code == 201 and "Idempotent-Replayed" not in a]
    assert (len(bodies), len(fresh)) == (1, 1)
    with keys.holding(org.schema, org.id):
        assert (made(), IdempotencyRecord.objects.count()) == (1, 1)
