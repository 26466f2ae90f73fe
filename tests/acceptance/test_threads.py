"""`[run] threads`: what a cell's libraries may use, whatever runs the cell."""

import csv
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run

COUNTING = """
import os

import numpy
from threadpoolctl import threadpool_info


def train(*, a):
    pools = [pool["num_threads"] for pool in threadpool_info()]
    return {"m": 0, "least": min(pools), "most": max(pools), "said": int(os.environ["OMP_NUM_THREADS"])}
"""


@pytest.mark.parametrize("backend", ["loky", "sequential", "dask"])
@pytest.mark.parametrize(
    ("line", "environment", "threads"),
    [("", {}, 1), ("", {"OMP_NUM_THREADS": "2"}, 2), ("threads = 2", {"OMP_NUM_THREADS": "1"}, 2)],
    ids=["one", "the user's own", "asked for"],
)
def test_a_cell_has_the_threads_asked_for_or_the_users_own_or_one(
    run: Run, tmp_path: Path, backend: str, line: str, environment: dict[str, str], threads: int
) -> None:
    (tmp_path / "counting.py").write_text(COUNTING)
    (tmp_path / "g.toml").write_text(
        '[sweep]\nname = "t"\ntrain = "counting:train"\nmetric = "m"\nmode = "max"\n'
        f'[grid]\na = [1]\n[run]\njobs = 1\nbackend = "{backend}"\n{line}\n'
    )
    own = {"OMP_NUM_THREADS": "", **environment}
    assert run("sweep", "g.toml", **own).returncode == 0
    assert run("report").returncode == 0
    with (tmp_path / "results/t/report/cells.csv").open() as file:
        (cell,) = csv.DictReader(file)
    assert {float(cell[name]) for name in ("least", "most", "said")} == {threads}
