"""A sweep's plan: what is left to run, and what is asked before anything runs."""

import math
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gridrun.cell import Identity
from gridrun.errors import InputError
from gridrun.execution import TooManyFailures, _Breaker, open_sweep
from gridrun.grid import Axis, Grid
from gridrun.outcome import Failure, Outcome, Progress, Task
from gridrun.plan import FIRST, Count, Plan, count_cells, plan_sweep
from gridrun.results.standings import Standings
from gridrun.signals import Stop
from gridrun.spec import Run, Spec
from gridrun.store import Store
from tests.acceptance.quick import Watcher

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


def sweep(grid: Path, directory: Path) -> tuple[Count, Plan, list[Outcome]]:
    saved: list[Outcome] = []
    with open_sweep(Spec.read(grid), directory, Run(backend="sequential"), grid_file=grid) as begun:
        return begun.run(Stop(), Watcher(saved.extend)), begun.plan, saved


def test_a_finished_sweep_is_found_finished_without_asking_about_its_cells(tmp_path: Path) -> None:
    grid = write(tmp_path, "picky_finished", "[1, 2]")
    assert sweep(grid, tmp_path / "out")[0] == Count(completed=4)
    import picky_finished  # type: ignore[import-not-found]

    assert picky_finished.asked == [1, 2]
    count, plan, saved = sweep(grid, tmp_path / "out")
    assert (count, saved) == (Count(completed=4), [])
    assert plan.trajectories == 0
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
        assert Standings.of(store, spec, identity).best() is None
        store.save(reversed(outcomes))  # as it arrives is not as it is written
        found = Standings.of(store, spec, identity).best()
    assert found is not None
    assert (found.value, found.cell.params["a"], found.cell.budget) == expected


def plan_of(text: str, known: dict[str, Progress] | None = None) -> Plan:
    spec = Spec.parse('[sweep]\nname = "t"\ntrain = "m:f"\nmetric = "score"\n' + text, "grid.toml")
    identity = Identity("m:f", None, ((None, spec.grid.trajectory_count),))
    count, left = count_cells(spec.grid, identity, known or {})
    return Plan(spec, identity, known or {}, count, left, False)


@pytest.mark.parametrize(
    "axes",
    [
        "a = [1, 2]\nb = [1, 2, 3, 4]\nc = [1, 2, 3, 4, 5]\n",
        "a = { from = 1, to = 100, num = 100 }\nb = { from = 1, to = 100, num = 100 }\n",
        "a = [1]\nb = { from = 1, to = 10, num = 10 }\nc = [1, 2, 3, 4, 5]\n[replicate]\nseed = [1, 2]\n",
    ],
)
def test_the_first_trajectories_have_values_from_all_over_each_axis(axes: str) -> None:
    plan = plan_of("[grid]\n" + axes)
    first = list(islice(plan.tasks(), FIRST))
    for axis in plan.spec.grid.trajectory_axes:
        positions = {axis.values.index(task.params[axis.name]) for task in first}
        count = len(axis.values)
        tenths = {position * FIRST // count for position in positions}
        assert len(positions if count <= FIRST else tenths) >= min(count, FIRST) - 1


def test_the_first_trajectories_of_a_union_come_from_every_grid_and_none_is_left_out() -> None:
    axes = "a = { from = 1, to = 50, num = 50 }\nb = [1, 2]\n"
    grids = "".join(f"[[grid]]\nz = [{z}]\n{axes}" for z in range(4))
    plan = plan_of(f"{grids}[[exclude]]\nz = 1\na = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n")
    first = plan.first_tasks()
    assert {task.params["z"] for task in first} == {0, 1, 2, 3}
    every = list(plan.tasks())
    names = list(plan.spec.grid.trajectory_ids(plan.identity))
    assert [names[task.number] for task in every] == [task.trajectory for task in every]
    assert sorted(task.number for task in every) == list(range(4 * 100 - 20))


def test_the_first_trajectories_of_a_million_are_found_without_naming_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = plan_of(
        "[grid]\na = { from = 1, to = 1000, num = 1000 }\nb = { from = 1, to = 1000, num = 1000 }\n"
    )
    names = plan.spec.grid.trajectory_ids(plan.identity)
    expected = dict(enumerate(islice(names, 2000)))
    monkeypatch.setattr(Grid, "trajectory_ids", None)
    first = list(islice(plan.tasks(), FIRST))
    assert len({task.trajectory for task in first}) == FIRST
    assert all(expected.get(task.number, task.trajectory) == task.trajectory for task in first)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 6), max_size=3), min_size=1, max_size=3),
    st.integers(0, 2),
    st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    st.integers(0, 1000),
)
@example([[4, 4], []], 0, 0.0, 0)  # a grid of the budget axis alone, beside more than are run first
def test_every_trajectory_that_is_left_is_run_once_and_no_other(
    grids: list[list[int]], replicates: int, share: float, seed: int
) -> None:
    text = 'budget = "epochs"\n'
    for number, sizes in enumerate(grids):
        axes = "".join(f"x{number}{i} = {list(range(size))}\n" for i, size in enumerate(sizes))
        text += f"[[grid]]\n{axes}epochs = [1]\n"
    if replicates:
        text += f"[replicate]\nseed = {list(range(replicates))}\n"
    whole = plan_of(text)
    names = list(whole.spec.grid.trajectory_ids(whole.identity))
    chance = Random(seed)
    known = {name: Progress(1, False) for name in names if chance.random() < share}
    tasks = list(plan_of(text, known).tasks())
    left = [name for name in names if name not in known]
    assert sorted(task.trajectory for task in tasks) == sorted(left)
    assert all(names[task.number] == task.trajectory for task in tasks)
    if len(left) <= FIRST:
        assert [task.trajectory for task in tasks] == left
    else:  # all but the first are in grid order
        rest = [task.number for task in tasks[FIRST:]]
        assert rest == sorted(rest)


FAILING = """
def train(*, a, b):
    if a < {bad}:
        raise ValueError(f"no luck with {{a}} and {{b}}")
    return {{"score": 1.0}}
"""


def failing(folder: Path, name: str, bad: int, size: int = 10) -> Path:
    (folder / f"{name}.py").write_text(FAILING.format(bad=bad))
    path = folder / f"{name}.toml"
    path.write_text(
        f'[sweep]\nname = "t"\ntrain = "{name}:train"\nmetric = "score"\n'
        f"[grid]\na = {list(range(size))}\nb = {list(range(size))}\n"
    )
    return path


def test_one_corner_of_the_grid_that_fails_does_not_stop_the_sweep(tmp_path: Path) -> None:
    """In grid order the first ten, and forty more, fail alike."""
    assert sweep(failing(tmp_path, "corner", 5), tmp_path / "out")[0] == Count(completed=50, failed=50)


def test_what_fails_everywhere_alike_stops_it_and_the_message_says_how_to_go_on(tmp_path: Path) -> None:
    words = (
        r"the first 1\d trajectories all failed alike: ValueError: no luck with \d and \d \(everywhere.py:4\)"
    )
    with pytest.raises(TooManyFailures, match=words + "; go on with --max-failures 100$"):
        sweep(failing(tmp_path, "everywhere", 10), tmp_path / "out")


def test_while_one_of_the_first_still_runs_a_corner_that_fails_at_once_does_not_stop_it() -> None:
    plan = plan_of("[grid]\na = { from = 1, to = 50, num = 50 }\n")
    slow, *tasks = plan.tasks()
    breaker = _Breaker(None, plan)

    def failed(task: Task) -> Outcome:
        return Outcome(task.trajectory, task.params, (), Failure("timed out after 2 s"), 0.1)

    for task in tasks[:30]:
        breaker.look([failed(task)])
    with pytest.raises(TooManyFailures, match="the first 31 trajectories all failed alike"):
        breaker.look([failed(slow)])


def test_while_all_has_failed_alike_the_rest_waits_for_the_first_ones_for_a_stated_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = plan_of("[grid]\na = { from = 1, to = 50, num = 50 }\n")
    slow, *tasks = plan.tasks()

    def fail(breaker: _Breaker, count: int) -> None:
        for task in tasks[:count]:
            breaker.look([Outcome(task.trajectory, task.params, (), Failure("no such file"), 0.1)])

    breaker = _Breaker(None, plan)
    fail(breaker, FIRST - 1)
    assert not breaker.hold()
    fail(breaker, 1)
    assert breaker.hold()
    breaker.look([Outcome(slow.trajectory, slow.params, ({"score": 1.0},), None, 0.1)])
    assert not breaker.hold()
    asked = _Breaker(99, plan)
    fail(asked, FIRST)
    assert not asked.hold()  # as the user has said how many may fail
    monkeypatch.setattr("gridrun.execution.HOLD_S", 0.0)
    late = _Breaker(None, plan)
    fail(late, FIRST)
    assert not late.hold()


def test_in_random_order_every_trajectory_comes_once_and_each_time_in_the_same_order() -> None:
    axes = "[grid]\na = { from = 1, to = 40, num = 40 }\nb = [1, 2, 3]\n"
    known = {task.trajectory: Progress(1, failed=False) for task in islice(plan_of(axes).tasks(), 20, 50)}
    inorder = list(plan_of(axes, known).tasks())
    mixed = list(plan_of(axes + '[run]\norder = "random"\n', known).tasks())
    assert mixed == list(plan_of(axes + '[run]\norder = "random"\n', known).tasks())
    assert len(mixed) == 90
    assert sorted(mixed, key=lambda task: task.number) == sorted(inorder, key=lambda task: task.number)
    # Both halves of the first axis are met early; in grid order only the first would be.
    early = [task.params["a"] for task in mixed[:30]]
    assert 8 <= sum(isinstance(a, int) and a <= 20 for a in early) <= 22
    late = [task.params["a"] for task in inorder[FIRST:30]]
    assert all(isinstance(a, int) and a <= 20 for a in late)


def test_where_nothing_is_left_to_be_spared_nothing_is_stopped(tmp_path: Path) -> None:
    assert sweep(failing(tmp_path, "small", 3, size=3), tmp_path / "out")[0] == Count(failed=9)
    grid = failing(tmp_path, "just", 10)
    run = Run(backend="sequential", max_failures=100)
    with open_sweep(Spec.read(grid), tmp_path / "just", run, grid_file=grid) as begun:
        assert begun.run(Stop(), Watcher()) == Count(failed=100)
