"""A machine that stood still: time in which nothing ran is nobody's."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.test_kills import ledger, processes, spawn, wait_until, wait_until_alone

pytestmark = pytest.mark.slow


def test_a_sweep_that_is_stopped_and_continued_times_nothing_out(
    write_grid: Callable[..., str], tmp_path: Path
) -> None:
    grid = write_grid(a="[1, 3]", b="[0.5]", epochs="[2]", nap=0.7, run="timeout_s = 4")
    sweep = spawn(tmp_path, "sweep", grid, "--out", "out", "--quiet", stderr=subprocess.PIPE)
    wait_until(lambda: len(ledger(tmp_path)) == 2)  # both run
    everybody = [int(line.split()[0]) for line in processes(tmp_path)]
    for process in (sweep.pid, *everybody):
        os.kill(process, signal.SIGSTOP)
    time.sleep(6)  # more than the limit
    for process in (*everybody, sweep.pid):
        os.kill(process, signal.SIGCONT)
    told = sweep.communicate(timeout=60)[1]
    assert sweep.returncode == 0, told
    assert "timed out after" not in told
    wait_until_alone(tmp_path)
