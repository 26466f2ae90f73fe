"""The examples that need no package more: each is killed half-way, resumed, and compared with a clean run."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import pytest

from gridrun.errors import InputError
from gridrun.spec import Spec
from gridrun.store import Store
from tests.acceptance.conftest import GRIDRUN
from tests.acceptance.quick import tables_of
from tests.acceptance.test_kills import wait_until, wait_until_alone

EXAMPLES = Path(__file__).parents[2] / "examples"
# python is the one that runs the tests, as in an environment that was activated.
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def sweep(folder: Path, out: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [GRIDRUN, "sweep", "grid.toml", "--out", out, *options], cwd=folder, env=ENVIRONMENT, timeout=120,
        capture_output=True, text=True,
    )  # fmt: skip


def kept(directory: Path) -> int:
    try:
        with Store.read(directory) as store:
            return len(store.progress())
    except InputError:  # it has not begun
        return 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["argparse", "shell", "function", "file"])
def test_an_example_that_is_killed_half_way_ends_with_the_bytes_of_a_clean_run(
    tmp_path: Path, name: str
) -> None:
    folder = copytree(EXAMPLES / name, tmp_path / name)
    whole = sweep(folder, "whole", "--backend", "sequential")
    assert whole.returncode == 0, whole.stderr
    killed = subprocess.Popen(
        [GRIDRUN, "sweep", "grid.toml", "--out", "cut", "--jobs", "1"], cwd=folder, env=ENVIRONMENT,
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: kept(folder / "cut") >= 2)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    wait_until_alone(folder)
    done = kept(folder / "cut")
    assert done < Spec.read(folder / "grid.toml").grid.trajectory_count
    resumed = sweep(folder, "cut", "--jobs", "2")
    assert resumed.returncode == 0, resumed.stderr
    assert f" {2 * done} cached, " in resumed.stdout
    assert tables_of(folder / "cut", tmp_path / "scratch") == tables_of(
        folder / "whole", tmp_path / "scratch"
    )


@pytest.mark.parametrize("grid", sorted(EXAMPLES.glob("*/grid.toml")), ids=lambda grid: grid.parent.name)
def test_an_example_takes_few_lines_beyond_what_was_there(grid: Path) -> None:
    lines = [
        line for line in grid.read_text().splitlines() if line.strip() and not line.startswith(("#", "["))
    ]
    assert len(lines) <= 10, lines
