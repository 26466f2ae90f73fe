"""What a running trajectory has printed so far, as another process reads it."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from gridrun.directory import RUNNING
from gridrun.following import Logs, follow_log, read_log
from gridrun.outcome import Outcome, Output, Piece
from gridrun.output import RAW

NAME = "0123456789abcdef"


def ended(output: Output | None) -> Outcome:
    return Outcome(NAME, {}, [{"m": 1.0}], None, 1.0, output=output)


def read_on(following: Iterator[str]) -> str:
    """What has come since, up to where there is nothing new."""
    return "".join(iter(lambda: next(following, ""), ""))


def test_a_reader_gets_every_byte_once_up_to_the_end(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.add(Piece(NAME, 0, b""))
    following = follow_log(tmp_path, NAME)
    assert read_on(following) == ""
    logs.add(Piece(NAME, 0, "one \N{EURO SIGN}".encode()[:-1]))
    assert read_on(following) == "one "
    logs.add(Piece(NAME, 6, "\N{EURO SIGN}\ntwo\n".encode()[2:]))
    assert read_on(following) == "\N{EURO SIGN}\ntwo\n"
    logs.finish([ended(Output("", 18, "\N{EURO SIGN}\ntwo\nthree\n".encode()[3:]))])
    assert list(following) == ["three\n"]
    assert not (tmp_path / RUNNING).exists()


def test_what_was_printed_before_the_reader_came_is_read_first(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.add(Piece(NAME, 0, b"one\n"))
    assert next(follow_log(tmp_path, NAME)) == "one\n"
    assert read_log(tmp_path, NAME) == Output("one\n", 4)


def test_what_came_too_fast_to_be_written_is_told(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.add(Piece(NAME, 0, b"one\n"))
    logs.add(Piece(NAME, 1004, b"two\n"))
    following = follow_log(tmp_path, NAME)
    assert read_on(following) == "one\n\n[... 1,000 bytes left out ...]\ntwo\n"
    logs.finish([ended(Output("", 5008, b"end\n"))])
    assert "".join(following) == "\n[... 3,996 bytes left out ...]\nend\n"


def test_another_attempt_begins_another_file(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.add(Piece(NAME, 0, b"one, two\n"))
    first = follow_log(tmp_path, NAME)
    assert read_on(first) == "one, two\n"
    logs.add(Piece(NAME, 0, b"one\n"))
    assert list(first) == []
    assert read_log(tmp_path, NAME) == Output("one\n", 4)


def test_a_file_of_hours_stays_short_and_a_slow_reader_is_told_what_he_missed(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.add(Piece(NAME, 0, b"one\n"))
    following = follow_log(tmp_path, NAME)
    assert read_on(following) == "one\n"
    for number in range(20):
        logs.add(Piece(NAME, 4 + number * RAW, b"x" * (RAW - 1) + b"\n"))
    logs.add(Piece(NAME, 4 + 20 * RAW, b"two\n"))
    assert (tmp_path / RUNNING / f"{NAME}.log").stat().st_blocks * 512 <= 4 * RAW
    missed = "".join(islice(following, 400))
    assert missed.endswith("x\ntwo\n")
    assert missed.count(" bytes left out ...]\n") == 1
    assert "\0" not in missed


def test_what_a_killed_sweep_left_is_read_until_the_next_one_begins(tmp_path: Path) -> None:
    Logs(tmp_path).add(Piece(NAME, 0, b"one\n"))
    assert read_log(tmp_path, NAME) == Output("one\n", 4)
    Logs(tmp_path)
    assert read_log(tmp_path, NAME) is None
    assert list(follow_log(tmp_path, NAME)) == []


@pytest.mark.parametrize("what", ["fifo", "link", "directory"])
def test_a_strangers_file_that_is_none_is_not_read(tmp_path: Path, what: str) -> None:
    (tmp_path / RUNNING).mkdir()
    path = tmp_path / RUNNING / f"{NAME}.log"
    (tmp_path / "secret").write_text("secret")
    if what == "fifo":
        os.mkfifo(path)
    elif what == "link":
        path.symlink_to(tmp_path / "secret")
    else:
        path.mkdir()
    assert read_log(tmp_path, NAME) is None
    assert list(follow_log(tmp_path, NAME)) == []


def test_where_nothing_can_be_written_nothing_can_be_followed_and_that_is_all(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    (tmp_path / RUNNING).write_text("in the way")
    logs.add(Piece(NAME, 0, b"one\n"))
    logs.finish([ended(None)])
    assert read_log(tmp_path, NAME) is None
