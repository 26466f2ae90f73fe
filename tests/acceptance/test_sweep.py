"""The whole program, as a user runs it: swept, extended, retried, reported, misused."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gridrun.templates import KINDS
from tests.acceptance.conftest import GRIDRUN, Run

Write = Callable[..., str]


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
    counts = {"total": 12, "completed": 12, "failed": 0, "pending": 0}
    assert json.loads(run("status", "--json").stdout).items() >= counts.items()
    starts = (tmp_path / "ledger").read_text().count("start")
    assert starts == 6  # the 2-epoch cells cost nothing


@pytest.mark.slow
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


@pytest.mark.slow
def test_retry_failed_runs_failed_cells_again(run: Run, write_grid: Write, tmp_path: Path) -> None:
    run("sweep", write_grid(mode="raise"))
    toy = tmp_path / "toy.py"
    toy.write_text(toy.read_text().replace('raise ValueError("bad luck\\nin two lines")', "return"))
    result = run("sweep", "g.toml", "--retry-failed")
    assert result.returncode == 0, result.stderr
    assert "4 new, 2 trajectories" in result.stdout


def test_when_everything_fails_alike_the_sweep_stops(run: Run, write_grid: Write, tmp_path: Path) -> None:
    # So many that a busy machine cannot have run them all before the first failures are read.
    grid = write_grid(a=str(list(range(10, 2000))), mode="raise")
    toy = tmp_path / "toy.py"
    toy.write_text(toy.read_text().replace("a == 2", "a > 2"))
    result = run("sweep", grid)
    assert result.returncode == 1
    assert "all failed alike: ValueError: bad luck in two lines" in result.stderr


SLOW_TO_START = """
import os, time

# The parent is the first to import this, then one of the workers; the other takes its time.
for name in ("parent", "fast", "slow"):
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL))
        break
    except FileExistsError:
        pass
if name == "slow":
    time.sleep(1)


def train(*, a):
    raise ValueError("always")
"""


def test_it_stops_as_early_while_one_worker_is_slow_to_start(run: Run, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(SLOW_TO_START)
    (tmp_path / "g.toml").write_text(
        '[sweep]\nname = "late"\ntrain = "late:train"\nmetric = "m"\n'
        f"[grid]\na = {list(range(500))}\n[run]\njobs = 2\n"
    )
    result = run("sweep", "g.toml")
    assert result.returncode == 1
    found = re.search(r"the first (\d+) trajectories all failed alike: ValueError: always", result.stderr)
    assert found is not None, result.stderr
    assert int(found[1]) < 100


@pytest.mark.slow
def test_two_sweeps_on_one_directory(run: Run, write_grid: Write, tmp_path: Path) -> None:
    grid = write_grid(nap=0.2)
    first = subprocess.Popen(
        [GRIDRUN, "sweep", grid], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (tmp_path / "ledger").exists():
        time.sleep(0.05)
    second = run("sweep", grid)
    assert second.returncode == 3
    assert f"another sweep is running here (process {first.pid} on " in second.stderr
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
        ["sweep"],
        ["show"],
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


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_init_writes_runs_at_once_and_is_reported(run: Run, tmp_path: Path, kind: str) -> None:
    written = run("init", "--kind", kind)
    assert written.returncode == 0, written.stderr
    for name, own in (("my_train.py", "function"), ("my_program.py", "command")):
        assert (tmp_path / name).exists() == (name in written.stdout) == (kind == own)
    result = run("sweep", "grid.toml")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("my-study: ")
    assert run("report").returncode == 0
    text = (tmp_path / "grid.toml").read_text()
    (tmp_path / "grid.toml").write_text(
        re.sub(
            r"^# (?!A grid|scheduler|backend|command|pattern|metrics_file|file|target|splitter)",
            "",
            text,
            flags=re.M,
        )
    )
    result = run("sweep", "grid.toml", "--dry-run", "--backend", "loky")
    assert result.returncode == 0, result.stderr  # with what is commented out too


def test_init_writes_over_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my_train.py").write_text("mine")
    refused = run("init")
    assert (refused.returncode, refused.stdout) == (2, "")
    told = "gridrun: my_train.py: is there already; name a file in another directory\n"
    assert refused.stderr == told
    assert not (tmp_path / "grid.toml").exists()
    assert (tmp_path / "my_train.py").read_text() == "mine"
    assert run("init", "--kind", "cnn").returncode == 0
    refused = run("init", "--kind", "cnn")
    assert refused.stderr == "gridrun: grid.toml: is there already; name another file\n"
    assert run("init", "x.toml", "--kind", "forest").stderr == (
        "gridrun: no kind 'forest' of trainer; write function, estimator, command, cnn\n"
    )
    assert run("init", "no/x.toml", "--kind", "cnn").returncode == 2


def test_the_program_tells_its_version_and_its_commands(run: Run) -> None:
    assert run("--version").stdout.startswith("gridrun ")
    assert "sweep" in run("--help").stdout


@pytest.mark.slow
def test_the_report_holds_what_the_contract_lists_and_runs_no_code(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    run("sweep", write_grid())
    (tmp_path / "toy.py").write_text("raise SystemExit('a stranger runs code')")
    result = run("report", "--top", "2")
    assert result.returncode == 0, result.stderr
    found = {path.name for path in (tmp_path / "results" / "toy" / "report").iterdir()}
    names = ("cells", "best", "history", "timings", "effects", "isolation", "sensitivity")
    tables = {f"{name}.csv" for name in names}
    pictures = {"table.png", "surface-a-b.png", "curves.png", "effects.png", "isolation.png"}
    pictures |= {f"pairs-{pair}.png" for pair in ("a-b", "a-epochs", "b-epochs")}
    assert found == {*tables, "table.md", "table.tex", "summary.json", *pictures, "report.html"}
    best = (tmp_path / "results/toy/report/best.csv").read_text().splitlines()
    assert best[0] == "A,B,Accuracy,epochs,cell,failed"
    assert best[1].startswith("3,1.0,1.5,2,")
    assert run("status").stdout.splitlines()[-1].startswith("best accuracy 1.5: a 3, b 1.0, epochs 2")
