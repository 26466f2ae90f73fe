"""One combination of many: the place of the best, of the chosen one, and what is told of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gridrun.cell import Params
from gridrun.comparison import simplest
from gridrun.grid import FOLD
from gridrun.results.aggregate import Aggregate
from gridrun.results.layout import Ints
from gridrun.results.ranking import std_where

# A combination, and the place of its value on the budget axis.
Place = tuple[int, int]


@dataclass(frozen=True)
class Pick:
    """A combination at a value of the budget axis: every parameter but the replicates', and its metric.

    metric is the mean over `count` runs and std their standard deviation (n - 1), NaN of one. low, high: the
    95 % interval of the mean by Student's t, NaN of one run; between folds with the variance that ties are
    told by. `cell` is the id of the first completed run's cell. `p` is the adjusted p-value of its difference
    to the best.
    """

    params: Params
    metric: float
    std: float
    low: float
    high: float
    count: int
    cell: str
    p: float = float("nan")


def choose(result: Aggregate, best: Place) -> Place:
    """The place that [select] chooses: the best, or the simplest within one standard error of it."""
    choice, layout = result.spec.choice, result.layout
    if choice.rule == "best":
        return best
    count = int(np.isfinite(result.by_run[best]).sum())
    error = _std(result, best) / np.sqrt(count) if count > 1 else 0.0
    pairs = layout.pairs
    (place,) = np.flatnonzero((pairs == best).all(axis=1)).tolist()
    found = simplest(result.by_budget[*pairs.T], place, error, result.spec.mode, order_of(result, pairs))
    return int(pairs[found, 0]), int(pairs[found, 1])


def order_of(result: Aggregate, pairs: Ints) -> list[Ints]:
    """Where choices stand on the axes that say what is simple.

    What has not got an axis comes before its first value: it is simpler.
    """
    combination, budget = pairs.T
    layout = result.layout
    own = None if layout.budget is None else layout.budget.name
    return [
        budget if name == own else layout.codes[name][combination].astype(np.int64)
        for name in result.spec.choice.prefer
    ]


def pick(result: Aggregate, place: Sequence[int] | Ints, p: float = float("nan")) -> Pick:
    """What is told of the combination at a place."""
    at = int(place[0]), int(place[1])
    grid, runs = result.spec.grid, result.by_run[at]
    there = np.flatnonzero(np.isfinite(runs))
    cell = result.layout.cell_of(*at, int(there[0]) if len(there) else 0)
    replicates = {axis.name for axis in grid.replicates}
    params = {name: value for name, value in result.layout.params_of(*at).items() if name not in replicates}
    name = str(result.cells[result.names.cell].iloc[cell])
    mean, std, count = float(result.by_budget[at]), _std(result, at), len(there)
    reach = _reach(std, count, overlap_of(result))
    return Pick(params, mean, std, mean - reach, mean + reach, count, name, p)


def overlap_of(result: Aggregate) -> float:
    """n_test / n_train of the folds that the replicates are; 0 where they are none."""
    told = result.spec.trainer.overlap
    if told is not None:
        return told
    folds = [len(axis.values) for axis in result.spec.grid.replicates if axis.name == FOLD]
    return 1 / (folds[0] - 1) if folds and folds[0] > 1 else 0.0


def _reach(std: float, count: int, overlap: float) -> float:
    """How far the 95 % interval of a mean reaches to either side; NaN of one run."""
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, 0.975)) * std * math.sqrt(1 / count + overlap) if count > 1 else math.nan


def _std(result: Aggregate, at: Place) -> float:
    runs = result.by_run[at]
    return float(std_where(runs[None], np.isfinite(runs)[None], result.by_budget[at][None])[0])
