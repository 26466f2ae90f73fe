"""What a grid proves of its axes: how much of the metric's variance each axis, and each interplay, explains.

Where every cell of a grid was measured, the metric is exactly a sum of effects, one for each set u of axes:

    f_u = sum over subsets s of u of (-1)^(|u| - |s|) * (mean of y given the values of s)

They are orthogonal, so that variance(y) = sum over u of mean(f_u^2), and

    share_u = mean(f_u^2) / variance(y)

Hoeffding 1948; as importance of hyperparameters, Hutter et al. 2014 (there estimated by a forest from some
cells: here all were measured and nothing is estimated).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = tuple[int, ...]

# So many axes of two values or more have all their effects told, 1,023 of them; of more, those of up to ORDER
# axes, and the others as one.
MOST_AXES = 10
ORDER = 3
# Means of numbers up to 1 that differ by less are alike but for how they were added up.
ROUNDING = 1e-13
# The search for the largest complete subgrid ends after so many looks at missing runs, about a second; a step
# costs as much as OVERHEAD of them.
MOST_LOOKS = 50_000_000
OVERHEAD = 3_000
MOST_DEPTH = 400  # of values that go, below what Python can call


@dataclass(frozen=True)
class Effect:
    """The share of the variance that belongs to a set of axes, told by their places, and that on ranks.

    With replicates what noise alone would give is taken off: below 0 it is less than that. `share_rank` is
    NaN, for all of them, where mean ranks do not vary.
    """

    axes: Places
    share: float
    share_rank: float


@dataclass(frozen=True)
class Effects:
    """Every effect, the largest first; their shares, that of noise and that of the rest sum to 1.

    kept: for each axis the places of the values of the complete subgrid that this is about; `kept_runs` for
        the replicates. `largest` is False where the search for it was cut short.
    noise, noise_rank: the share that a mean over so many replicates varies by; None of one replicate.
    rest, rest_rank: the share of interplays of more than `order` axes, which are not told one by one.
    """

    effects: tuple[Effect, ...]
    kept: tuple[Places, ...]
    kept_runs: Places
    largest: bool
    noise: float | None
    noise_rank: float | None
    order: int
    rest: float
    rest_rank: float

    @property
    def varying(self) -> int:
        """How many axes have two values or more in the subgrid."""
        return sum(len(places) > 1 for places in self.kept)


def find_effects(runs: Floats) -> Effects | None:
    """The effects of the axes of `runs`; None where no complete subgrid varies.

    Shapes: runs (values of axis 1, ..., values of axis d, replicates). What is not finite is missing: then
    the largest subgrid of whole values that has every run is analysed, never a mean over survivors.
    """
    (*kept, kept_runs), largest = complete_subgrid(np.isfinite(runs))
    part = runs[np.ix_(*kept, kept_runs)]
    if part.size == 0:
        return None
    raw, ranked = _shares(part), _shares(_ranks(part))
    if raw is None:
        return None
    if ranked is None:  # their means are all alike, as those of 1 and 4 and of 2 and 3
        none = math.nan
        noise = None if raw.noise is None else none
        ranked = _Shares(dict.fromkeys(raw.shares, none), noise, raw.order, none)
    told = [Effect(axes, share, ranked.shares[axes]) for axes, share in raw.shares.items()]
    told.sort(key=lambda effect: -effect.share)  # of equals the first in grid order
    return Effects(
        tuple(told),
        tuple(kept),
        kept_runs,
        largest,
        raw.noise,
        ranked.noise,
        raw.order,
        raw.rest,
        ranked.rest,
    )


@dataclass(frozen=True)
class _Shares:
    shares: dict[Places, float]
    noise: float | None
    order: int
    rest: float


def _shares(runs: Floats) -> _Shares | None:
    """Shapes: runs (axes..., replicates), all finite. None where the mean over replicates is constant."""
    scale = np.abs(runs).max() or 1.0  # a number above 1e154 has no square
    runs = runs / scale
    y = runs.mean(axis=-1)
    if np.ptp(y) < ROUNDING:
        return None
    y = y - y.mean()
    variance, cells, count = float(np.mean(y**2)), y.size, runs.shape[-1]
    varying = [axis for axis, length in enumerate(y.shape) if length > 1]
    order = len(varying) if len(varying) <= MOST_AXES else ORDER
    # A mean of `count` runs varies by s^2 / count about the truth, in each of the cells - 1 directions that
    # are left when the mean of all is taken off; an effect has prod(values - 1) of these.
    noise = float(np.mean(runs.var(axis=-1, ddof=1))) / count / variance if count > 1 else None
    shares = {}
    for axes, effect in _effects(y, varying, order):
        directions = prod(y.shape[axis] - 1 for axis in axes)
        shares[axes] = float(np.mean(effect**2)) / variance - (noise or 0.0) * directions / cells
    noise = None if noise is None else noise * (cells - 1) / cells
    rest = 1.0 - sum(shares.values()) - (noise or 0.0) if order < len(varying) else 0.0
    ordered = dict(sorted(shares.items(), key=lambda item: (len(item[0]), item[0])))
    return _Shares(ordered, noise, order, rest)


def _effects(
    y: Floats, varying: Sequence[int], order: int, kept: Places = ()
) -> Iterator[tuple[Places, Floats]]:
    """Yield (axes, f_axes) of every set of up to `order` axes but the empty one.

    Each axis is either averaged out, or has its mean taken off: of the set u, f_u is what is left of y when
    this is done to the axes outside and inside it. That is the sum above, without its cancellation.
    """
    if not varying:
        if kept:
            yield kept, y
        return
    axis, *others = varying
    mean = y.mean(axis=axis, keepdims=True)
    yield from _effects(mean, others, order, kept)
    if len(kept) < order:
        yield from _effects(y - mean, others, order, (*kept, axis))


def _ranks(runs: Floats) -> Floats:
    """From 1, of equals the mean: what a few failing corners, a thousand times worse, cannot dominate."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(runs), dtype=float).reshape(runs.shape)


def complete_subgrid(there: npt.NDArray[np.bool_]) -> tuple[tuple[Places, ...], bool]:
    """The largest subgrid, by whole values of axes, in which all is there: for each axis the places kept.

    And whether it is surely the largest: the search by branch and bound is cut short after MOST_LOOKS. Of
    equally large ones the first found, the same each time. Empty where nothing is there.
    """
    search = _Search(there.shape)
    missing = np.argwhere(~there)
    if len(missing) < there.size:
        search.follow([np.ones(length, bool) for length in there.shape], missing)
        search.branch([np.ones(length, bool) for length in there.shape], missing, frozenset())
    return tuple(tuple(np.flatnonzero(axis).tolist()) for axis in search.best), not search.cut


class _Search:
    """Branch and bound: a value that lacks a run goes; or it stays for good, and others go in its place.

    Shapes: missing (runs, axes), the places of runs that are not there.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.best = [np.zeros(length, bool) for length in shape]
        self.size = 0
        self.looks = 0
        self.cut = False

    def follow(self, kept: list[npt.NDArray[np.bool_]], missing: npt.NDArray[np.int64]) -> None:
        """Let the worst value go until nothing is missing: a good one to begin with."""
        while len(missing):
            axis, place = max(self._candidates(kept, missing), key=lambda found: found[2])[:2]
            kept[axis][place] = False
            missing = missing[missing[:, axis] != place]
        self._keep(kept)

    def branch(
        self,
        kept: list[npt.NDArray[np.bool_]],
        missing: npt.NDArray[np.int64],
        fixed: frozenset[tuple[int, int]],
        depth: int = 0,
    ) -> None:
        """Look for a larger one within `kept`, which lacks the runs `missing`; what is `fixed` stays."""
        if prod(int(axis.sum()) for axis in kept) <= self.size:
            return
        if self.looks > MOST_LOOKS or depth > MOST_DEPTH:
            self.cut = True
            return
        if not len(missing):
            self._keep(kept)
            return
        for axis, place, _ in sorted(self._candidates(kept, missing), key=lambda found: -found[2]):
            if (axis, place) in fixed:
                continue
            kept[axis][place] = False
            self.branch(kept, missing[missing[:, axis] != place], fixed, depth + 1)
            kept[axis][place] = True
            fixed |= {(axis, place)}

    def _candidates(
        self, kept: list[npt.NDArray[np.bool_]], missing: npt.NDArray[np.int64]
    ) -> list[tuple[int, int, float]]:
        """Of a missing run of the value that lacks most (axis, place, share missing) of each value."""
        self.looks += OVERHEAD + missing.size
        lengths = [int(axis.sum()) for axis in kept]
        shares = [
            np.bincount(missing[:, axis], minlength=len(kept[axis])) * length / prod(lengths)
            for axis, length in enumerate(lengths)
        ]
        worst = int(np.argmax([share.max() for share in shares]))
        run = missing[(missing[:, worst] == shares[worst].argmax()).argmax()].tolist()
        return [(axis, place, float(shares[axis][place])) for axis, place in enumerate(run)]

    def _keep(self, kept: list[npt.NDArray[np.bool_]]) -> None:
        size = prod(int(axis.sum()) for axis in kept)
        if size > self.size:
            self.best, self.size = [axis.copy() for axis in kept], size
