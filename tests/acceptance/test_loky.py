"""The default backend's own: attempts, and what a machine may lack or an administrator may end."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.conftest import GRIDRUN, Run
from tests.acceptance.test_kills import ledger, processes

Write = Callable[..., str]


def test_one_attempt_means_one_and_each_later_one_is_counted(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    """Two attempts: test_backends.py."""
    for attempts in (1, 3):
        (tmp_path / "ledger").unlink(missing_ok=True)
        grid = write_grid(mode="kill", a="[2, 3]", epochs="[1]", nap=0.05, run=f"max_attempts = {attempts}")
        assert run("sweep", grid, "--out", str(attempts)).returncode == 1
        starts = [line for line in ledger(tmp_path) if line[:2] == ["start", "2"]]
        assert len(starts) == 2 * attempts


def test_without_pgrep_a_dead_worker_is_told_as_with_it(run: Run, write_grid: Write, tmp_path: Path) -> None:
    """A slim container has none, and loky asks it for a worker's children."""
    grid = write_grid(mode="hang", run="timeout_s = 1\nmax_attempts = 1")
    result = run("sweep", grid, PATH=str(tmp_path))
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "Warning" not in result.stderr
    assert json.loads(run("status", "--json").stdout)["failed"] == 4


def test_a_guard_that_somebody_ended_ends_nothing(run: Run, write_grid: Write, tmp_path: Path) -> None:
    grid = write_grid(a="[1, 3, 4, 5, 6, 7]", nap=0.05)
    sweep = subprocess.Popen(
        [GRIDRUN, "sweep", grid], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    guards: list[str] = []
    while not guards:
        guards = [line.split()[0] for line in processes(tmp_path) if "-I -S" in line]
    while not ledger(tmp_path):
        pass
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(guards[0]), signal.SIGKILL)
    assert sweep.wait(timeout=60) == 0
    assert json.loads(run("status", "--json").stdout)["completed"] == 24
