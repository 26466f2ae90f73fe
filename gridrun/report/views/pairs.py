"""Two axes at a time: which pairs there are, the strongest interplay first, and the metric over them."""

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from gridrun.errors import InputError
from gridrun.grid import Axis
from gridrun.outcome import COMPLETED, FAILED, PENDING
from gridrun.results.aggregate import Aggregate
from gridrun.results.layout import Floats
from gridrun.selection import merits

MOST_PAIRS = 3  # that are drawn without being asked for


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


def pick_pairs(result: Aggregate, asked: tuple[str, str] | None = None) -> list[tuple[Axis, Axis]]:
    """The axes of the strongest interplays, or of the pair that is asked for.

    Raises: InputError if an axis that is asked for does not vary.
    """
    every = {axis.name: axis for axis in result.layout.every}
    if asked is None:
        return [(every[one], every[other]) for one, other, _ in rank_pairs(result)[:MOST_PAIRS]]
    varied = [name for name, axis in every.items() if len(axis.values) > 1]
    for name in asked:
        if name not in varied:
            raise InputError(f"--axes: no axis {name!r} varies here; write two of {', '.join(varied)}")
    if asked[0] == asked[1]:
        raise InputError(f"--axes: {asked[0]} twice; write two of {', '.join(varied)}")
    return [(every[asked[0]], every[asked[1]])]


def best_over_rest(result: Aggregate, x: Axis, y: Axis) -> tuple[Floats, npt.NDArray[Any]]:
    """The best of each pair of values over all else, and which choice that is, in the order of layout.pairs.

    NaN and -1 where there is none. Shapes: (values of x, values of y).
    """
    mean = result.by_budget[*result.layout.pairs.T]
    merit = merits(mean, result.spec.mode)
    at_x, at_y = codes_of(result, x), codes_of(result, y)
    rows = np.full((len(x.values), len(y.values)), -1)
    known = np.flatnonzero((at_x >= 0) & (at_y >= 0) & np.isfinite(mean))
    # The best is written last, and of equals the first in grid order.
    order = known[::-1][np.argsort(merit[known][::-1], kind="stable")]
    rows[at_x[order], at_y[order]] = order
    return np.where(rows >= 0, mean[rows], np.nan), rows


def state_of_rest(result: Aggregate, x: Axis, y: Axis) -> npt.NDArray[Any]:
    """Of each pair of values what there is where nothing is measured: failed, pending, diverged, or "".

    Shapes: (values of x, values of y).
    """
    status = result.cells[result.names.status].to_numpy().reshape(-1, result.spec.grid.repeats)
    words = np.where((status == FAILED).any(axis=1), FAILED, PENDING).astype(object)
    words[(status == COMPLETED).any(axis=1)] = "diverged"
    told = np.full((len(x.values), len(y.values)), "", dtype=object)
    at_x, at_y = codes_of(result, x), codes_of(result, y)
    for word in (PENDING, FAILED, "diverged"):
        rows = np.flatnonzero((words == word) & (at_x >= 0) & (at_y >= 0))
        told[at_x[rows], at_y[rows]] = word
    return told


def codes_of(result: Aggregate, axis: Axis) -> npt.NDArray[Any]:
    """The place of each choice's value on an axis."""
    pairs, layout = result.layout.pairs, result.layout
    own = layout.budget is not None and layout.budget.name == axis.name
    return np.asarray(pairs[:, 1] if own else layout.codes[axis.name][pairs[:, 0]])
