"""The home: private files, one supervisor, secrets that stay."""

import base64
import os
import stat

import pytest

from config.local.home import Home, HomeInUse, instance_env, owner_env, write_instance


def modes(home: Home) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.path.iterdir()}


def written(home: Home, **environ: str) -> dict[str, str]:
    return write_instance(
        home,
        database_url="postgresql://mandate_app:a@127.0.0.1:1/mandate",
        owner_url="postgresql://mandate_owner:o@127.0.0.1:1/mandate",
        redis_url="redis://:r@127.0.0.1:2/0",
        environ=environ,
    )


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path / "home").create()


def test_everything_in_a_home_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        home = Home(tmp_path / "home").create()
        written(home)
        with home.lock():
            pass
    finally:
        os.umask(before)

    assert modes(home) == {
        "mail": 0o700,
        "media": 0o700,
        "log": 0o700,
        "instance.json": 0o600,
        "owner.json": 0o600,
        "lock": 0o600,
    }
    # Root's Postgres runs as nobody, who passes through but can't list.
    assert stat.S_IMODE(home.path.stat().st_mode) == (0o711 if os.geteuid() == 0 else 0o700)


def test_the_instance_file_never_holds_the_owners_login(home):
    written(home)

    assert "mandate_owner" not in (home.path / "instance.json").read_text()
    assert owner_env(home.path) == {
        "DATABASE_OWNER_URL": "postgresql://mandate_owner:o@127.0.0.1:1/mandate"
    }


def test_secrets_made_at_the_first_start_stay(home):
    first = written(home, PORT="8001")
    second = written(home, PORT="8002")

    assert (second["SECRET_KEY"], second["MANDATE_KEK"]) == (
        first["SECRET_KEY"],
        first["MANDATE_KEK"],
    )
    assert len(base64.b64decode(first["MANDATE_KEK"], validate=True)) == 32
    assert (second["PORT"], second["PUBLIC_URL"]) == ("8002", "http://localhost:8002")
    assert instance_env(home.path) == second


def test_two_homes_share_no_secret(home, tmp_path):
    other = Home(tmp_path / "other").create()

    first, second = written(home), written(other)

    assert first["SECRET_KEY"] != second["SECRET_KEY"]
    assert first["MANDATE_KEK"] != second["MANDATE_KEK"]


def test_the_environment_wins_over_what_was_made(home):
    written(home)

    instance = written(home, SECRET_KEY="s" * 50, MANDATE_KEK="k", PUBLIC_URL="https://m.example")

    assert instance["SECRET_KEY"] == "s" * 50
    assert instance["MANDATE_KEK"] == "k"
    assert instance["PUBLIC_URL"] == "https://m.example"


def test_a_home_that_never_started_says_nothing(tmp_path):
    assert instance_env(tmp_path / "none") == {}
    assert owner_env(tmp_path / "none") == {}


def test_the_home_is_named_by_mandate_home(tmp_path, monkeypatch):
    monkeypatch.setenv("MANDATE_HOME", str(tmp_path / "here"))

    assert Home.of().path == tmp_path / "here"
    assert Home.of(tmp_path / "there").path == tmp_path / "there"


def test_a_second_supervisor_is_refused_and_told_who_serves(home):
    served = pytest.raises(HomeInUse, match=f"already served by process {os.getpid()}")
    with home.lock(), served, home.lock():
        raise AssertionError("two supervisors on one home")

    with home.lock():  # and once the first has ended, the home is free again
        pass


def test_a_write_that_fails_leaves_the_old_file(home):
    home.write("instance.json", {"PORT": "8000"})

    with pytest.raises(TypeError):
        home.write("instance.json", {"PORT": object()})

    assert home.read("instance.json") == {"PORT": "8000"}
    assert [path.name for path in home.path.glob(".instance*")] == []
