"""Killed at any instant, a sweep keeps what it reported, repeats next to nothing and leaves nobody behind.

Every random choice comes from one seed, which a failure prints: GRIDRUN_SEED=... replays it.
"""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gridrun.errors import InputError
from gridrun.spec import Spec
from gridrun.store import Store
from tests.acceptance.conftest import GRIDRUN, SOAK, Run

Write = Callable[..., str]
SEED = int(os.environ.get("GRIDRUN_SEED", random.randrange(2**32)))
KILLS = 300 if SOAK else 30
JOBS = 2
SHORT_S = 10.0  # "within seconds"


def spawn(folder: Path, *words: str, stderr: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
    """Start gridrun as the leader of a process group of its own."""
    return subprocess.Popen(
        [GRIDRUN, *words], cwd=folder, start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=stderr,
    )  # fmt: skip


def processes(folder: Path) -> list[str]:
    """The command lines of whatever runs in a directory: workers, guards, what a cell has started."""
    if sys.platform != "linux":
        listing = ["lsof", "-t", "-a", "-d", "cwd", str(folder)]
        lsof = subprocess.run(listing, capture_output=True, text=True)
        return lsof.stdout.split()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").readlink() == folder and (entry / "cmdline").read_bytes():
                found.append(entry.name + " " + (entry / "cmdline").read_text().replace("\0", " "))
    return found


def wait_until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)


def wait_until_alone(folder: Path) -> None:
    until = time.monotonic() + SHORT_S
    while left := processes(folder):
        assert time.monotonic() < until, left
        time.sleep(0.1)


def ledger(folder: Path) -> list[list[str]]:
    path = folder / "ledger"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def reported(directory: Path) -> set[tuple[str, str]]:
    """What is committed: (a, b) of every trajectory that the store has outcomes of."""
    try:
        with Store.read(directory) as store:
            grid, known = Spec.parse(store.grid_text(), "").grid, store.progress()
            names = list(grid.trajectory_ids(store.identity()))
    except InputError:  # killed before it had begun
        return set()
    params = (grid.trajectory_params(index) for index, name in enumerate(names) if name in known)
    return {(str(p["a"]), str(p["b"])) for p in params}


def csv_of(run: Run, directory: Path) -> bytes:
    assert run("report", str(directory)).returncode == 0
    return (directory / "report" / "cells.csv").read_bytes()


@pytest.mark.parametrize("what", ["parent", "group"])
def test_killed_at_random_instants_nothing_reported_is_lost_or_repeated(
    run: Run, write_grid: Write, tmp_path: Path, what: str
) -> None:
    """Half of the kills hit the parent alone, half its whole process group; 30 of them in all."""
    kills, chance = KILLS // 2, random.Random(f"{SEED} {what}")
    print(f"GRIDRUN_SEED={SEED}")
    grid = write_grid(a=str(list(range(1, 3 * kills + 10))), epochs="[2, 3]", nap=0.03)
    assert run("sweep", grid, "--out", "whole").returncode == 0
    (tmp_path / "ledger").unlink()
    kept: set[tuple[str, str]] = set()
    for _ in range(kills):
        before = len(ledger(tmp_path))
        sweep = spawn(tmp_path, "sweep", grid, "--out", "cut")
        if chance.random() < 0.2:
            time.sleep(chance.uniform(0, 1))  # before the first cell, most likely
        else:
            wanted = before + chance.randint(1, 6)
            wait_until(lambda wanted=wanted: len(ledger(tmp_path)) >= wanted)  # type: ignore[misc]
            time.sleep(chance.uniform(0, 0.1))
        assert sweep.poll() is None
        (os.killpg if what == "group" else os.kill)(sweep.pid, signal.SIGKILL)
        sweep.wait()
        now = reported(tmp_path / "cut")
        wait_until_alone(tmp_path)
        assert reported(tmp_path / "cut") == now  # nobody commits after the parent's death
        starts = [(a, b) for word, a, b, *_ in ledger(tmp_path)[before:] if word == "start"]
        assert len(starts) == len(set(starts))
        assert not kept & set(starts)  # what was reported done is not started again
        assert kept <= now
        assert len(set(starts) - now) <= JOBS  # what the next one has to repeat
        kept = now
    assert run("sweep", grid, "--out", "cut").returncode == 0
    assert csv_of(run, tmp_path / "cut") == csv_of(run, tmp_path / "whole")


# By what is in their command line: whoever works for a sweep.
HELPERS = {"guard": "guard.py", "worker": "popen_loky_posix", "tracker": "resource_tracker"}


@pytest.mark.slow
def test_whoever_is_killed_beside_the_parent_nothing_reported_is_lost_or_repeated(
    write_grid: Write, tmp_path: Path
) -> None:
    """Guards, workers and trackers, and now and then the parent a moment later; the sweep goes on."""
    kills, chance = 300 if SOAK else 12, random.Random(f"{SEED} helpers")
    print(f"GRIDRUN_SEED={SEED}")
    grid = write_grid(a=str(list(range(1, 20 * kills))), b="[1.0]", epochs="[2]", nap=0.03,
                      run="max_attempts = 1000")  # fmt: skip
    errors = (tmp_path / "errors").open("ab")
    command = (tmp_path, "sweep", grid, "--out", "cut")
    sweep, kept, killed = spawn(*command, stderr=errors.fileno()), set[tuple[str, str]](), 0
    ended = dict.fromkeys([*HELPERS, "parent"], 0)
    while killed < kills:
        before = len(ledger(tmp_path))
        wait_until(lambda before=before: len(ledger(tmp_path)) > before)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.1))
        assert sweep.poll() is None
        kind = chance.choice(list(HELPERS))
        found = [line.split()[0] for line in processes(tmp_path) if HELPERS[kind] in line]
        if found:  # a tracker that has been killed is started again when it is needed
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(chance.choice(found)), signal.SIGKILL)
            killed += 1
            ended[kind] += 1
        if chance.random() < 0.2:
            time.sleep(chance.choice([0, 0.2, 1.2]))  # with a new guard, or without
            before = len(ledger(tmp_path))
            sweep.kill()
            sweep.wait()
            ended["parent"] += 1
            wait_until_alone(tmp_path)
            now = reported(tmp_path / "cut")
            assert kept <= now
            kept = now
            before = len(ledger(tmp_path))
            sweep = spawn(*command, stderr=errors.fileno())
            wait_until(lambda before=before: len(ledger(tmp_path)) > before)  # type: ignore[misc]
            starts = {(a, b) for word, a, b, *_ in ledger(tmp_path)[before:] if word == "start"}
            assert not kept & starts  # what was reported done is not started again
    print(ended)
    sweep.kill()
    sweep.wait()
    wait_until_alone(tmp_path)
    errors.close()
    assert not re.search("Traceback|Warning", (tmp_path / "errors").read_text())
    assert kept <= reported(tmp_path / "cut")


@pytest.mark.parametrize("mode", ["hang", "hang-native", "subprocess"])
def test_no_worker_outlives_its_parent_whatever_it_is_doing(
    write_grid: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    sweep = spawn(tmp_path, "sweep", write_grid(mode=mode, nap=0.05))
    wait_until(lambda: sum(line[:2] == ["start", "2"] for line in ledger(tmp_path)) == JOBS)
    time.sleep(0.3)  # from the ledger to the misbehaviour
    assert list(tmp_path.glob("gridrun-*"))
    sweep.kill()
    sweep.wait()
    wait_until_alone(tmp_path)
    assert not list(tmp_path.glob("gridrun-*"))
