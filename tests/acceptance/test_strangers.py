"""What others, or the user, have put into a sweep directory: never written through, waited for, or lost."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run
from tests.acceptance.test_kills import ledger, spawn, wait_until, wait_until_alone

OURS = ("sweep.db", "sweep.db-wal", "sweep.db-shm", "sweep.db-journal", "sweep.lock")


@pytest.fixture
def swept(run: Run, write_grid: Callable[..., str], tmp_path: Path) -> Path:
    assert run("sweep", write_grid(a="[1]", b="[1]", epochs="[1]"), "--out", "out").returncode == 0
    return tmp_path / "out"


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("what", ["link to a file", "link to nothing", "pipe", "directory"])
def test_no_file_of_ours_is_opened_through_a_link_or_waited_for(
    run: Run, swept: Path, tmp_path: Path, name: str, what: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    place = swept / name
    place.unlink(missing_ok=True)
    if what.startswith("link"):
        place.symlink_to(victim if what == "link to a file" else tmp_path / "made")
    elif what == "pipe":
        os.mkfifo(place)
    else:
        place.mkdir()
    result = run("sweep", "g.toml", "--out", "out")
    assert result.returncode == 3, result.stdout
    assert result.stderr.count("\n") == 1
    kind = "a symbolic link" if what.startswith("link") else "no regular file"
    assert result.stderr == f"gridrun: out/{name}: is {kind}; move it away, or name another directory\n"
    for command in ("status", "report"):
        told = run(command, "out")
        assert told.stderr.count("\n") == (told.returncode != 0)
        # A sweep.db that is no file is none: bad input.
        assert told.returncode in ((0,) if name == "sweep.lock" else (2, 3)), told.stderr
    assert victim.read_text() == "precious"
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("what", ["file", "link", "link to nothing", "a file within", "a folder within"])
def test_a_report_replaces_only_what_a_report_has_written(
    run: Run, swept: Path, tmp_path: Path, what: str
) -> None:
    assert run("report", "out").returncode == 0
    assert run("report", "out").returncode == 0  # its own it replaces
    report, kept = swept / "report", tmp_path / "kept"
    kept.mkdir()
    (kept / "cells.csv").write_text("precious")
    if what == "a file within":
        (report / "notes.txt").write_text("precious")
    elif what == "a folder within":
        (report / "surface-1.png").unlink(missing_ok=True)
        (report / "surface-mine.png").mkdir()
    else:
        for file in report.iterdir():
            file.unlink()
        report.rmdir()
        if what == "file":
            report.write_text("precious")
        else:
            report.symlink_to(kept if what == "link" else tmp_path / "made")
    told = run("report", "out")
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (2, "", 1)
    assert "move it away" in told.stderr
    assert (kept / "cells.csv").read_text() == "precious"
    if what == "a file within":
        assert (report / "notes.txt").read_text() == "precious"
    assert not (tmp_path / "made").exists()
    assert sorted(path.name for path in swept.iterdir() if path.name.startswith("report")) == ["report"]


def remove(out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    assert not (out / "sweep.db").exists()


def move(out: Path) -> None:
    out.rename(out.with_name("moved"))


def replace(out: Path) -> None:
    shutil.copy(out / "sweep.db", out / "copy.db")
    (out / "copy.db").rename(out / "sweep.db")


def unlock(out: Path) -> None:
    (out / "sweep.lock").unlink()


@pytest.mark.parametrize("backend", ["loky", "sequential"])
@pytest.mark.parametrize("change", [remove, move, replace, unlock])
def test_a_store_that_others_take_away_meanwhile_is_no_finished_sweep(
    write_grid: Callable[..., str], tmp_path: Path, change: Callable[[Path], None], backend: str
) -> None:
    grid = write_grid(a=str(list(range(40))), nap=0.05)
    sweep = spawn(
        tmp_path, "sweep", grid, "--out", "out", "--quiet", "--backend", backend, stderr=subprocess.PIPE
    )
    wait_until(lambda: len(ledger(tmp_path)) >= 6)
    change(tmp_path / "out")
    told = sweep.communicate(timeout=60)[1]
    assert (sweep.returncode, told.count("\n")) == (3, 1), told
    assert "was moved, removed or replaced while the sweep ran" in told
    assert len(ledger(tmp_path)) < 160  # it ended at its next commit
    wait_until_alone(tmp_path)


AXES = {
    "lists": "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]",
    "ranges": "{ from = 1, to = 1000000, num = 1000000 }",
    "steps": "{ from = 1, to = 1000000, step = 1 }",
}


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("several", [False, True])
def test_a_grid_past_every_number_is_refused_before_a_value_is_made(
    run: Run, tmp_path: Path, axis: str, several: bool
) -> None:
    axes = "".join(f"a{number} = {AXES[axis]}\n" for number in range(20))
    (tmp_path / "g.toml").write_text(
        '[sweep]\nname = "t"\ntrain = "toy:train"\nmetric = "m"\n' + f"[[grid]]\n{axes}" * (1 + several)
    )
    # Memory for none of it: a million values of each axis would be gigabytes.
    result = run("sweep", "g.toml")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "the grid is larger than 10,000,000 cells, found about 10^" in result.stderr
