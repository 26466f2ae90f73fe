"""Whatever a cell does, on every backend: it alone has failed, or it is completed as in plain Python."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from shutil import copy

import pytest

from gridrun.spec import Spec
from gridrun.store import Store
from tests.acceptance.backends import BACKENDS, Backend, left, start
from tests.acceptance.conftest import GRIDRUN, HERE, SOAK
from tests.acceptance.misbehaviour import WAYS
from tests.acceptance.test_kills import SHORT_S, wait_until, wait_until_alone

pytestmark = pytest.mark.slow
# In `make test`, which has part of this on clusters in test_backends.py.
SAMPLE = (
    *("notes interrupt", "unsendable", "pretends to exit", "circle", "table exits", "group killed"),
    *("forks many", "writes everywhere"),
)
TRIED = [backend for backend in BACKENDS if SOAK or backend.cluster is None]
# Whether each cell has a process for itself, for which there must be workers.
RUNS = [
    pytest.param(backend, leaves, id=f"{backend}, {'a process for each' if leaves else 'one process'}")
    for backend in TRIED
    for leaves in ((False, True) if backend.facts.ends_cells else (False,))
]


@pytest.mark.parametrize(("backend", "leaves"), RUNS)
def test_whatever_a_cell_does_it_alone_has_failed_or_is_completed(
    tmp_path: Path, backend: Backend, leaves: bool
) -> None:
    if not backend.installed:
        pytest.skip(f"{backend.name} is not installed")
    ends_cells = backend.facts.ends_cells
    ways = [
        name
        for name, way in WAYS.items()
        if (SOAK or name in SAMPLE) and way.leaves == leaves and (ends_cells or not way.needs_worker)
    ]
    write_files(tmp_path, ways, ends_cells=ends_cells, leaves=leaves)
    with start(backend, tmp_path / "cluster") as place:
        command = [GRIDRUN, "sweep", "g.toml", *place.options]
        first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
        assert "Traceback" not in first.stdout + first.stderr
        found = reasons(tmp_path / "results/m")
        wrong = {
            (way, n): reason
            for (way, n), reason in found.items()
            if reason is None or not matches(reason, WAYS[way].ends if n == 0 else "")
        }
        assert not wrong, "\n".join(f"{cell}: {reason}" for cell, reason in wrong.items())
        failed = sum(bool(reason) for reason in found.values())
        assert first.returncode == bool(failed), first.stderr
        assert f"{len(found) - failed} completed, {failed} failed" in first.stdout
        wait_until(lambda: not left(tmp_path), SHORT_S)
        if place.cluster is None:
            wait_until_alone(tmp_path)


def matches(reason: str, expected: str) -> bool:
    return re.match(expected, reason) is not None if expected else not reason


def write_files(folder: Path, ways: Sequence[str], *, ends_cells: bool, leaves: bool) -> None:
    package = folder / "tests/acceptance"
    package.mkdir(parents=True)
    for name in ("misbehaviour.py", "owner.py", "toy.py"):
        copy(HERE / name, package)
    run = ["max_failures = 1000"]
    if ends_cells:
        run += ["timeout_s = 3", "max_attempts = 2"]
    if leaves:
        run += ["max_tasks_per_worker = 1"]
    (folder / "g.toml").write_text(
        '[sweep]\nname = "m"\ntrain = "tests.acceptance.misbehaviour:train"\nmetric = "score"\n'
        f'[fixed]\nledger = "{folder}/ledger"\n'
        f"[grid]\nn = [0, 1]\nwhat = {json.dumps(list(ways))}\n[run]\njobs = 2\n" + "\n".join(run) + "\n"
    )


def reasons(directory: Path) -> dict[tuple[str, int], str | None]:
    """Of each cell why it has failed, "" if it is completed, None if there is nothing of it."""
    with Store.read(directory) as store:
        grid = Spec.parse(store.grid_text(), "").grid
        names = list(grid.trajectory_ids(store.identity()))
        known = {name: "" for name, _ in store.histories()} | {n: f.reason for n, f in store.failures()}
        params = [grid.trajectory_params(index) for index in range(len(names))]
    return {(str(p["what"]), int(str(p["n"]))): known.get(n) for n, p in zip(names, params, strict=True)}
