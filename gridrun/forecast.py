"""How long the rest of a sweep takes, from what its trajectories have taken so far.

A trajectory's cost is predicted as the mean times a factor for each value on the axes that it depends on, by
which those that had the value took longer. So where batches of 1 take ten times as long as others, and come
last, the end is not promised too soon. How far off earlier predictions were makes the range.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gridrun.cell import Params, encode_value
from gridrun.outcome import NOTHING, Outcome
from gridrun.plan import FIRST, Plan, needed_epochs

# Of a larger sweep so many trajectories stand for all that are left, or done: 40 ms to find them, or to fit.
MOST_SAMPLED = 2000
# An axis counts if it takes away so much of the squared error.
ENOUGH = 0.9
# Before so many have finished nothing is said.
LEAST = 3
# That a value's factor is 1 counts as so much of a trajectory that was seen.
PRIOR = 0.1
# Where one in so many trajectories is done, values that none of them had are taken to be as the others.
SHARE = 3
# Standard deviations to each side of what is expected.
WIDTH = 2.0

_Value = tuple[str, object]  # an axis and where on it
_Kind = tuple[_Value, ...]


@dataclass
class _Mean:
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1


@dataclass(frozen=True)
class _Underway:
    """A running trajectory that has told of its epochs: its seconds so far, in all, and when it told."""

    so_far: float
    whole: float
    told_at: float

    def left(self, now: float) -> float:
        return max(0.0, self.whole - self.so_far - (now - self.told_at))


class Forecast:
    """What is left of a sweep, in seconds."""

    def __init__(self, plan: Plan, workers: int) -> None:
        self._plan, self._workers = plan, max(1, workers)
        self._places = {
            axis.name: {encode_value(value): place for place, value in enumerate(axis.values)}
            for axis in plan.spec.grid.axes
            if axis.name != plan.spec.grid.budget and len(axis.values) > 1
        }
        self._all = _Mean()
        self._seen: list[tuple[_Kind, float]] = []
        self._values: set[_Value] = set()  # that were seen
        self._factors: dict[_Value, float] | None = None
        self._chance = random.Random(0)
        self._errors = _Mean()  # squares, of predictions by what was known before
        self._left: dict[int, _Kind] = {}  # by number, trajectories that stand for all that are left
        self._underway: dict[int, _Underway] = {}
        self._began = math.inf

    def add(self, outcomes: Sequence[Outcome], now: float) -> None:
        """Learn from outcomes that were just committed, at a monotonic clock's `now`."""
        if self._began == math.inf:
            self._left = dict(self._sample())
        # What came before the first one, importing and compiling, is over.
        self._began = min(self._began, *(now - outcome.wall_s for outcome in outcomes))
        finished = [outcome for outcome in outcomes if not outcome.underway]
        for outcome in outcomes:
            if outcome.underway:
                self._look_at(outcome, now)
            else:
                self._underway.pop(outcome.number, None)
                self._left.pop(outcome.number, None)
        # Of very many, some: what takes 10 us for each would be felt.
        for outcome in finished[: 1 if len(self._seen) == MOST_SAMPLED else None]:
            kind = self._kind(outcome.params)
            if self._factors is not None:
                self._errors.add((outcome.wall_s - self._predict(kind)) ** 2)
            self._values.update(kind)
            if len(self._seen) < MOST_SAMPLED:
                self._seen.append((kind, outcome.wall_s))
            else:
                self._seen[self._chance.randrange(MOST_SAMPLED)] = (kind, outcome.wall_s)
        for outcome in finished:
            self._all.add(outcome.wall_s)

    def seconds(self, now: float) -> tuple[float, float] | None:
        """The least and the most that the rest is expected to take; None while that can't be told."""
        finished = self._all.count
        count = self._plan.trajectories - finished
        if finished < LEAST or count <= 0 or not self._left or not self._is_known():
            return None
        self._fit()
        each = [
            self._underway[number].left(now) if number in self._underway else self._predict(kind)
            for number, kind in self._left.items()
        ]
        mean = self._all.total / finished
        # What runs now is half done, on average, and has not been counted.
        busy = (self._all.total + 0.5 * self._workers * mean) / max(now - self._began, 1e-6)
        middle = max(count * sum(each) / len(each) / min(busy, self._workers), min(each))
        spread = math.sqrt(self._errors.total / self._errors.count) if self._errors.count else mean
        half = WIDTH * spread * math.sqrt(count + count * count / finished) / min(busy, self._workers)
        # The last ones do not end together.
        half += 0.5 * max(each) * (1 - 1 / self._workers)
        return max(0.0, middle - half), middle + half

    def _look_at(self, outcome: Outcome, now: float) -> None:
        known = self._plan.known.get(outcome.trajectory, NOTHING)
        needed = needed_epochs(known, self._plan.spec.grid.budgets, self._plan.retry_failed)
        done = len(outcome.history)
        if done:
            whole = outcome.wall_s * max(needed, done) / done
            self._underway[outcome.number] = _Underway(outcome.wall_s, whole, now)

    def _kind(self, params: Params) -> _Kind:
        """Its value on each axis, or of an axis with many values in which tenth it lies."""
        found: list[_Value] = []
        for name, places in self._places.items():
            place: object = places[encode_value(params[name])] if name in params else None
            if isinstance(place, int) and len(places) > FIRST:
                place = place * FIRST // len(places)
            found.append((name, place))
        return tuple(found)

    def _predict(self, kind: _Kind) -> float:
        mean = self._all.total / self._all.count
        return mean * math.prod(self._factors.get(value, 1.0) for value in kind) if self._factors else mean

    def _fit(self) -> None:
        """Find the axes that the cost depends on, one by one, the one that tells most first.

        What an axis tells of a trajectory is what it says without that trajectory: among a dozen of them
        there is always one that agrees with the costs by chance.
        """
        mean = self._all.total / self._all.count
        self._factors = {}
        rest, costs = set(range(len(self._places))), [seconds for _, seconds in self._seen]
        told = [mean] * len(costs)
        error = _squares(costs, told)
        while rest and error > 0:
            found = {place: self._leave_one_out(place, told, PRIOR * mean) for place in rest}
            place = min(rest, key=lambda place: found[place][0])
            if found[place][0] > ENOUGH * error:
                break
            factors = found[place][1]
            told = [cost * factors[kind[place]] for cost, (kind, _) in zip(told, self._seen, strict=True)]
            self._factors |= factors
            error = min(found[place][0], _squares(costs, told))
            rest.remove(place)

    def _leave_one_out(
        self, place: int, told: list[float], prior: float
    ) -> tuple[float, dict[_Value, float]]:
        """The squared error with that axis, each trajectory told by the others; and the axis's factors."""
        took: dict[_Value, float] = {}
        without: dict[_Value, float] = {}
        for (kind, seconds), cost in zip(self._seen, told, strict=True):
            value = kind[place]
            took[value] = took.get(value, prior) + seconds
            without[value] = without.get(value, prior) + cost
        error = 0.0
        for (kind, seconds), cost in zip(self._seen, told, strict=True):
            value = kind[place]
            factor = max(0.0, took[value] - seconds) / max(without[value] - cost, prior)
            error += (seconds - cost * factor) ** 2
        return error, {value: took[value] / without[value] for value in took}

    def _is_known(self) -> bool:
        """Whether what is left is of kinds that were measured."""
        if self._all.count * SHARE >= self._plan.trajectories and self._all.count >= FIRST:
            return True
        return all(value in self._values for kind in self._left.values() for value in kind)

    def _sample(self) -> Iterator[tuple[int, _Kind]]:
        """Trajectories that are left to run: all, or of many some at random."""
        plan, grid = self._plan, self._plan.spec.grid
        count = grid.trajectory_count
        numbers: Sequence[int] = range(count)
        if count > MOST_SAMPLED:
            numbers = random.Random(0).sample(numbers, MOST_SAMPLED)
        for number in numbers:
            if plan.known:
                progress = plan.known.get(grid.trajectory_id(plan.identity, number), NOTHING)
                if not needed_epochs(progress, grid.budgets, plan.retry_failed):
                    continue
            yield number, self._kind(grid.trajectory_params(number))


def _squares(costs: Sequence[float], told: Sequence[float]) -> float:
    return sum((cost - each) ** 2 for cost, each in zip(costs, told, strict=True))
