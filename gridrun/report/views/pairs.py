"""Two axes at a time: which pairs there are, the strongest interplay first, and the metric over them."""

from itertools import combinations

import numpy as np

from gridrun.grid import Axis
from gridrun.results.aggregate import Aggregate
from gridrun.results.layout import Floats
from gridrun.selection import merits


def rank_pairs(result: Aggregate) -> list[tuple[str, str, float]]:
    """Every two axes that vary, and the share of the variance that they explain together.

    That of their interplay first; of equals, and where effects are not known, in the order of the axes.
    """
    shares: dict[tuple[str, ...], float] = {}
    if result.effects is not None:
        frame = result.frame
        for effect in result.effects.effects:
            shares[tuple(frame[place].name for place in effect.axes)] = effect.share
    varied = [axis.name for axis in result.layout.every if len(axis.values) > 1]
    alone = {name: shares.get((name,), 0.0) for name in varied}
    found = [
        (one, other, shares.get((one, other), shares.get((other, one), 0.0)))
        for one, other in combinations(varied, 2)
    ]
    return sorted(found, key=lambda pair: (-pair[2], -alone[pair[0]] - alone[pair[1]]))


def best_over_rest(result: Aggregate, x: Axis, y: Axis) -> tuple[Floats, np.ndarray]:
    """The best of each pair of values over all else, and which choice that is, in the order of layout.pairs.

    NaN and -1 where there is none. Shapes: (values of x, values of y).
    """
    pairs, layout = result.layout.pairs, result.layout
    mean = result.by_budget[*pairs.T]
    merit = merits(mean, result.spec.mode)

    def codes(axis: Axis) -> np.ndarray:
        own = layout.budget is not None and layout.budget.name == axis.name
        return np.asarray(pairs[:, 1] if own else layout.codes[axis.name][pairs[:, 0]])

    at_x, at_y = codes(x), codes(y)
    rows = np.full((len(x.values), len(y.values)), -1)
    known = np.flatnonzero((at_x >= 0) & (at_y >= 0) & np.isfinite(mean))
    order = known[np.argsort(merit[known], kind="stable")]  # the best is written last
    order = order[::1]
    rows[at_x[order], at_y[order]] = order
    values = np.where(rows >= 0, mean[rows], np.nan)
    return values, rows
