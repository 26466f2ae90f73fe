"""The sweep directory's lock: who holds it, and that asking disturbs nobody."""

import fcntl
import os
import threading
import time
from pathlib import Path

import pytest

from gridrun.directory import (
    LOCK,
    LONGEST_PATH,
    check_directory,
    find_holder,
    last_command,
    lock_directory,
    note_command,
)
from gridrun.errors import EnvironmentFault, InputError


def test_the_holder_is_known_while_the_lock_is_held_and_no_longer(tmp_path: Path) -> None:
    assert find_holder(tmp_path) is None
    assert list(tmp_path.iterdir()) == []  # asking makes no file
    with lock_directory(tmp_path):
        holder = find_holder(tmp_path)
        assert holder is not None
        assert (holder.process, bool(holder.host), holder.since[:2]) == (os.getpid(), True, "20")
        with pytest.raises(EnvironmentFault, match=f"process {os.getpid()} on "), lock_directory(tmp_path):
            pass
        assert find_holder(tmp_path) == holder
    assert find_holder(tmp_path) is None


def test_a_lock_that_a_reader_holds_for_an_instant_stops_no_writer(tmp_path: Path) -> None:
    with lock_directory(tmp_path):
        pass
    with (tmp_path / LOCK).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        letting_go = threading.Timer(0.02, fcntl.flock, (file, fcntl.LOCK_UN))
        letting_go.start()
        with lock_directory(tmp_path):
            pass
        letting_go.join()


def test_asking_never_holds_up_a_writer(tmp_path: Path) -> None:
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            find_holder(tmp_path)
            time.sleep(0.001)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(50):
            with lock_directory(tmp_path):
                pass
    finally:
        done.set()
        asking.join()


def test_the_command_stays_known_when_the_lock_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with lock_directory(tmp_path):
        note_command(tmp_path, ["sweep", "my grid.toml"])
        holder = find_holder(tmp_path)
        assert holder is not None
        assert holder.process == os.getpid()
    assert last_command(tmp_path) == (str(tmp_path), ["sweep", "my grid.toml"])
    with lock_directory(tmp_path):  # a sweep from Python has none
        pass
    assert last_command(tmp_path) is None


@pytest.mark.parametrize(
    "found",
    ["", "123\n", "{}", "[1]", "[" * 20_000, "1" * 5000, '{"process": true, "host": 3, "command": "rm"}',
     '{"process": "1", "since": [], "folder": "/", "command": [1]}', "\0\xff", '{"command": null}'],
)  # fmt: skip
def test_a_lock_file_of_a_stranger_or_an_older_version_says_nothing_and_breaks_nothing(
    tmp_path: Path, found: str
) -> None:
    (tmp_path / LOCK).write_bytes(found.encode("latin-1"))
    with (tmp_path / LOCK).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        holder = find_holder(tmp_path)
        assert holder is not None
        assert (holder.process, str(holder)) == (None, "another process")
    assert last_command(tmp_path) is None
    with lock_directory(tmp_path):
        holder = find_holder(tmp_path)
        assert holder is not None
        assert holder.process == os.getpid()


def test_a_pipe_for_a_lock_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOCK)
    assert find_holder(tmp_path) is None
    assert last_command(tmp_path) is None


def test_a_path_that_no_database_can_have_is_refused_for_its_length(tmp_path: Path) -> None:
    folder = tmp_path
    while len(str(folder)) < LONGEST_PATH:
        folder = folder / ("x" * 100)
    with pytest.raises(InputError, match="too long for a database"):
        check_directory(folder)
    link = tmp_path / "link"
    link.symlink_to(folder)  # SQLite opens what it points to
    with pytest.raises(InputError, match="too long for a database"):
        check_directory(link)
