"""What each axis does: alone at the best, in all, to a search for the best; and what budgets agree on."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gridrun.cell import Value
from gridrun.comparison import search_curve
from gridrun.grid import Axis
from gridrun.results.aggregate import Aggregate
from gridrun.results.layout import Floats
from gridrun.results.ranking import std_where
from gridrun.selection import merits

FLAT = 0.01  # of the variance, raw and on ranks: an axis with less in all its effects together is flat
MOST_VALUES = 20  # of an axis whose values each have a search curve
SIZES = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)  # of searches that a curve tells


@dataclass(frozen=True)
class Slice:
    """The metric along one axis through the best: all others, the budget axis too, stay as the best has them.

    metric, std, count: of each value the mean over replicates, their standard deviation (n - 1), how many
    there are; NaN and 0 where nothing is completed. place: where the best is.
    """

    axis: Axis
    metric: Floats
    std: Floats
    count: npt.NDArray[np.int64]
    place: int

    def points(self) -> Iterator[tuple[float, float, int]]:
        """Yield metric, std and count of each value."""
        yield from zip(self.metric.tolist(), self.std.tolist(), self.count.tolist(), strict=True)

    @property
    def range(self) -> float:
        """The largest metric less the smallest one."""
        known = self.metric[np.isfinite(self.metric)]
        return float(known.max()) - float(known.min())

    def worst(self, mode: str) -> Value:
        """The value with the worst metric, the first of equals; what has none is not looked at."""
        known = np.flatnonzero(np.isfinite(self.metric))
        return self.axis.values[int(known[merits(self.metric[known], mode).argmin()])]


def slice_axes(result: Aggregate) -> Iterator[Slice]:
    """Yield the slices through the best, in the order of isolation.csv; of axes that the best has."""
    part, layout = result.part, result.layout
    best, budget = int(result.order[0]), int(result.reached_at[0])
    at = np.argwhere(part.rows == best)[0].tolist()
    for axis in layout.every:
        if axis is layout.budget:
            yield _slice(axis, result.by_run[best], result.by_budget[best], budget)
            continue
        own = next((place for place, found in enumerate(part.axes) if found.name == axis.name), None)
        if own is None:
            continue
        rows = part.rows[tuple(slice(None) if place == own else at[place] for place in range(len(at)))]
        left_out = rows < 0
        runs = np.where(left_out[:, None], np.nan, result.by_run[rows, budget])
        yield _slice(
            part.axes[own], runs, np.where(left_out, np.nan, result.by_budget[rows, budget]), at[own]
        )


def _slice(axis: Axis, runs: Floats, mean: Floats, place: int) -> Slice:
    """Shapes: runs (values, replicates), mean (values,)."""
    there = np.isfinite(runs)
    return Slice(axis, mean, std_where(runs, there, mean), there.sum(axis=1), place)


@dataclass(frozen=True)
class Flat:
    """An axis that explains next to nothing: the shares of all effects that it has a part in, together.

    loss: what is lost at most by keeping one of its values alone, all else chosen anew (isolation.csv).
    """

    axis: str
    share: float
    share_rank: float
    loss: float


def find_flat(result: Aggregate) -> Iterator[Flat]:
    """Yield the axes that may go: less than FLAT of the variance, raw and on ranks, interplays included.

    On ranks too, as a corner that fails may leave nothing of the variance to all else. What is not told
    effect by effect counts in full. With one replicate an axis has its part of the noise, so that none may
    be flat where there is much.
    """
    found = result.effects
    for place, axis in enumerate(result.frame if found is not None else ()):
        assert found is not None
        if len(found.kept[place]) < 2:
            continue
        own = [effect for effect in found.effects if place in effect.axes]
        share = sum(effect.share for effect in own) + found.rest
        ranked = sum(effect.share_rank for effect in own) + found.rest_rank
        if share < FLAT and not ranked >= FLAT:
            best = result.isolation[axis.name]
            best = best[np.isfinite(best)]
            yield Flat(axis.name, share, ranked, float(best.max()) - float(best.min()))


@dataclass(frozen=True)
class Agreement:
    """How far a smaller budget ranks the combinations as the largest one does.

    correlation: Spearman's, over the `count` combinations that are completed with both; NaN where it has no
    value. rank: that of the largest budget's best under this budget, 1 where it is the best here too.
    """

    budget: int
    correlation: float
    count: int
    rank: int


def compare_budgets(result: Aggregate) -> Iterator[Agreement]:
    """Yield the agreement of every smaller budget with the largest, the smallest first."""
    if result.budget is None or not len(result.by_budget):
        return
    from scipy.stats import spearmanr

    budgets = result.spec.grid.budgets
    *smaller, largest = sorted(range(len(budgets)), key=budgets.__getitem__)
    last = result.by_budget[:, largest]
    for place in smaller:
        here = result.by_budget[:, place]
        both = np.flatnonzero(np.isfinite(here) & np.isfinite(last))
        if not len(both):
            continue
        varies = all((column[both] != column[both[0]]).any() for column in (here, last))
        # In units of the largest: an older SciPy takes a sum that overflows for a NaN.
        told = (column[both] / (np.abs(column[both]).max() or 1) for column in (here, last))
        correlation = float(spearmanr(*told).statistic) if varies else math.nan
        merit = merits(here[both], result.spec.mode)
        best = merits(last[both], result.spec.mode).argmax()
        yield Agreement(budgets[place], correlation, len(both), int((merit > merit[best]).sum()) + 1)


@dataclass(frozen=True)
class Curve:
    """The search curve of the combinations with one value of an axis; `points` of n and the best of n."""

    axis: str
    value: Value
    points: tuple[tuple[int, float], ...]


def curves_by_value(result: Aggregate) -> Iterator[Curve]:
    """Yield a search curve a value, of axes of up to MOST_VALUES: which value is easier to tune.

    What has no metric counts as the worst of all, not of its value alone: a value that half diverges is
    not easy.
    """
    known = result.by_combination[np.isfinite(result.by_combination)]
    worst = known.min() if result.spec.mode == "max" else known.max()
    values = np.where(np.isfinite(result.by_combination), result.by_combination, worst)
    for axis in result.layout.factors:
        if not 2 <= len(axis.values) <= MOST_VALUES:
            continue
        codes = result.layout.codes[axis.name]
        for place, value in enumerate(axis.values):
            yield Curve(axis.name, value, curve_of(values[codes == place], result.spec.mode))


def curve_of(values: Floats, mode: str) -> tuple[tuple[int, float], ...]:
    """The search curve at SIZES below the number of values, and at that."""
    sizes = [*(n for n in SIZES if n < len(values)), *([len(values)] if len(values) else [])]
    return tuple(zip(sizes, search_curve(values, mode, sizes), strict=True))
