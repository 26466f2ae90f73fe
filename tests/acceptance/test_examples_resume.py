"""The example that keeps checkpoints, killed amid its trajectories, repeats what it was at and no more."""

import os
import random
import signal
import time
from pathlib import Path
from shutil import copytree

import pytest

from tests.acceptance.quick import tables_of
from tests.acceptance.test_examples_commands import EXAMPLES, sweep
from tests.acceptance.test_kills import SEED, spawn, wait_until, wait_until_alone

JOBS = 2


def ledger(folder: Path) -> list[str]:
    path = folder / "ledger"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.slow
def test_a_loop_that_keeps_checkpoints_repeats_the_epoch_it_was_at(tmp_path: Path) -> None:
    print(f"GRIDRUN_SEED={SEED}")
    chance = random.Random(f"{SEED} example")
    folder = copytree(EXAMPLES / "checkpoint", tmp_path / "checkpoint")
    loop = folder / "loop.py"
    note = "print(learning_rate, momentum, epoch, file=open('ledger', 'a'))"
    loop.write_text(
        loop.read_text().replace("            order =", f"            {note}\n            order =")
    )
    kills = 3
    for kill in range(kills):
        killed = spawn(folder, "sweep", "grid.toml", "--out", "cut", "--jobs", str(JOBS))
        wanted = len(ledger(folder)) + chance.randint(2, 9)
        wait_until(lambda wanted=wanted: len(ledger(folder)) >= wanted)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.1))
        assert killed.poll() is None, kill
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        wait_until_alone(folder)
    resumed = sweep(folder, "cut", "--jobs", str(JOBS))
    assert resumed.returncode == 0, resumed.stderr
    ran = ledger(folder)
    assert len(set(ran)) == 4 * 10
    assert len(ran) - len(set(ran)) <= kills * JOBS
    whole = sweep(folder, "whole", "--backend", "sequential")
    assert whole.returncode == 0, whole.stderr
    scratch = tmp_path / "scratch"
    assert tables_of(folder / "cut", scratch) == tables_of(folder / "whole", scratch)


def test_it_takes_ten_lines_beyond_what_was_there() -> None:
    lines = (EXAMPLES / "checkpoint" / "loop.py").read_text().splitlines()
    assert sum("# added" in line for line in lines) == 10
