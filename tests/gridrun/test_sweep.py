"""A sweep's plan: what is left to run, and what is asked before anything runs."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from gridrun.cell import Identity
from gridrun.dispatch import Stop
from gridrun.errors import InputError
from gridrun.grid import Axis, Grid
from gridrun.spec import Run, Spec
from gridrun.store import Outcome, Progress, Store
from gridrun.sweep import Count, Plan, best_so_far, count_cells, plan_sweep, run_sweep

PICKY = """
asked = []

def train(*, a, epochs=1):
    for _ in range(epochs):
        yield {"score": float(a)}

def validate(*, a):
    asked.append(a)
    if a < 0:
        raise ValueError(f"a must be 0 or more, found {a}")

train.validate = validate
"""


def write(folder: Path, name: str, values: str) -> Path:
    (folder / f"{name}.py").write_text(PICKY)
    path = folder / f"{name}.toml"
    path.write_text(
        f'[sweep]\nname = "t"\ntrain = "{name}:train"\nmetric = "score"\nbudget = "epochs"\n'
        f"[grid]\na = {values}\nepochs = [1, 3]\n"
    )
    return path


def sweep(grid: Path, directory: Path) -> tuple[Count, list[Plan], list[Outcome]]:
    plans: list[Plan] = []
    saved: list[Outcome] = []

    def add(outcomes: Sequence[Outcome]) -> None:
        saved.extend(outcomes)

    count = run_sweep(
        Spec.read(grid),
        directory,
        Run(backend="sequential"),
        grid_file=grid,
        stop=Stop(),
        started=lambda plan, _: plans.append(plan),
        saved=add,
        tell=lambda _: None,
    )
    return count, plans, saved


def test_a_finished_sweep_is_found_finished_without_asking_about_its_cells(tmp_path: Path) -> None:
    grid = write(tmp_path, "picky_finished", "[1, 2]")
    assert sweep(grid, tmp_path / "out")[0] == Count(completed=4)
    import picky_finished  # type: ignore[import-not-found]

    assert picky_finished.asked == [1, 2]
    count, plans, saved = sweep(grid, tmp_path / "out")
    assert (count, saved) == (Count(completed=4), [])
    assert [plan.trajectories for plan in plans] == [0]
    assert plan_sweep(Spec.read(grid), grid, tmp_path / "out").count == Count(completed=4)
    assert picky_finished.asked == [1, 2]


def test_a_refused_cell_starts_nothing_and_leaves_no_directory(tmp_path: Path) -> None:
    grid = write(tmp_path, "picky_refused", "[1, -2]")
    with pytest.raises(InputError, match="found -2"):
        sweep(grid, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_refused_cell_of_a_wider_grid_leaves_the_sweep_as_it_was(tmp_path: Path) -> None:
    sweep(write(tmp_path, "picky_wider", "[1]"), tmp_path / "out")
    before = (tmp_path / "out" / "sweep.db").read_bytes()
    with pytest.raises(InputError, match="found -2"):
        sweep(write(tmp_path, "picky_wider", "[1, -2]"), tmp_path / "out")
    assert (tmp_path / "out" / "sweep.db").read_bytes() == before


@pytest.mark.parametrize(
    ("retry", "expected", "left"),
    [
        (False, Count(completed=3, failed=3, pending=2), 1),
        (True, Count(completed=3, failed=0, pending=5), 3),
    ],
)
def test_cells_are_counted_by_what_is_known_of_their_trajectories(
    retry: bool, expected: Count, left: int
) -> None:
    grid = Grid((Axis("a", (1, 2, 3, 4)), Axis("epochs", (2, 5))), budget="epochs")
    identity = Identity("m:f", None, ((None, 4),))
    names = list(grid.trajectory_ids(identity))
    known = {
        names[0]: Progress(5, False),
        names[1]: Progress(3, True),  # its 2-epoch cell is completed, the other one failed
        names[2]: Progress(0, True),
        "a stranger": Progress(9, False),
    }
    assert count_cells(grid, identity, known, retry_failed=retry) == (expected, left)


@pytest.mark.parametrize(("mode", "expected"), [("max", (5.0, 2, 3)), ("min", (1.0, 1, 1))])
def test_the_best_so_far_is_the_first_of_equals_in_grid_order_and_never_diverged(
    tmp_path: Path, mode: str, expected: tuple[float, int, int]
) -> None:
    text = (
        f'[sweep]\nname = "t"\ntrain = "m:f"\nmetric = "score"\nmode = "{mode}"\nbudget = "epochs"\n'
        "[grid]\nepochs = [1, 3]\na = [1, 2, 3, 4]\n"
    )
    spec = Spec.parse(text, "grid.toml")
    identity = Identity("m:f", None, ((None, 4),))
    scores = {1: (1.0, 9.0, 2.0), 2: (1.0, 9.0, 5.0), 3: (math.inf, -math.inf, math.nan), 4: (1.0, 0.0, 5.0)}
    outcomes = []
    for index, name in enumerate(spec.grid.trajectory_ids(identity)):
        params = spec.grid.trajectory_params(index)
        outcomes.append(Outcome(name, params, [{"score": s} for s in scores[index + 1]], None, 0.1))
    with Store.write(tmp_path) as store:
        store.begin(text, identity, {}, {})
        assert best_so_far(store, spec) is None
        store.save(reversed(outcomes))  # as it arrives is not as it is written
        found = best_so_far(store, spec)
    assert found is not None
    assert (found[0], found[1].params["a"], found[1].budget) == expected
