"""Whom the guard ends: the workers that it was told of, and nobody who has the number of one that is gone."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gridrun.guard import Guard, Held, start_time

# Sleeps in a group of its own, with a child there, until its stdin is closed.
LEADER = "sleep 600 & echo $!; read line"
Lead = Callable[[], "tuple[subprocess.Popen[str], int]"]


@pytest.fixture
def lead() -> "Iterator[Lead]":
    """Start a process that leads a group; returns it, and the number of another process in the group."""
    groups = []

    def start() -> "tuple[subprocess.Popen[str], int]":
        leader = subprocess.Popen(
            ["bash", "-c", LEADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
        )
        groups.append(leader)
        assert leader.stdout is not None
        return leader, int(leader.stdout.readline())

    yield start
    for leader in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader.pid, signal.SIGKILL)
        with leader:  # closes its pipes
            pass


@pytest.fixture(params=["pidfd", "start time"])
def _known_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "start time":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    elif not hasattr(os, "pidfd_open"):
        pytest.skip("this system has no pidfd")


def leave(leader: "subprocess.Popen[str]") -> None:
    assert leader.stdin is not None
    leader.stdin.close()
    leader.wait()


def wait_until_ended(number: int) -> None:
    until = time.monotonic() + 10
    while runs(number):
        assert time.monotonic() < until
        time.sleep(0.01)


def runs(number: int) -> bool:
    """Whether a process is there, and not only because nobody has looked at its end."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True)
    return found.stdout.strip()[:1] not in ("", "Z")


@pytest.mark.usefixtures("_known_by")
def test_a_worker_is_ended_with_its_group(lead: Lead) -> None:
    leader, other = lead()
    Held(leader.pid).end()
    assert leader.wait() == -signal.SIGKILL
    wait_until_ended(other)


@pytest.mark.usefixtures("_known_by")
def test_what_is_left_of_the_group_of_a_worker_that_has_gone_is_ended(lead: Lead) -> None:
    leader, other = lead()
    held = Held(leader.pid)
    leave(leader)
    assert runs(other)
    held.end()
    wait_until_ended(other)


@pytest.mark.usefixtures("_known_by")
def test_who_has_the_number_of_a_worker_that_has_gone_is_left_alone(lead: Lead) -> None:
    leader, _ = lead()
    held = Held(leader.pid)
    leave(leader)
    time.sleep(1.1)  # systems tell when a process started to the second
    stranger, other = lead()
    held.number = stranger.pid  # it was given out again
    held.end()
    assert stranger.poll() is None
    assert runs(other)


def test_where_a_process_can_be_known_by_its_number_alone_none_is_ended(
    lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, _ = lead()
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    monkeypatch.setattr("gridrun.guard.start_time", lambda _: "")
    Held(leader.pid).end()
    assert leader.poll() is None


def test_the_start_of_a_process_is_the_same_whenever_it_is_asked_for(lead: Lead) -> None:
    leader, _ = lead()
    first = start_time(leader.pid)
    time.sleep(0.05)
    assert start_time(leader.pid) == first != ""
    leave(leader)
    assert start_time(leader.pid) == ""


def test_a_guard_ends_those_that_it_was_told_of_and_not_of_their_end(lead: Lead, tmp_path: Path) -> None:
    """Its parent is killed, by SIGKILL."""
    (stays, _), (ends, other) = lead(), lead()
    folder = tmp_path / "folder"
    folder.mkdir()
    script = (
        "import os, sys\nfrom gridrun.guard import Guard\nguard = Guard(sys.argv[1])\n"
        "for number in sys.argv[2:]:\n    guard.add(int(number))\n"
        "guard.remove(int(sys.argv[2]))\nos.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", script, str(folder), str(stays.pid), str(ends.pid)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    assert ends.wait() == -signal.SIGKILL
    wait_until_ended(other)
    while folder.exists():
        time.sleep(0.01)
    assert stays.poll() is None


def test_a_guard_that_is_closed_ends_nobody(lead: Lead, tmp_path: Path) -> None:
    leader, _ = lead()
    guard = Guard(str(tmp_path / "folder"))
    guard.add(leader.pid)
    guard.close()
    assert leader.poll() is None


def test_a_guard_that_somebody_has_ended_is_followed_by_another(lead: Lead, tmp_path: Path) -> None:
    leader, member = lead()
    guard = Guard(str(tmp_path / "folder"))
    guard.add(leader.pid)
    guard._process.kill()
    guard._process.wait()
    guard.check()
    guard._let_go()  # as if this process had died
    wait_until_ended(leader.pid)
    wait_until_ended(member)
    guard._process.wait()
