"""The choice of each outer fold, and what the runs after the sweep say of it and of the refit."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from gridrun.cell import Params, Value, encode_params
from gridrun.grid import OUTER
from gridrun.refit import Rerun, is_nested, make_outer, make_refit
from gridrun.results.aggregate import Aggregate
from gridrun.results.layout import Ints
from gridrun.results.picks import Pick, choose, pick
from gridrun.results.reruns import Ran, look_up
from gridrun.selection import mean, merits


@dataclass(frozen=True)
class OuterFold:
    """value: of the axis `outer`. chosen: what its inner folds choose. ran: that, scored on the fold."""

    value: Value
    chosen: Pick
    ran: Ran


@dataclass(frozen=True)
class Nested:
    """What a way of choosing is worth: the scores of its choices on outer folds that did not take part.

    metric, std: mean and standard deviation (n - 1) over the folds; NaN while one of them is missing.
    """

    metric_name: str
    folds: tuple[OuterFold, ...]

    @cached_property
    def scores(self) -> list[float]:
        return [fold.ran.metrics.get(self.metric_name, math.nan) for fold in self.folds]

    @property
    def metric(self) -> float:
        return mean(self.scores)

    @property
    def std(self) -> float:
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else math.nan

    @property
    def choices(self) -> list[tuple[Params, int]]:
        """Which combinations were chosen, and how often, the most frequent first."""
        params = {encode_params(fold.chosen.params): fold.chosen.params for fold in self.folds}
        counts = Counter(encode_params(fold.chosen.params) for fold in self.folds)
        return [(params[text], count) for text, count in counts.most_common()]


def find_refit(result: Aggregate, chosen: Pick) -> Ran | None:
    """The refit of what is chosen now; None if none is asked for."""
    if result.spec.refit is None:
        return None
    return look_up(result.reruns, make_refit(result.spec, chosen.params))


def find_nested(result: Aggregate) -> Nested | None:
    """The choices of the outer folds and their scores; None where there are no outer folds to choose in."""
    if not is_nested(result.spec.grid):
        return None
    folds = tuple(
        OuterFold(value, chosen, look_up(result.reruns, make_outer(result.spec, chosen.params, value)))
        for value, chosen in _choices(result)
    )
    return Nested(result.spec.metric, folds) if folds else None


def find_wanted(result: Aggregate, chosen: Pick) -> Iterator[Rerun]:
    """All that is to be run after the sweep, as it stands."""
    spec = result.spec
    if spec.refit is not None:
        yield make_refit(spec, chosen.params)
    if is_nested(spec.grid):
        for value, inner in _choices(result):
            yield make_outer(spec, inner.params, value)


def _choices(result: Aggregate) -> Iterator[tuple[Value, Pick]]:
    """For each outer fold what its inner folds choose; a combination that lacks one of them is no choice."""
    replicates = result.spec.grid.replicates
    numbers = np.arange(result.by_run.shape[-1]).reshape([len(axis.values) for axis in replicates])
    at = next(place for place, axis in enumerate(replicates) if axis.name == OUTER)
    for value, among in zip(replicates[at].values, np.moveaxis(numbers, at, 0), strict=True):
        runs = result.by_run[..., among.ravel()]
        with np.errstate(over="ignore", invalid="ignore"):
            inner = replace(result, by_run=runs, by_budget=runs.mean(axis=-1))
        signed = merits(inner.by_budget, result.spec.mode)
        # The first of equals: combinations come in grid order, and their budgets as they are written.
        best = divmod(int(signed.argmax()), signed.shape[1])
        if math.isfinite(signed[best]):
            yield value, _picked(inner, choose(inner, best), among.ravel())


def _picked(inner: Aggregate, place: tuple[int, int], among: Ints) -> Pick:
    first = int(np.flatnonzero(np.isfinite(inner.by_run[place]))[0])
    cell = inner.layout.cell_of(*place, int(among[first]))
    return replace(pick(inner, place), cell=str(inner.cells[inner.names.cell].iloc[cell]))
