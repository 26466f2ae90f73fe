"""Combinations ranked: mean over replicates first, then the best over the budget axis."""

import numpy as np
import numpy.typing as npt

from gridrun.results.layout import Floats, Layout
from gridrun.selection import merits


class Reached:
    """The metric by combination: mean over replicates first, then the best over the budget axis.

    mean: (combinations, budgets); NaN where nothing is completed or one replicate diverged.
    value, std, count, at: (combinations,); `at` is the index of the budget value chosen.
    any: whether the combination has a completed cell with the metric at all.
    first: the place in the raveled table of the first such cell at the budget value chosen.
    failed: how many replicates of the combination failed, at whatever budget.
    """

    def __init__(
        self,
        layout: Layout,
        mode: str,
        selected: Floats,
        there: npt.NDArray[np.bool_],
        failed: npt.NDArray[np.bool_],
    ) -> None:
        cube, done = layout.fold(selected), layout.fold(there)
        count = done.sum(axis=2)
        self.mean = mean_where(cube, done)
        signed = merits(self.mean, mode)
        # The first of equals: ties in grid order. One that only diverged is told at a budget where
        # something was completed.
        self.at = np.where(np.isneginf(signed).all(axis=1), (count > 0).argmax(axis=1), signed.argmax(axis=1))
        every = np.arange(len(cube))
        self.value, self.count = self.mean[every, self.at], count[every, self.at]
        cube, done = cube[every, self.at], done[every, self.at]
        self.std = std_where(cube, done, self.value)
        self.any = (count > 0).any(axis=1)
        places = layout.fold(np.arange(selected.size).reshape(selected.shape))
        self.first = places[every, self.at, done.argmax(axis=1)]
        self.failed = layout.fold(failed).any(axis=1).sum(axis=1)

    def order(self, mode: str) -> npt.NDArray[np.int64]:
        """The combinations with a completed cell, best first, what diverged last, ties in grid order."""
        shown = np.flatnonzero(self.any)
        return shown[np.argsort(-merits(self.value[shown], mode), kind="stable")]


def mean_where(table: Floats, there: npt.NDArray[np.bool_]) -> Floats:
    """The mean over the last axis of what is there; NaN of none. Finite where all of that is finite."""
    count = there.sum(axis=-1)
    kept = np.where(there, table, 0.0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = np.asarray(kept.sum(axis=-1) / count)  # 0 / 0: nothing there, NaN
        # Numbers near 1e308 have a mean and no sum.
        burst = ~np.isfinite(mean) & np.isfinite(kept).all(axis=-1) & (count > 0)
        if burst.any():
            few, among = kept[burst], there[burst]
            scaled = (few / count[burst][..., None]).sum(axis=-1)
            low = np.where(among, few, np.inf).min(axis=-1)
            high = np.where(among, few, -np.inf).max(axis=-1)
            mean[burst] = np.clip(scaled, low, high)
    return mean


def std_where(table: Floats, there: npt.NDArray[np.bool_], mean: Floats) -> Floats:
    """The standard deviation (n - 1) over the last axis of what is there; NaN of fewer than two.

    Finite where the mean is: one that is too large for a float is the largest float.
    """
    count = there.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore", under="ignore"):
        spread = np.where(there, table - mean[..., None], 0.0)
        std = np.asarray(np.sqrt((spread**2).sum(axis=-1) / (count - 1)))
        # Above 1e154 and below 1e-154 a number has no square, and near 1e308 two have no difference.
        lost = np.isfinite(mean) & (count > 1) & spread.any(axis=-1) & ~((std > 1e-140) & (std < 1e140))
        if lost.any():
            part = np.where(np.isfinite(spread[lost]).all(axis=-1), 1.0, 0.5)[..., None]
            spread = np.where(there[lost], table[lost] * part - mean[lost][..., None] * part, 0.0)
            unit = np.abs(spread).max(axis=-1)[..., None]
            share = ((spread / unit) ** 2).sum(axis=-1) / (count[lost] - 1)
            std[lost] = np.minimum(np.sqrt(share) * unit[..., 0] / part[..., 0], np.finfo(float).max)
    std[count < 2] = np.nan
    return std
