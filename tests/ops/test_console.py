"""The one stream of output: prefixed, logged, and never in the way."""

import os

import pytest

from config.local.console import PIPE_BUF, Console


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        try:
            os.close(end)
        except OSError:
            continue


def test_each_line_carries_its_process(tmp_path, pipe):
    console = Console(tmp_path / "run.log", fd=pipe[1])

    console.say("web", "one\ntwo")
    console.print("three")

    expected = "web         | one\nweb         | two\nthree\n"
    assert os.read(pipe[0], 1000).decode() == expected
    assert (tmp_path / "run.log").read_text() == expected


def test_lines_that_nobody_reads_are_counted_and_kept_in_the_log(tmp_path, pipe):
    console = Console(tmp_path / "run.log", fd=pipe[1])

    for _ in range(2000):
        console.say("web", "x" * 100)
    dropped = console.dropped
    assert dropped > 0
    while len(os.read(pipe[0], 65536)) == 65536:
        pass
    console.say("web", "read again")

    printed = os.read(pipe[0], 65536).decode()
    assert f"… {dropped} lines went to the log file only\nweb         | read again\n" in printed
    assert len((tmp_path / "run.log").read_text().splitlines()) == 2001


def test_a_line_longer_than_a_pipe_takes_at_once_arrives_whole(tmp_path, pipe):
    console = Console(tmp_path / "run.log", fd=pipe[1])

    console.say("web", "y" * (3 * PIPE_BUF))

    assert os.read(pipe[0], 65536).decode() == f"web         | {'y' * (3 * PIPE_BUF)}\n"


def test_a_reader_that_went_away_is_no_error(tmp_path, pipe):
    console = Console(tmp_path / "run.log", fd=pipe[1])
    os.close(pipe[0])

    console.say("web", "one")
    console.say("web", "two")

    assert console.closed
    assert (tmp_path / "run.log").read_text() == "web         | one\nweb         | two\n"
