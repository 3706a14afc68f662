"""The embedded Valkey: a password on the loopback address, nothing on disk."""

import pytest
import redis

from config.local.home import Home
from config.local.valkey import EmbeddedValkey


@pytest.fixture
def valkey(tmp_path):
    with EmbeddedValkey(tmp_path / "home") as server:
        yield server


def test_it_answers_to_the_password_alone(valkey):
    with redis.Redis.from_url(valkey.url) as client:
        assert client.ping() is True
    password = valkey.home.read("valkey.json")["password"]

    for url in (valkey.url.replace(password, "wrong"), valkey.url.replace(f":{password}@", "")):
        with redis.Redis.from_url(url) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.set("k", "v")
    with redis.Redis.from_url(valkey.url) as client:
        assert client.get("k") is None


def test_it_listens_on_the_loopback_address_alone(valkey):
    with redis.Redis.from_url(valkey.url) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_a_restart_keeps_the_address_and_forgets_the_rest(valkey):
    with redis.Redis.from_url(valkey.url) as client:
        client.set("k", "v")
    url, before = valkey.url, sorted(path.name for path in valkey.home.path.iterdir())

    valkey.stop()
    valkey.start()

    assert valkey.url == url
    with redis.Redis.from_url(valkey.url) as client:
        assert client.dbsize() == 0
    assert sorted(path.name for path in valkey.home.path.iterdir()) == before


def test_its_files_are_private_and_its_arguments_hold_no_password(valkey):
    home: Home = valkey.home
    for name in ("valkey.json", "valkey.conf"):
        assert (home.path / name).stat().st_mode & 0o777 == 0o600
    assert home.read("valkey.json")["password"] not in " ".join(map(str, valkey.process.args))
