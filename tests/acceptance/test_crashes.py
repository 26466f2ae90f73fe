"""Killed at each step of a commit, cut at any offset, corrupted at any byte: never a wrong result.

A store is healed (what was reported is all there), its lost rows are computed again, or it is refused
with exit 3. Random choices come from GRIDRUN_SEED, as in test_kills.py.
"""

import contextlib
import os
import pickle
import random
import re
import shutil
import signal
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gridrun import store as store_module
from gridrun.cell import Identity
from gridrun.directory import FILE
from gridrun.errors import EnvironmentFault
from gridrun.outcome import Failure, Outcome
from gridrun.report.csv import write_timings
from gridrun.results.aggregate import aggregate
from gridrun.results.costs import gather_costs
from gridrun.store import Store
from tests.acceptance import disk
from tests.acceptance.conftest import SOAK
from tests.acceptance.quick import HEAD, sweep_here, tables_of
from tests.acceptance.test_kills import SEED

STATES = 4000 if SOAK else 250
WAL = FILE + "-wal"
GRID = HEAD + 'budget = "epochs"\n[grid]\na = [1, 2, 3, 4, 5, 6]\nb = [0.5, "x"]\nepochs = [1, 3]\n'


class Counted(sqlite3.Connection):
    """A connection that kills its process at the n-th step: before and after each statement, each row."""

    left = 0

    def step(self, *_: object) -> None:
        Counted.left -= 1
        if Counted.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.set_trace_callback(self.step)

    def execute(self, *args: Any) -> Any:
        cursor = super().execute(*args)
        self.step()
        return cursor

    def executemany(self, *args: Any) -> Any:
        cursor = super().executemany(*args)
        self.step()
        return cursor

    def executescript(self, *args: Any) -> Any:
        cursor = super().executescript(*args)
        self.step()
        return cursor

    def close(self) -> None:
        self.step()
        super().close()
        self.step()


def outcome(name: str, epochs: int, reason: str = "") -> Outcome:
    history = [{"accuracy": float(k)} for k in range(epochs)]
    return Outcome(name, {"a": 1}, history, Failure(reason) if reason else None, 0.1)


BATCHES = [
    [outcome("one", 2), outcome("two", 1, "bad")],
    [outcome("three", 2)],
    [outcome("one", 3), outcome("two", 3), outcome("three", 1, "worse")],
]
# What a reader may find after so many batches: epochs and whether failed.
FOUND = [
    {},
    {"one": (2, False), "two": (1, True)},
    {"one": (2, False), "two": (1, True), "three": (2, False)},
    {"one": (3, False), "two": (3, False), "three": (2, True)},
]


def work(directory: Path, report: Callable[[], object]) -> None:
    with Store.write(directory) as store:
        store.begin("text", Identity("m:f", None, ((None, 3),)), {}, {})
        for batch in BATCHES:
            store.save(batch)
            report()


def test_killed_before_and_after_every_step_it_has_what_it_reported_and_at_most_one_commit_more(
    tmp_path: Path,
) -> None:
    connect = sqlite3.connect
    steps = 0
    while True:
        directory, told = tmp_path / f"{steps}", tmp_path / f"{steps}.told"
        told.touch()
        with warnings.catch_warnings(action="ignore"):  # of threads that other tests have left
            child = os.fork()
        if child == 0:
            Counted.left = steps
            store_module.sqlite3.connect = lambda *args, **more: connect(*args, factory=Counted, **more)
            with told.open("ab", buffering=0) as file:
                work(directory, lambda file=file: file.write(b"."))  # type: ignore[misc]
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        reported = told.stat().st_size
        with Store.write(directory) as store:
            found = {name: (p.epochs, p.failed) for name, p in store.progress().items()}
        assert found in FOUND[reported : reported + 2], steps
        work(directory, lambda: None)
        with Store.read(directory) as store:
            assert {name: (p.epochs, p.failed) for name, p in store.progress().items()} == FOUND[3]
        if status == 0:
            break
        assert status == -signal.SIGKILL
        steps += 1
    assert steps > 50


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> list[disk.Op]:
    """Every operation on the disk of a store that is made, written to and closed; and when it reported."""
    if not disk.reachable():
        pytest.skip("this Python has SQLite built in where it cannot be reached")
    folder = tmp_path_factory.mktemp("recording")
    with warnings.catch_warnings(action="ignore"):
        child = os.fork()
    if child == 0:
        log = disk.record()
        work(folder / "made", lambda: log.append(("told", "", 0, b"")))
        (folder / "log").write_bytes(pickle.dumps(log))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    log: list[disk.Op] = pickle.loads((folder / "log").read_bytes())
    return log


@pytest.mark.parametrize("power", ["on", "cut"])
def test_stopped_between_any_two_writes_with_or_without_power_it_has_what_it_reported(
    recording: list[disk.Op], tmp_path: Path, power: str
) -> None:
    """With a power cut, whatever was not synced is there in part, sector by sector, or not at all."""
    print(f"GRIDRUN_SEED={SEED}")
    assert sum(what == "sync" for what, *_ in recording) >= len(BATCHES)
    for round_ in range(1 if power == "on" else 40 if SOAK else 2):
        chance = random.Random(f"{SEED} {round_}") if power == "cut" else None
        for done, files in disk.replay(recording, chance):
            directory = tmp_path / "found"
            directory.mkdir()
            for name, content in files.items():
                (directory / name).write_bytes(content)
            reported = sum(what == "told" for what, *_ in recording[:done])
            with Store.write(directory) as store:
                found = {name: (p.epochs, p.failed) for name, p in store.progress().items()}
            assert found in FOUND[reported : reported + 2], (round_, done, recording[done - 1][:3])
            work(directory, lambda: None)
            with Store.read(directory) as store:
                assert {name: (p.epochs, p.failed) for name, p in store.progress().items()} == FOUND[3]
            shutil.rmtree(directory)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A store `closed` by its sweep, and `left` by a kill with half of it in the log; the right tables."""
    folder = tmp_path_factory.mktemp("snapshot")
    sweep_here(folder / "made", GRID.replace("[1, 2, 3, 4, 5, 6]", "[1, 2, 3]"))  # in the file itself
    shutil.copytree(folder / "made", folder / "closed")
    saved = []

    def copy(outcomes: object) -> None:
        saved.append(outcomes)
        shutil.copytree(folder / "made", folder / "left", dirs_exist_ok=True)

    sweep_here(folder / "made", GRID, copy)
    (folder / "left" / (FILE + "-shm")).unlink()
    assert saved
    assert (folder / "left" / FILE).stat().st_size > 4096
    assert (folder / "left" / WAL).stat().st_size > 4096
    return folder, tables_of(folder / "made", folder / "csv")


def damage(directory: Path, chance: random.Random) -> str:
    """Do to a store what power cuts, disks and people do."""
    which = chance.choice([path for path in (directory / FILE, directory / WAL) if path.exists()])
    whole = bytearray(which.read_bytes())
    at = chance.randrange(len(whole))
    what = chance.choice(["cut", "byte", "bit", "page", "zeros", "lost", "grown", "head", "digit"])
    if what == "cut":
        del whole[at:]
    elif what == "byte":
        whole[at] = chance.randrange(256)
    elif what == "bit":
        whole[at] ^= 1 << chance.randrange(8)
    elif what == "page":
        at -= at % 4096
        whole[at : at + 4096] = chance.randbytes(4096)
    elif what == "zeros":
        at -= at % 512
        whole[at : at + 512] = bytes(512)
    elif what == "grown":
        whole += chance.randbytes(5000)
    elif what == "digit":  # of what was measured: SQLite itself has no sum over it
        places = [match.end() for match in re.finditer(rb'"accuracy":', whole)]
        at = chance.choice(places) if places else at
        whole[at] = ord(chance.choice("0123456789"))
    elif what == "lost":
        which.unlink()
        return f"{which.name} lost"
    else:
        whole[:32] = chance.randbytes(32)
    which.write_bytes(whole)
    return f"{which.name} {what} at {at}"


def check(directory: Path, right: bytes, said: str, refusals: list[str]) -> None:
    """It goes on to the right tables, or refuses and leaves every byte of the store as it was."""
    before = contents(directory)
    refusal = None
    try:
        sweep_here(directory, GRID)
    except EnvironmentFault as fault:
        refusal = fault
    if refusal is None:
        assert tables_of(directory, directory.with_suffix(".csv")) == right, said
    else:
        assert "\n" not in str(refusal)
        assert contents(directory) == before, (said, refusal)
        refusals.append(said)
    # Reading first, as `status` does, is no worse.
    with contextlib.suppress(EnvironmentFault), Store.read(directory) as store:
        store.progress()


def contents(directory: Path) -> dict[str, bytes]:
    """The files that hold anything; a reader may add an empty log and its index."""
    found = {path.name: path.read_bytes() for path in directory.glob(FILE + "*")}
    return {name: content for name, content in found.items() if content and not name.endswith("-shm")}


def test_damaged_anywhere_a_store_goes_on_to_the_right_tables_or_is_refused(
    snapshot: tuple[Path, bytes], tmp_path: Path
) -> None:
    print(f"GRIDRUN_SEED={SEED}")
    folder, right = snapshot
    refusals: list[str] = []
    for number in range(STATES):
        directory = tmp_path / "damaged"
        shutil.copytree(folder / ("closed" if number % 2 else "left"), directory)
        said = damage(directory, random.Random(f"{SEED} {number}"))
        check(directory, right, f"{number}: {said}", refusals)
        shutil.rmtree(directory)
    assert len(refusals) < STATES / 2, refusals  # not by refusing everything


@pytest.mark.parametrize(
    "column",
    [
        *("session.started_at", "session.environment", "session.sources", "session.defaults"),
        *("history.finished_at", "history.seconds", "history.place", "history.code", "failure.place"),
    ],
)
def test_what_only_describes_a_run_may_be_damaged_and_the_tables_are_the_same(
    snapshot: tuple[Path, bytes], tmp_path: Path, column: str
) -> None:
    """No result hangs on these."""
    table, name = column.split(".")
    for found in ("", "{", "[]", "7", '{"a": 1}', '{"a": [{}]}', b"\xff{}", b"[NaN"):
        directory = tmp_path / "damaged"
        shutil.copytree(snapshot[0] / "made", directory)
        with contextlib.closing(sqlite3.connect(directory / FILE)) as db, db:
            # As text, whatever its bytes are.
            db.execute(f"UPDATE {table} SET {name} = CAST(? AS TEXT)", (found,))
        sweep_here(directory, GRID)
        assert tables_of(directory, tmp_path / "csv") == snapshot[1]
        with Store.read(directory) as store:
            write_timings(*gather_costs(aggregate(store), store), tmp_path / "timings.csv")
            for trajectory, _ in store.histories():
                assert "finished_at" in store.run_of(trajectory)
        shutil.rmtree(directory)


@pytest.mark.parametrize("name", [FILE, WAL])
def test_cut_at_every_page_and_between_a_store_goes_on_or_is_refused(
    snapshot: tuple[Path, bytes], tmp_path: Path, name: str
) -> None:
    left, right = snapshot[0] / "left", snapshot[1]
    size = (left / name).stat().st_size
    step = 61 if SOAK else 997
    for at in sorted({*range(0, size, step), *range(0, size, 4096), size - 1}):
        directory = tmp_path / "cut"
        shutil.copytree(left, directory)
        os.truncate(directory / name, at)
        check(directory, right, f"{name} cut at {at}", [])
        shutil.rmtree(directory)


def test_an_older_copy_of_the_store_beside_a_newer_log_gives_no_wrong_result(
    snapshot: tuple[Path, bytes], tmp_path: Path
) -> None:
    left, right = snapshot[0] / "left", snapshot[1]
    sweep_here(tmp_path / "older", GRID.replace("[1, 2, 3, 4, 5, 6]", "[1]"))
    sweep_here(tmp_path / "older", GRID.replace("[1, 2, 3, 4, 5, 6]", "[2]"))
    for mine, theirs in ((tmp_path / "older" / FILE, left / WAL), (left / FILE, left / FILE)):
        directory = tmp_path / "mixed"
        directory.mkdir()
        shutil.copy(mine, directory / FILE)
        shutil.copy(theirs, directory / WAL)
        check(directory, right, f"{mine} with {theirs}", [])
        shutil.rmtree(directory)
