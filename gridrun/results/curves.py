"""Metrics by epoch of the best and the worst combinations."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gridrun.cell import Params
from gridrun.outcome import Metrics
from gridrun.results.layout import Layout
from gridrun.results.ranking import Reached
from gridrun.spec import Spec
from gridrun.store import Store

CURVES = 3  # so many of the best, and as many of the worst


@dataclass(frozen=True)
class Curve:
    """Metrics by epoch of one combination, mean over its replicates. `place` is its rank, from 1.

    `low` and `high` are the least and the most over the replicates; {} of one run.
    """

    place: int
    params: Params
    history: dict[str, list[float]]
    low: dict[str, list[float]] = field(default_factory=dict)
    high: dict[str, list[float]] = field(default_factory=dict)


def pick_curves(
    store: Store,
    spec: Spec,
    layout: Layout,
    reached: Reached,
    order: npt.NDArray[np.int64],
    ids: list[str],
) -> tuple[Curve, ...]:
    """Histories of the best and the worst combinations, as far as the grid as now written goes."""
    if layout.is_budget_alone:
        picked = [(1, 0)]  # every combination is the same trajectory
    else:
        finite = order[np.isfinite(reached.value[order])]
        places = sorted({*range(min(CURVES, len(finite))), *range(max(0, len(finite) - CURVES), len(finite))})
        picked = [(place + 1, int(finite[place])) for place in places]
    repeats = spec.grid.repeats
    longest = max(spec.grid.budgets, default=None)
    curves = []
    for place, combination in picked:
        # Trajectories follow grid order without the budget axis, replicates fastest.
        mine = range(combination * repeats, (combination + 1) * repeats)
        histories = [history for index in mine if (history := store.history_of(ids[index]).metrics[:longest])]
        params = spec.grid.trajectory_params(mine.start)
        named = {axis.name: params[axis.name] for axis in layout.axes if axis.name in params}
        ends = [_by_epoch(histories, end) if len(histories) > 1 else {} for end in (min, max)]
        curves.append(Curve(place, named, _by_epoch(histories, _mean), *ends))
    return tuple(curves)


def _by_epoch(
    histories: Sequence[Sequence[Metrics]], of: Callable[[Sequence[float]], float]
) -> dict[str, list[float]]:
    """Of each metric one number an epoch, of the runs that have come so far; NaN where one has diverged."""
    metrics = sorted({metric for history in histories for epoch in history for metric in epoch})
    length = max(map(len, histories), default=0)
    found = {}
    for metric in metrics:
        by_epoch = [[h[k].get(metric, math.nan) for h in histories if len(h) > k] for k in range(length)]
        found[metric] = [of(v) if all(map(math.isfinite, v)) else math.nan for v in by_epoch]
    return found


def _mean(values: Sequence[float]) -> float:
    try:
        return math.fsum(values) / len(values)
    except OverflowError:  # numbers near 1e308 have a mean and no sum
        mean = 2 * math.fsum(value / 2 / len(values) for value in values)
        return max(min(values), min(max(values), mean))
