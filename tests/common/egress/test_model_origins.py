"""Where operators have models of their own: there, by requests to models, and nowhere else."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from apps.common.egress import EgressRefused
from config import env

INSIDE = "10.0.0.5"
ORIGINS = frozenset({("http", INSIDE, 8000), ("http", "models.internal", 8000)})
HERE = f"http://{INSIDE}:8000/v1"


def get(client, url, **options):
    return client.request("GET", url, scope="acme", **{"to_model": True, **options})


@pytest.mark.parametrize("url", [HERE, "http://models.internal:8000/v1"])
def test_a_request_to_a_model_goes_where_operators_say(client, edge, names, sentinel, url):
    names.script = {"models.internal": [[INSIDE]]}
    caller = client(model_origins=ORIGINS)
    caller.check(url, to_model=True)
    assert get(caller, url).content == b"internal"
    with caller.stream("GET", url, scope="acme", to_model=True) as answer:
        assert b"".join(answer) == b"internal"
    assert set(edge.dialled) == {INSIDE} and sentinel.settled() == 2


def test_any_other_request_does_not(client, edge, sentinel):
    caller = client(model_origins=ORIGINS)
    for call in (
        lambda: get(caller, HERE, to_model=False, allow_http=True),
        lambda: caller.stream("GET", HERE, scope="acme", allow_http=True),
        lambda: caller.check(HERE, allow_http=True),
        lambda: get(client(), HERE, allow_http=True),
    ):
        with pytest.raises(EgressRefused):
            call()
    assert (edge.dialled, sentinel.settled()) == ([], 0)


@pytest.mark.parametrize(
    "url",
    [
        f"http://{INSIDE}:8001/v1",
        f"http://{INSIDE}/v1",
        "http://10.0.0.6:8000/v1",
        "http://other.internal:8000/v1",
        f"http://user@{INSIDE}:8000/v1",
        f"http://{INSIDE}:8000@10.0.0.6/v1",
    ],
)
def test_nothing_beside_it_may_be_called(client, edge, sentinel, url):
    caller = client(model_origins=ORIGINS)
    with pytest.raises(EgressRefused):
        get(caller, url)
    with pytest.raises(EgressRefused):
        caller.check(url, to_model=True)
    assert (edge.dialled, sentinel.settled()) == ([], 0)


def test_it_vouches_for_no_place_that_it_redirects_to(client, edge, sentinel):
    edge.public_addresses = {INSIDE}  # our page that redirects
    there = f"http://{INSIDE}:8000/to?http://10.0.0.6:8000/"
    with pytest.raises(EgressRefused):
        get(client(model_origins=ORIGINS), there, follow=2)
    assert (edge.dialled, sentinel.settled()) == ([INSIDE], 0)


def test_the_list_is_read_strictly(monkeypatch):
    monkeypatch.setenv("MODEL_ORIGINS", "http://10.0.0.5:8000, https://Models.internal")
    assert env.origins("MODEL_ORIGINS") == [
        ("http", "10.0.0.5", 8000),
        ("https", "models.internal", 443),
    ]
    for wrong in ("10.0.0.5:8000", "http://", "ftp://a", "http://a/v1", "http://u@a", "http://a:x"):
        monkeypatch.setenv("MODEL_ORIGINS", wrong)
        with pytest.raises(ImproperlyConfigured, match="MODEL_ORIGINS"):
            env.origins("MODEL_ORIGINS")
