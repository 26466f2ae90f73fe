"""Dask's own: a scheduler apart from its workers, and nannies, which start another worker for a lost one."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.backends import DaskCluster, end, left, running_on
from tests.acceptance.conftest import Begin, Run
from tests.acceptance.test_backends import lines
from tests.acceptance.test_kills import SHORT_S, wait_until

Write = Callable[..., str]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    """A scheduler alone."""
    cluster = DaskCluster(tmp_path / "cluster")
    yield cluster
    cluster.close()


def test_workers_may_come_late_and_go_and_come_again(
    begin: Begin, write_grid: Write, tmp_path: Path, cluster: DaskCluster
) -> None:
    grid = write_grid(mode="wait")
    sweep = begin(grid, *cluster.options)
    assert sweep.stderr is not None
    assert "has no workers yet; waiting for one to join" in sweep.stderr.readline()
    machine = cluster.add_machine(slots=2)
    wait_until(lambda: len(running_on(machine, tmp_path)) == 2)
    for worker in psutil.Process(machine.pid).children():  # the nanny is left
        worker.kill()
    (tmp_path / "go").touch()
    out, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 0, out + errors
    assert "the last worker is gone; waiting for one to join" in errors
    assert lines(tmp_path, "start") == 6 + 2


def test_a_scheduler_that_dies_is_told_in_a_line_and_the_sweep_goes_on_elsewhere(
    run: Run, begin: Begin, write_grid: Write, tmp_path: Path, cluster: DaskCluster
) -> None:
    cluster.add_machine()
    grid = write_grid(a="[1, 2, 3, 4, 5, 6]", epochs="[1, 2]", nap=0.1)
    sweep = begin(grid, *cluster.options)
    wait_until(lambda: lines(tmp_path, "end") > 3)
    end(cluster.scheduler)
    out, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 3, errors
    assert errors.count("\n") == 1, errors
    assert errors.startswith(f"gridrun: the Dask scheduler at {cluster.address} is gone")
    assert "Traceback" not in out
    wait_until(lambda: not left(tmp_path), SHORT_S)
    assert json.loads(run("status", "--json").stdout)["completed"] >= 4
    assert run("sweep", grid).returncode == 0
    assert lines(tmp_path, "start") <= 12 + 2


def test_what_a_frozen_worker_was_at_is_run_elsewhere(
    write_grid: Write, tmp_path: Path, cluster: DaskCluster
) -> None:
    machines = [cluster.add_machine(), cluster.add_machine()]
    grid = write_grid(a="[1, 3, 4]", b="[1.0]", epochs="[1]", mode="wait")
    hurry = "import gridrun.dispatch._dask as d; d.FROZEN_S = 3.0; import gridrun.cli; gridrun.cli.main()"
    sweep = subprocess.Popen(
        [sys.executable, "-c", hurry, "sweep", grid, "--quiet", *cluster.options],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: all(running_on(machine, tmp_path) for machine in machines))
    frozen = psutil.Process(machines[0].pid)
    everybody = [frozen, *frozen.children(recursive=True)]
    for process in everybody:
        process.suspend()
    (tmp_path / "go").touch()
    out, errors = sweep.communicate(timeout=60)
    for process in everybody:
        process.resume()
    assert sweep.returncode == 0, out + errors
    assert "has not answered for 3 s: what it was at is run again elsewhere" in errors
    assert lines(tmp_path, "start") == 3 + 1
    wait_until(lambda: not left(tmp_path), SHORT_S)  # now that it can, it ends what it ran
