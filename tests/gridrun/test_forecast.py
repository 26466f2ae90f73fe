"""Time left: from what trajectories of each kind have taken, told when it is known, with its range."""

import heapq
import math
from collections.abc import Callable, Iterator
from random import Random

import pytest

from gridrun.cell import Identity, Params
from gridrun.duration import tell_seconds
from gridrun.forecast import Forecast
from gridrun.outcome import Failure, Outcome, Progress
from gridrun.plan import Plan, count_cells
from gridrun.spec import Spec

Cost = Callable[[Params], float]


def plan_of(text: str, known: dict[str, Progress] | None = None) -> Plan:
    spec = Spec.parse('[sweep]\nname = "t"\ntrain = "m:f"\nmetric = "score"\n' + text, "grid.toml")
    identity = Identity("m:f", None, ((None, spec.grid.trajectory_count),))
    count, left = count_cells(spec.grid, identity, known or {})
    return Plan(spec, identity, known or {}, count, left, False)


def play(plan: Plan, cost: Cost, workers: int) -> Iterator[tuple[int, tuple[float, float] | None, float]]:
    """A sweep by a clock of its own: yield how many have finished, the forecast, and what was really left."""
    forecast, clock, running = Forecast(plan, workers), 0.0, list[tuple[float, int]]()
    tasks = list(plan.tasks())
    ends, free = [], [0.0] * workers
    for number, task in enumerate(tasks):
        begun = heapq.heappop(free)
        heapq.heappush(free, begun + cost(task.params))
        heapq.heappush(running, (begun + cost(task.params), number))
        ends.append(begun + cost(task.params))
    for finished in range(1, len(tasks) + 1):
        clock, number = heapq.heappop(running)
        task = tasks[number]
        outcome = Outcome(task.trajectory, task.params, (), None, cost(task.params), number=task.number)
        forecast.add([outcome], clock)
        yield finished, forecast.seconds(clock), max(ends) - clock


GRID = "[grid]\nrate = [1, 2, 3, 4]\nbatch = [30, 10, 5, 3, 1]\ndropout = [0.2, 0.3, 0.4, 0.6]\n"


def by_batch(params: Params) -> float:
    batch = params["batch"]
    assert isinstance(batch, int)
    return 1 + 30 / batch


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_end_is_foreseen_where_kinds_differ_thirtyfold(workers: int) -> None:
    for finished, told, left in play(plan_of(GRID), by_batch, workers):
        if told is not None and finished >= 15 and left > 10:
            low, high = told
            assert 0.8 * low <= left <= 1.2 * high
            assert high - low < max(left, 35)
        if 30 <= finished < 80:
            assert told is not None


def test_the_range_holds_what_comes_nearly_always_and_is_narrow_where_costs_are_alike() -> None:
    hits, widths = [], []
    for seed in range(20):
        noise = {}

        def cost(params: Params, noise: dict[str, float] = noise, seed: int = seed) -> float:
            return noise.setdefault(str(params), Random(f"{seed} {params}").lognormvariate(0, 0.5))

        for finished, told, left in play(plan_of(GRID), cost, 2):
            if 20 <= finished <= 70:
                assert told is not None
                hits.append(told[0] <= left <= told[1])
    assert sum(hits) / len(hits) > 0.85
    for finished, told, left in play(plan_of(GRID), lambda _: 3.0, 1):
        if finished >= 20 and told is not None and left > 0:
            widths.append((told[1] - told[0]) / left)
    assert max(widths) < 0.01


def test_nothing_is_said_before_every_kind_was_measured_and_when_all_is_done() -> None:
    told = list(play(plan_of("[grid]\na = [1, 2]\nb = [1, 2, 3]\n"), lambda _: 1.0, 1))
    assert [found is not None for _, found, _ in told] == [False, False, False, True, True, False]


def test_of_what_is_done_already_nothing_is_left() -> None:
    plan = plan_of(GRID)
    names = list(plan.spec.grid.trajectory_ids(plan.identity))
    known = {name: Progress(1, False) for name in names[:40]}
    found = [each for each in play(plan_of(GRID, known), by_batch, 2) if each[1] is not None]
    for finished, told, left in found:
        assert told is not None
        if finished >= 20 and left > 10:
            assert 0.8 * told[0] <= left <= 1.2 * told[1]


def test_the_epochs_of_a_running_trajectory_say_how_long_it_will_take() -> None:
    plan = plan_of('budget = "epochs"\n[grid]\na = [1]\nepochs = [10]\n[replicate]\nseed = [1, 2, 3, 4]\n')
    forecast, tasks = Forecast(plan, 2), list(plan.tasks())
    history = [{"score": 0.0}] * 10
    for task in tasks[:3]:
        done = Outcome(task.trajectory, task.params, history, None, 100.0, number=task.number)
        forecast.add([done], 300.0)
    last = tasks[3]
    underway = Outcome(
        last.trajectory, last.params, history[:4], None, 80.0, number=last.number, underway=True
    )
    forecast.add([underway], 300.0)
    found = forecast.seconds(310.0)
    assert found is not None
    assert found[0] <= 110 <= found[1]


def test_what_fails_at_once_costs_nothing_more() -> None:
    plan = plan_of("[grid]\na = [1, 2, 3, 4, 5]\nb = [1, 2, 3, 4, 5]\n")
    forecast, clock = Forecast(plan, 1), 0.0
    for task in list(plan.tasks())[:15]:
        fails = task.params["a"] == 1
        clock += 0.0 if fails else 10.0
        failure = Failure("no luck") if fails else None
        outcome = Outcome(
            task.trajectory, task.params, (), failure, 0.0 if fails else 10.0, number=task.number
        )
        forecast.add([outcome], clock)
    told = forecast.seconds(clock)
    left = sum(10.0 for task in list(plan.tasks())[15:] if task.params["a"] != 1)
    assert told is not None
    assert sum(told) / 2 == pytest.approx(left, rel=0.2)


def test_of_a_million_trajectories_some_stand_for_all() -> None:
    plan = plan_of(
        "[grid]\na = { from = 1, to = 1000, num = 1000 }\nb = { from = 1, to = 1000, num = 1000 }\n"
    )
    forecast = Forecast(plan, 4)
    for number, task in enumerate(plan.first_tasks()):
        outcome = Outcome(task.trajectory, task.params, (), None, 2.0, number=task.number)
        forecast.add([outcome], 2.0 * (1 + number // 4))
    told = forecast.seconds(6.0)
    assert told is not None
    assert told[0] <= 2.0 * (10**6 - 10) / 4 <= told[1] * 1.05
    assert math.isfinite(told[1])


@pytest.mark.parametrize(
    ("span", "words"),
    [
        ((0.2, 0.4), "1 s"),
        ((7.6, 8.4), "8 s"),
        ((12, 19), "12 to 19 s"),
        ((90, 300), "1.5 to 5 min"),
        ((5000, 5040), "83 to 84 min"),
        ((5000, 9000), "1.4 to 2.5 h"),
        ((86400 * 5, 86400 * 5.001), "5 days"),
    ],
)
def test_time_is_told_as_exactly_as_it_is_known(span: tuple[float, float], words: str) -> None:
    assert tell_seconds(*span) == words
