"""What a cell may do to its process, on each backend: it fails, told by name; every other one finishes."""

import contextlib
import csv
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gridrun.store import Store
from tests.acceptance.conftest import GRIDRUN, Run
from tests.acceptance.test_kills import ledger, processes, wait_until_alone

Write = Callable[..., str]

# What cells with a = 2 do, and how their failure is told. The words are the same on every backend.
RAISED = [
    ("raise", "ValueError: bad luck in two lines"),
    ("sysexit", "SystemExit: 4"),
    ("cancelled", "CancelledError"),
    ("interrupt", "KeyboardInterrupt"),
    ("mute", "Mute: (no text: its __str__ raised RuntimeError)"),
    ("surrogate", "ValueError: no such file: \\udcff"),
    ("forked", "ValueError: the child came back as well"),
]
DIED = [
    ("kill", "its worker died 2 times, last by SIGKILL"),
    ("segv", "its worker died 2 times, last by SIGSEGV"),
    ("usr1", "its worker died 2 times, last by SIGUSR1"),
    ("realtime", "its worker died 2 times, last by signal 40"),
    ("exit", "its worker died 2 times, last by exit code 3"),
    ("hang", "timed out after 2 s"),
    ("hang-native", "timed out after 2 s"),
    ("subprocess", "timed out after 2 s"),
]
FAULTS = [
    *(("loky", mode, reason) for mode, reason in RAISED + DIED),
    *(("sequential", mode, reason) for mode, reason in RAISED),
]


@pytest.mark.parametrize(("backend", "mode", "reason"), FAULTS)
def test_a_cell_that_fails_is_recorded_and_the_others_finish(
    run: Run, write_grid: Write, tmp_path: Path, backend: str, mode: str, reason: str
) -> None:
    limits = "" if backend == "sequential" else "timeout_s = 2\nmax_attempts = 2"
    result = run("sweep", write_grid(mode=mode, run=f'backend = "{backend}"\n{limits}'))
    assert result.returncode == 1, result.stderr
    assert "8 completed, 4 failed" in result.stdout
    with Store.read(tmp_path / "results/toy") as store:
        assert [failure.reason for _, failure in store.failures()] == [reason] * 2
    wait_until_alone(tmp_path)  # what a cell has started ends with its worker
    ends = [line for line in ledger(tmp_path) if line[0] == "end"]
    assert len(ends) == len({tuple(line) for line in ends}) == 4  # no innocent one was run twice


def test_a_failed_cell_is_told_with_its_stack_and_left_alone_afterwards(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    grid = write_grid(mode="hang-native", run="timeout_s = 2")
    assert run("sweep", grid).returncode == 1
    again = run("sweep", grid)
    assert again.returncode == 1
    assert "8 cached, 4 failed" in again.stdout
    counts = {"total": 12, "completed": 8, "failed": 4, "pending": 0}
    assert json.loads(run("status", "--json").stdout) == counts
    assert run("report").returncode == 0
    with (tmp_path / "results/toy/report/cells.csv").open() as file:
        failed = [row["cell"] for row in csv.DictReader(file) if row["status"] == "failed"]
    shown = run("show", failed[-1][:12]).stdout
    assert "timed out after 2 s" in shown
    assert "in misbehave" in shown


@pytest.mark.parametrize("mode", ["late-exit", "thread"])
def test_what_a_cell_leaves_running_neither_ends_nor_holds_up_the_sweep(
    run: Run, write_grid: Write, tmp_path: Path, mode: str
) -> None:
    """A thread that ends the process when the cell is long done, and one that never ends itself."""
    result = run("sweep", write_grid(a="[1, 2, 3, 4, 5, 6]", mode=mode, nap=0.1))
    assert result.returncode == 0, result.stderr
    wait_until_alone(tmp_path)


def test_one_attempt_means_one_and_each_later_one_is_counted(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    for attempts in (1, 3):
        (tmp_path / "ledger").unlink(missing_ok=True)
        grid = write_grid(mode="kill", nap=0.05, run=f"max_attempts = {attempts}")
        assert run("sweep", grid, "--out", str(attempts)).returncode == 1
        starts = [line for line in ledger(tmp_path) if line[:2] == ["start", "2"]]
        assert len(starts) == 2 * attempts


def test_without_pgrep_a_dead_worker_is_told_as_with_it(run: Run, write_grid: Write, tmp_path: Path) -> None:
    """A slim container has none, and loky asks it for a worker's children."""
    grid = write_grid(mode="hang", run="timeout_s = 1\nmax_attempts = 1")
    result = subprocess.run(
        [GRIDRUN, "sweep", grid], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PATH": str(tmp_path)},
    )  # fmt: skip
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "Warning" not in result.stderr
    assert json.loads(run("status", "--json").stdout)["failed"] == 4


def test_a_guard_that_somebody_ended_ends_nothing(run: Run, write_grid: Write, tmp_path: Path) -> None:
    grid = write_grid(a="[1, 3, 4, 5, 6, 7]", nap=0.1)
    sweep = subprocess.Popen(
        [GRIDRUN, "sweep", grid], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    guards: list[str] = []
    while not guards:
        guards = [line.split()[0] for line in processes(tmp_path) if "-I -S -c" in line]
    while not ledger(tmp_path):
        pass
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(guards[0]), signal.SIGKILL)
    assert sweep.wait(timeout=60) == 0
    assert json.loads(run("status", "--json").stdout)["completed"] == 24
