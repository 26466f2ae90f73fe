"""The examples that train estimators: each runs as it stands, killed half-way and resumed."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from gridrun.errors import InputError
from gridrun.store import Store
from tests.acceptance.conftest import Run
from tests.acceptance.test_kills import csv_of, spawn, wait_until, wait_until_alone

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ["estimator", "pipeline", "xgboost"]


def kept(directory: Path) -> int:
    """How many trajectories are on disk."""
    try:
        with Store.read(directory) as store:
            return len(store.progress())
    except InputError:  # it has not begun
        return 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_example_killed_half_way_goes_on_where_it_was(run: Run, tmp_path: Path, name: str) -> None:
    if name == "xgboost":
        pytest.importorskip("xgboost")
    shutil.copytree(EXAMPLES / name, tmp_path, dirs_exist_ok=True)
    whole = run("sweep", "grid.toml", "--out", "whole", "--jobs", "2")
    assert whole.returncode == 0, whole.stderr
    sweep = spawn(tmp_path, "sweep", "grid.toml", "--out", "cut", "--jobs", "2")
    wait_until(lambda: kept(tmp_path / "cut") >= 3)
    assert sweep.poll() is None
    os.killpg(sweep.pid, signal.SIGKILL)
    sweep.wait()
    wait_until_alone(tmp_path)
    done = kept(tmp_path / "cut")
    assert 3 <= done < kept(tmp_path / "whole")
    again = run("sweep", "grid.toml", "--out", "cut", "--jobs", "2")
    assert again.returncode == 0, again.stderr
    total = kept(tmp_path / "whole")
    assert f"{total - done} trajectories, 2 workers" in again.stdout.splitlines()[0]
    assert csv_of(run, tmp_path / "cut") == csv_of(run, tmp_path / "whole")
