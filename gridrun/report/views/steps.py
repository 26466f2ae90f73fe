"""What to do next with a grid: wider, finer, with more seeds, without an axis; each as lines of grid.toml."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gridrun.cell import Value
from gridrun.grid import Axis
from gridrun.report.captions import show, show_metric
from gridrun.results.aggregate import Aggregate
from gridrun.results.answer import Answer
from gridrun.results.costs import Costs
from gridrun.results.edges import Edge, runs_at
from gridrun.terminal import visible
from gridrun.writing import Tables, write_grid

ENOUGH_RUNS = 5  # of a combination: its deviation is known to a third
MOST_FINALISTS = 10  # that get more runs
WIDE_RATIO, WIDE_STEP = 4.0, 0.25  # a gap beside the best worth a value between: a ratio, a share of the axis


@dataclass(frozen=True)
class Step:
    """One step: in words, the lines of grid.toml, the cells that are new, hours of one worker (NaN: unknown).

    reused: whether what is there counts towards it.
    """

    words: str
    toml: str
    cells: int
    hours: float
    reused: bool = True


def as_toml(tables: Tables) -> str:
    """Tables of a grid.toml as people write them: a name that needs no quotes has none."""
    return re.sub(r'^"([A-Za-z0-9_-]+)" = ', r"\1 = ", write_grid(tables), flags=re.M)


def find_steps(result: Aggregate, answer: Answer, costs: Costs) -> list[Step]:
    """Every step that the answer suggests, the widest first."""
    return [
        *_widen(result, answer, costs),
        *_refine(result, answer, costs),
        *_repeat(result, answer, costs),
        *_drop(answer),
    ]


def _widen(result: Aggregate, answer: Answer, costs: Costs) -> Iterator[Step]:
    for edge in answer.edges:
        end = "lowest" if edge.end == "low" else "highest"
        yield Step(
            f"The best lies at the {end} {visible(edge.axis)}, {show(edge.value)}: try {show(edge.try_)}.",
            _with_value(result, edge.axis, edge.try_),
            edge.cells,
            costs.hours_of(edge),
        )


def _refine(result: Aggregate, answer: Answer, costs: Costs) -> Iterator[Step]:
    """A value between the best and its better neighbour, where the two are far apart."""
    idle = {flat.axis for flat in answer.flat}
    for along in answer.slices:
        axis = along.axis
        if axis.name == result.spec.grid.budget or axis.name in idle or not _is_numeric(axis):
            continue
        middle = _between(axis, along.place, along.metric, result.spec.mode)
        if middle is None:
            continue
        grid, runs = result.spec.grid, runs_at(result, axis).size * result.spec.grid.repeats
        value, other = axis.values[along.place], middle[1]
        cells = runs * max(1, len(grid.budgets))
        between = Edge(axis.name, value, "high", middle[0], cells, runs)
        yield Step(
            f"Between the best {visible(axis.name)}, {show(value)}, and {show(other)} there is a gap:"
            f" try {show(middle[0])}.",
            _with_value(result, axis.name, middle[0]),
            cells,
            costs.hours_of(between),
        )


def _is_numeric(axis: Axis) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in axis.values)


def _between(axis: Axis, place: int, metric: "np.ndarray", mode: str) -> tuple[Value, Value] | None:
    """A value halfway to the better neighbour that is far enough away; and that neighbour."""
    numbers = [float(value) for value in axis.values]  # type: ignore[arg-type]
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    at, own = order.index(place), numbers[place]
    sides = [order[i] for i in (at - 1, at + 1) if 0 <= i < len(order) and np.isfinite(metric[order[i]])]
    sides.sort(key=lambda i: -metric[i] if mode == "max" else metric[i])
    whole = all(isinstance(value, int) for value in axis.values)
    span = max(numbers) - min(numbers)
    for side in sides:
        other = numbers[side]
        if min(numbers) > 0 and max(numbers) >= 10 * min(numbers):
            wide, found = max(own, other) / min(own, other) >= WIDE_RATIO, math.sqrt(own * other)
        else:
            # Of two or three values every gap is a large share of the axis.
            wide, found = abs(own - other) > WIDE_STEP * span and len(numbers) > 3, (own + other) / 2
        middle: int | float = round(found) if whole else float(f"{found:.2g}")
        if wide and min(own, other) < middle < max(own, other):
            return middle, axis.values[side]
    return None


def _repeat(result: Aggregate, answer: Answer, costs: Costs) -> Iterator[Step]:
    """More runs of the best few, where there are too few to tell them apart."""
    runs = result.replicates
    if runs >= ENOUGH_RUNS or not answer.compared or len(result.spec.grid.replicates) > 1:
        return
    if result.spec.grid.replicates and result.spec.grid.replicates[0].name == "fold":
        return
    picks = [answer.best, *(answer.ties.picks if answer.ties else ())][:MOST_FINALISTS]
    if answer.ties is None:
        # What has diverged stands last, and is no finalist.
        finite = int(np.isfinite(result.best[result.names.metric].to_numpy(float)).sum())
        rows = result.order[: min(5, finite)].tolist()
        reached = result.reached_at.tolist()
        finalists = [result.layout.params_of(row, at) for row, at in zip(rows, reached, strict=False)]
    else:
        finalists = [dict(pick.params) for pick in picks]
    if len(finalists) < 2:
        return
    name = result.spec.grid.replicates[0].name if result.spec.grid.replicates else "seed"
    axes = [axis.name for axis in result.spec.grid.axes]
    grids = [{k: [v] for k, v in params.items() if k in axes} for params in finalists]
    new = (ENOUGH_RUNS - (runs if result.spec.grid.replicates else 0)) * len(finalists)
    seconds = costs.by_trajectory[np.isfinite(costs.by_trajectory)]
    hours = float(seconds.mean()) * new / 3600 if seconds.size else math.nan
    yield Step(
        f"{runs} {'run' if runs == 1 else 'runs'} of each cannot tell the best {len(finalists)} apart:"
        f" give these {ENOUGH_RUNS} of [replicate].",
        as_toml({"grid": grids, "replicate": {name: list(range(ENOUGH_RUNS))}}),
        new,
        hours,
        reused=bool(result.spec.grid.replicates),
    )


def _drop(answer: Answer) -> Iterator[Step]:
    for flat in answer.flat:
        if flat.axis not in answer.best.params:
            continue
        value = answer.best.params[flat.axis]
        yield Step(
            f"{visible(flat.axis)} explains {100 * max(flat.share, 0):.1f} % of the variance, interplays"
            f" included: keep one value; that loses {show_metric(flat.loss)} at most.",
            as_toml({"grid": {flat.axis: [value]}}),
            0,
            0.0,
        )


def _with_value(result: Aggregate, name: str, value: Value) -> str:
    """The axis in the [[grid]] of the best with one value more, numbers sorted."""
    own = next((axis for axis in result.part.axes if axis.name == name), None)
    axis = own or next(axis for axis in result.spec.grid.axes if axis.name == name)
    values = [*axis.values, value]
    if _is_numeric(axis):
        values.sort(key=lambda v: float(v))  # type: ignore[arg-type]
    return as_toml({"grid": {name: values}})
