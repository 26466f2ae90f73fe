"""The whole program, as a user runs it: swept, interrupted, killed, resumed, extended, misused."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import GRIDRUN, Run

Write = Callable[..., str]


def csv_of(run: Run, directory: Path) -> bytes:
    assert run("report", str(directory)).returncode == 0
    return (directory / "report" / "cells.csv").read_bytes()


def test_a_sweep_completes_and_the_same_command_finds_nothing_to_do(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    grid = write_grid()
    first = run("sweep", grid)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[0] == "toy: 12 cells, 0 cached, 12 new, 6 trajectories, 2 workers"
    assert "noise" not in first.stdout
    second = run("sweep", grid)
    assert second.stdout.splitlines()[0] == "toy: 12 cells, 12 cached, 0 new, 0 trajectories, 0 workers"
    assert json.loads(run("status", "--json").stdout) == {
        "total": 12,
        "completed": 12,
        "failed": 0,
        "pending": 0,
    }
    starts = (tmp_path / "ledger").read_text().count("start")
    assert starts == 6  # the 2-epoch cells cost nothing


def test_a_wider_axis_runs_only_new_cells_and_a_shorter_budget_none(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    run("sweep", write_grid())
    shorter = run("sweep", write_grid(epochs="[1, 2, 5]"))
    assert "18 cells, 18 cached, 0 new" in shorter.stdout
    wider = run("sweep", write_grid(a="[4, 3, 2, 1]"))
    assert "16 cells, 12 cached, 4 new, 2 trajectories" in wider.stdout
    assert (tmp_path / "ledger").read_text().count("start") == 8


def test_dry_run_changes_nothing(run: Run, write_grid: Write, tmp_path: Path) -> None:
    result = run("sweep", write_grid(), "--dry-run")
    assert "12 cells, 0 cached, 12 new, 6 trajectories, 2 workers" in result.stdout
    assert not (tmp_path / "results").exists()


def test_the_same_bytes_however_it_was_run(run: Run, write_grid: Write, tmp_path: Path) -> None:
    grid = write_grid()
    found = set()
    for name, options in (
        ("one", ["--jobs", "1"]),
        ("two", ["--jobs", "2"]),
        ("four", ["--jobs", "4"]),
        ("here", ["--backend", "sequential"]),
    ):
        assert run("sweep", grid, "--out", name, *options).returncode == 0
        found.add(csv_of(run, tmp_path / name))
    assert len(found) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_and_the_same_command_goes_on(
    run: Run, write_grid: Write, tmp_path: Path, number: int
) -> None:
    grid = write_grid(a="[1, 2, 3, 4, 5, 6, 7, 8]", nap=0.1)
    started = subprocess.Popen([GRIDRUN, "sweep", grid], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "ledger").exists():
        time.sleep(0.05)
    started.send_signal(number)
    _, errors = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "the same command goes on: gridrun sweep g.toml" in errors
    assert "Traceback" not in errors
    lines = (tmp_path / "ledger").read_text().splitlines()
    assert len([line for line in lines if line.startswith("start")]) == len(
        [x for x in lines if x.startswith("end")]
    )
    assert run("sweep", grid).returncode == 0
    assert (tmp_path / "ledger").read_text().count("start") == 16


def test_retry_failed_runs_failed_cells_again(run: Run, write_grid: Write, tmp_path: Path) -> None:
    run("sweep", write_grid(mode="raise"))
    toy = tmp_path / "toy.py"
    toy.write_text(toy.read_text().replace('raise ValueError("bad luck\\nin two lines")', "return"))
    result = run("sweep", "g.toml", "--retry-failed")
    assert result.returncode == 0, result.stderr
    assert "4 new, 2 trajectories" in result.stdout


def test_when_everything_fails_alike_the_sweep_stops(run: Run, write_grid: Write, tmp_path: Path) -> None:
    grid = write_grid(a=str(list(range(10, 60))), mode="raise")
    toy = tmp_path / "toy.py"
    toy.write_text(toy.read_text().replace("a == 2", "a > 2"))
    result = run("sweep", grid)
    assert result.returncode == 1
    assert "all failed alike: ValueError: bad luck in two lines" in result.stderr


def test_two_sweeps_on_one_directory(run: Run, write_grid: Write, tmp_path: Path) -> None:
    grid = write_grid(nap=0.2)
    first = subprocess.Popen(
        [GRIDRUN, "sweep", grid], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (tmp_path / "ledger").exists():
        time.sleep(0.05)
    second = run("sweep", grid)
    assert second.returncode == 3
    assert f"another sweep is running here (process {first.pid})" in second.stderr
    assert run("status").returncode == 0
    assert first.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("a = [1, 2, 3]", "a = [-1]"), "a must be 0 or more, found -1"),
        (("b = [0.5, 1.0]", "bb = [1]"), "got an unexpected keyword argument 'bb'; it takes a, b, epochs"),
        (("toy:train", "toy:trian"), "has no attribute 'trian'"),
        (("toy:train", "nowhere:train"), "no module named 'nowhere'"),
        (("[fixed]", "[fixd]"), "write [fixed]"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    run: Run, write_grid: Write, tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    grid = tmp_path / write_grid()
    grid.write_text(grid.read_text().replace(*change))
    result = run("sweep", "g.toml")
    assert result.returncode == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["sweep", "none.toml"],
        ["sweep", "g.toml", "--jobs", "0"],
        ["sweep", "g.toml", "--backend", "smoke"],
        ["sweep", "g.toml", "--out", "toy.py"],
        ["sweep", "g.toml", "--out", "."],
        ["report", "."],
        ["report"],
        ["status", "nowhere"],
        ["show", "abc", "."],
        ["init", "g.toml"],
        ["frobnicate"],
    ],
    ids=" ".join,
)
def test_misuse_ends_with_exit_code_2_and_no_traceback(
    run: Run, write_grid: Write, tmp_path: Path, words: list[str]
) -> None:
    write_grid()
    before = sorted(entry.name for entry in tmp_path.iterdir())
    result = run(*words)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name != "__pycache__") == before


def test_init_writes_a_grid_that_can_be_swept(run: Run) -> None:
    assert run("init").returncode == 0
    result = run("sweep", "grid.toml", "--dry-run")
    assert "24 cells, 0 cached, 24 new, 12 trajectories" in result.stdout, result.stderr
    assert run("--version").stdout.startswith("gridrun ")
    assert "sweep" in run("--help").stdout


def test_the_report_holds_what_the_contract_lists_and_runs_no_code(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    run("sweep", write_grid())
    (tmp_path / "toy.py").write_text("raise SystemExit('a stranger runs code')")
    result = run("report", "--top", "2")
    assert result.returncode == 0, result.stderr
    found = {path.name for path in (tmp_path / "results" / "toy" / "report").iterdir()}
    assert found == {"cells.csv", "best.csv", "table.png", "surface-a-b.png", "curves.png", "report.html"}
    best = (tmp_path / "results/toy/report/best.csv").read_text().splitlines()
    assert best[:2] == ["A,B,Accuracy", "3,1.0,1.5"]
    assert run("status").stdout.splitlines()[-1].startswith("best accuracy 1.5: a 3, b 1.0, epochs 2")
