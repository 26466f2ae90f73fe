"""What cells took, when and where: what differs from run to run, apart from what a grid proves."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gridrun.outcome import Timing
from gridrun.results.aggregate import Aggregate
from gridrun.results.edges import Edge, runs_at
from gridrun.results.layout import Floats
from gridrun.results.ranking import mean_where
from gridrun.selection import merits
from gridrun.store import Store


@dataclass(frozen=True)
class Stamps:
    """When and where every trajectory ran: 48 bytes each, which a report need not keep to its end.

    finished: when it was, UTC. place, session: which of `places` ran it, and the number of the session, which
    began at `began`.

    Shapes: finished, place, session (trajectories,).
    """

    finished: npt.NDArray[Any]
    place: npt.NDArray[np.int64]
    places: tuple[str, ...]
    session: npt.NDArray[np.int64]
    began: dict[int, str]


@dataclass(frozen=True)
class Costs:
    """What every trajectory took.

    by_trajectory: seconds from the beginning to the end of the last epoch of each budget; NaN where it is not
    known. Shapes: (budgets, trajectories).
    """

    result: Aggregate
    by_trajectory: Floats

    @cached_property
    def by_run(self) -> Floats:
        """The seconds of every run. Shapes: (combinations, budgets, replicates)."""
        return np.asarray(self.result.layout.fold(self.by_trajectory))

    @cached_property
    def seconds(self) -> Floats:
        """Of every choice the mean over its runs; NaN if unknown. Shapes: (combinations, budgets)."""
        return mean_where(self.by_run, np.isfinite(self.by_run))

    @cached_property
    def front(self) -> npt.NDArray[np.int64]:
        """The choices (combination, place of the budget) that no other is better than in as little time.

        The quickest first: each is better than all that are as quick. Shapes: (choices, 2).
        """
        pairs, result = self.result.layout.pairs, self.result
        merit, seconds = merits(result.by_budget[*pairs.T], result.spec.mode), self.seconds[*pairs.T]
        known = np.flatnonzero(np.isfinite(merit) & np.isfinite(seconds))
        order = known[np.lexsort((-merit[known], seconds[known]))]
        if not len(order):
            return pairs[:0]
        before = np.concatenate([[-np.inf], np.maximum.accumulate(merit[order])[:-1]])
        return np.asarray(pairs[order[merit[order] > before]])

    def hours_of(self, edge: Edge) -> float:
        """The hours of one worker that the next value takes, as long as its neighbour took; NaN if unknown.

        Of a larger budget those from the beginning: at most that, where trainers go on from checkpoints.
        """
        if not edge.runs:
            return 0.0
        grid = self.result.spec.grid
        last = int(np.argmax(grid.budgets)) if grid.budgets else 0
        longer = 1.0
        if edge.axis == grid.budget and isinstance(edge.try_, int):
            seconds = self.by_trajectory[last]
            longer = edge.try_ / grid.budgets[last]
        else:
            axis = next(axis for axis in self.result.part.axes if axis.name == edge.axis)
            seconds = self.by_run[runs_at(self.result, axis), last]
        known = seconds[np.isfinite(seconds)]
        return float(known.mean()) * longer * edge.runs / 3600 if len(known) else math.nan


def gather_costs(result: Aggregate, store: Store) -> tuple[Costs, Stamps]:
    """Read what every trajectory of the grid took, when and where."""
    names, budgets = result.trajectories, result.spec.grid.budgets or (None,)
    index = {name: number for number, name in enumerate(names)}
    places: dict[str, int] = {"": 0}
    seconds = np.full((len(budgets), len(names)), np.nan)
    finished = np.zeros(len(names), "S32")
    place, session = np.zeros((2, len(names)), np.int64)
    for name, timing in store.timings():
        if (number := index.get(name)) is not None:
            for row, budget in enumerate(budgets):
                seconds[row, number] = _seconds(timing, budget)
            finished[number] = timing.finished_at.encode()
            place[number] = places.setdefault(timing.place, len(places))
            session[number] = timing.session
    began = {session.number: session.started_at for session in store.sessions()}
    return Costs(result, seconds), Stamps(finished, place, tuple(places), session, began)


def _seconds(timing: Timing, budget: int | None) -> float:
    if timing.seconds:
        return timing.seconds[min(budget or len(timing.seconds), len(timing.seconds)) - 1]
    # Of a single epoch the whole is kept; and so of several, without a place, by stores of version 1.
    return round(timing.wall_s, 6) if budget is None or timing.place else math.nan
