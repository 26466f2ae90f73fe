"""Where the best lies at an end of the grid: the next value worth trying, and what it costs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gridrun.cell import Value
from gridrun.grid import Axis
from gridrun.results.aggregate import Aggregate


@dataclass(frozen=True)
class Edge:
    """The best lies at the first or last value of an axis of numbers: which value to try next, at what price.

    cells: how many the value adds to the grid. runs: how many trajectories have to be trained for them: of
    a smaller budget none, as every run contains it; of a larger one all, from the beginning or from
    their checkpoints.
    """

    axis: str
    value: Value
    end: str  # "low" or "high"
    try_: Value
    cells: int
    runs: int


def find_edges(result: Aggregate) -> Iterator[Edge]:
    """Yield the edges that the best lies at, in the order of the axes."""
    layout = result.layout
    best = int(result.order[0]), int(result.reached_at[0])
    alike = _alike(result, best[0])
    for axis in layout.every:  # of a zip no value follows: its values are no numbers
        if axis is layout.budget:
            there, place = range(len(axis.values)), best[1]
        else:
            codes = layout.codes[axis.name]
            there, place = np.unique(codes[alike & (codes >= 0)]).tolist(), int(codes[best[0]])
        numbers = sorted(_numbers(Axis(axis.name, tuple(axis.values[i] for i in there))))
        if place < 0 or len(numbers) < 2 or axis.values[place] not in (numbers[0], numbers[-1]):
            continue
        value = axis.values[place]
        end = "low" if value == numbers[0] else "high"
        following = next_value(numbers, end)
        if following is not None:
            yield Edge(axis.name, value, end, following, *_price(result, axis, end))


def _price(result: Aggregate, axis: Axis, end: str) -> tuple[int, int]:
    """How many cells one value more makes, and for how many trajectories."""
    grid = result.spec.grid
    if axis.name == grid.budget:
        return grid.trajectory_count, 0 if end == "low" else grid.trajectory_count
    runs = runs_at(result, axis).size * grid.repeats
    return runs * max(1, len(grid.budgets)), runs


def runs_at(result: Aggregate, axis: Axis) -> npt.NDArray[np.int64]:
    """The combinations of the part with the best that have its value of an axis: as many as one more has."""
    part = result.part
    place = next(i for i, own in enumerate(part.axes) if own.name == axis.name)
    best = np.argwhere(part.rows == result.order[0])[0]
    rows = part.rows.take(best[place], place)
    return np.asarray(rows[rows >= 0])


def _alike(result: Aggregate, combination: int) -> npt.NDArray[np.bool_]:
    """The combinations with the same parameters, those that are no numbers equal: where an axis ends there.

    The largest learning rate of SGD is no end for Adam, which had smaller ones.
    """
    alike = np.ones(len(result.by_combination), bool)
    for axis in result.layout.factors:
        codes = result.layout.codes[axis.name]
        own = int(codes[combination])
        alike &= (codes >= 0) == (own >= 0) if _numbers(axis) else codes == own
    return alike


def _numbers(axis: Axis) -> list[int | float]:
    """The values of an axis of numbers; of any other none."""
    numbers = [v for v in axis.values if isinstance(v, int | float) and not isinstance(v, bool)]
    return numbers if len(numbers) == len(axis.values) else []


def next_value(numbers: list[int | float], end: str) -> int | float | None:
    """What follows beyond an end of sorted numbers: one more step as the last, by ratio if they span tenfold.

    None where there is no such number: below the whole number 1, or past what was positive throughout.
    """
    last, before = (numbers[0], numbers[1]) if end == "low" else (numbers[-1], numbers[-2])
    if numbers[0] > 0 and numbers[-1] >= 10 * numbers[0]:
        found = last * (last / before)
    else:
        found = last + (last - before)
        if numbers[0] > 0 and found <= 0:
            found = last / 2
    if all(isinstance(number, int) for number in numbers):
        whole = round(found)
        return whole if whole not in numbers and (numbers[0] <= 0 or whole > 0) else None
    found = float(f"{found:.6g}")
    return found if np.isfinite(found) and found not in numbers else None
