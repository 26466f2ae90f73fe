"""A store of an older version opens, resumes and reports: written by the program as it was then."""

import csv
import shutil
import sqlite3
from pathlib import Path

import pytest

from gridrun.directory import FILE
from gridrun.errors import EnvironmentFault
from gridrun.execution import open_sweep
from gridrun.results.aggregate import aggregate
from gridrun.signals import Stop
from gridrun.spec import Run, Spec
from gridrun.store import SCHEMA_VERSION, Store
from tests.acceptance.quick import Watcher

DATA = Path(__file__).parents[1] / "data"


def copy_study(version: int, folder: Path) -> Path:
    """A sweep directory as that version left it, its grid.toml and trainer beside it in `study`."""
    shutil.copytree(DATA / f"version{version}", folder / "study")
    (folder / "sweep").mkdir()
    shutil.copy(DATA / f"version{version}" / FILE, folder / "sweep")
    return folder / "sweep"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A sweep directory as version 1 left it."""
    return copy_study(1, tmp_path)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A sweep directory as version 2 left it."""
    return copy_study(2, tmp_path)


def version_of(directory: Path) -> int:
    db = sqlite3.connect(directory / FILE)
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return found


def statuses(directory: Path) -> dict[str, tuple[str, ...]]:
    """Each cell's status and metrics, as cells.csv told them then and tells them now."""
    with Store.read(directory) as store:
        cells = aggregate(store).cells
    return {
        row["cell"]: (row["status"], *(str(row[name]) for name in ("loss", "score")))
        for row in cells.to_dict("records")
    }


def test_an_old_store_reads_as_it_did_and_is_not_changed_by_it(old: Path) -> None:
    before = (old / FILE).read_bytes()
    found = statuses(old)
    with (DATA / "version1" / "cells.csv").open() as file:
        told = {row["cell"]: row for row in csv.DictReader(file)}
    ended = [row["cell"] for row in told.values() if row["a"] == "ends" and row["epochs"] == "5"]
    assert found.keys() == told.keys()
    for cell, row in told.items():
        if cell in ended:  # a failure then, an outcome now, to be run once more
            assert (row["status"], found[cell][0]) == ("failed", "pending")
        elif row["status"] == "completed":
            assert found[cell] == ("completed", row["loss"], row["score"])
        else:
            assert found[cell][0] == row["status"]
    assert (old / FILE).read_bytes() == before


def test_an_old_store_in_a_directory_that_cannot_be_written_is_read(old: Path) -> None:
    old.chmod(0o500)
    try:
        assert len(statuses(old)) == 32
    finally:
        old.chmod(0o700)


def test_an_old_sweep_resumes_and_keeps_what_it_had(old: Path, tmp_path: Path) -> None:
    grid = tmp_path / "study" / "grid.toml"
    completed = {cell: row for cell, row in statuses(old).items() if row[0] == "completed"}
    with open_sweep(Spec.read(grid), old, Run(backend="sequential"), grid_file=grid) as sweep:
        assert (sweep.plan.count.completed, sweep.plan.count.failed, sweep.plan.trajectories) == (24, 4, 4)
        count = sweep.run(Stop(), Watcher())
    assert (count.completed, count.failed, count.pending, count.stopped_early) == (28, 4, 0, 4)
    found = statuses(old)
    assert completed.items() <= found.items()
    assert version_of(old) == SCHEMA_VERSION
    with Store.read(old) as store:
        assert [session.defaults for session in store.sessions()] == [None, {"momentum": 0.9}]


def test_a_store_of_version_2_reads_as_it_did_and_is_not_changed_by_it(second: Path) -> None:
    before = (second / FILE).read_bytes()
    found = statuses(second)
    with (DATA / "version2" / "cells.csv").open() as file:
        told = {row["cell"]: row for row in csv.DictReader(file)}
    assert found.keys() == told.keys()
    for cell, row in told.items():
        assert found[cell][0] == row["status"]
        if row["status"] == "completed":
            assert found[cell][1:] == (row["loss"], row["score"])
    with Store.read(second) as store:
        (session,) = store.sessions()
        assert (session.environment["gridrun"], session.defaults) == ("0.1.0", {"momentum": 0.9})
        kept = [store.bits_of(name, 2)["correct"] for name, _ in store.histories()]
        assert [bits.count for bits in kept] == [9] * 16
        assert store.output_of(next(name for name, _ in store.histories())) is None
    assert (second / FILE).read_bytes() == before


def test_a_sweep_of_version_2_resumes_and_keeps_what_it_had(second: Path, tmp_path: Path) -> None:
    grid = tmp_path / "study" / "grid.toml"
    before = statuses(second)
    spec, run = Spec.read(grid), Run(backend="sequential")
    with open_sweep(spec, second, run, grid_file=grid, retry_failed=True) as sweep:
        assert (sweep.plan.count.completed, sweep.plan.trajectories) == (28, 4)
        sweep.run(Stop(), Watcher())
    assert statuses(second) == before
    assert version_of(second) == SCHEMA_VERSION
    with Store.read(second) as store:
        assert [session.environment["gridrun"] for session in store.sessions()] == ["0.1.0", "0.1.0"]


def test_an_old_store_with_a_trigger_is_refused_and_left_alone(old: Path) -> None:
    with sqlite3.connect(old / FILE) as db:
        db.execute("CREATE TRIGGER mine BEFORE DELETE ON failure BEGIN DELETE FROM history; END")
    db.close()
    with pytest.raises(EnvironmentFault, match="its tables are not what gridrun makes"), Store.read(old):
        pass
    with pytest.raises(EnvironmentFault, match="its tables are not what gridrun makes"), Store.write(old):
        pass
    assert version_of(old) == 1
