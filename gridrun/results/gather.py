"""Outcomes laid out in tables: what is completed, what failed, and every metric."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gridrun.cell import Identity, Params
from gridrun.grid import cell_id
from gridrun.outcome import Failure
from gridrun.selection import Rule
from gridrun.spec import Spec
from gridrun.store import Store

Floats = npt.NDArray[np.float64]

SHOWN_FAILURES = 100  # a report that lists a million tracebacks says nothing


class Gathered:
    """Outcomes laid out in tables (budgets, trajectories): one entry a cell in each.

    epoch: the epoch whose metrics are the cell's, from 1; 0 where it is not completed.
    metrics, present: each metric's values, and whether that epoch had it at all.
    recorded: the names of all metrics, of whatever epoch up to the largest budget.
    stopped_early: how many cells have the last epoch of a run that ended by itself before their budget.

    Held small, as a report on a million cells must fit beside whatever else runs: no list of a tuple
    or a float a cell.
    """

    def __init__(self, spec: Spec, identity: Identity, store: Store) -> None:
        self._grid = spec.grid
        self.ids = list(spec.grid.trajectory_ids(identity))
        place = {name: index for index, name in enumerate(self.ids)}
        # A failure that a later run overtook is gone; where one is left, what lies beyond the history failed.
        self.broken = sorted(place[name] for name, _ in store.failures() if name in place)
        self.recorded: set[str] = set()
        epoch, metrics, present, stopped = self._lay_out(place, store, spec.rule)
        self.epoch, self.metrics, self.present, self.stopped_early = epoch, metrics, present, stopped
        self.completed = epoch > 0
        self.failed = np.zeros(epoch.shape, bool)
        self.failed[:, self.broken] = True
        self.failed &= ~self.completed

    def _lay_out(
        self, place: dict[str, int], store: Store, rule: Rule
    ) -> tuple[npt.NDArray[np.int32], dict[str, Floats], dict[str, npt.NDArray[np.bool_]], int]:
        """The epoch that speaks for each cell, and its metrics: one row a budget, one column a trajectory."""
        budgets: Sequence[int | None] = self._grid.budgets or (None,)
        epoch = np.zeros((len(budgets), len(self.ids)), np.int32)
        metrics: dict[str, Floats] = {}
        present: dict[str, npt.NDArray[np.bool_]] = {}
        stopped, longest = 0, max(self._grid.budgets, default=None)
        for name, (history, ended) in store.histories():
            index = place.get(name)
            if index is None:
                continue
            self.recorded.update(*history[:longest])
            for row, budget in enumerate(budgets):
                at = rule.epoch_of(history, budget, ended)
                if at is None:
                    continue
                epoch[row, index] = at + 1
                stopped += budget is not None and budget > len(history)
                for metric, value in history[at].items():
                    table = metrics.get(metric)
                    if table is None:
                        table = metrics[metric] = np.full(epoch.shape, np.nan)
                        present[metric] = np.zeros(epoch.shape, bool)
                    table[row, index], present[metric][row, index] = value, True
        return epoch, metrics, present, stopped

    def cell_ids(self) -> npt.NDArray[Any]:
        """Every cell's name."""
        names = (cell_id(self.ids[index], budget) for index, budget in self._grid.cell_positions())
        return np.fromiter(names, object, len(self._grid))

    def failures(self, store: Store) -> Iterator[tuple[Params, Failure]]:
        """Yield the first failures in grid order, with what they were called with."""
        names = [axis.name for axis in self._grid.trajectory_axes]
        # Asked for one by one: a million tracebacks at once would be gigabytes.
        for index in self.broken[:SHOWN_FAILURES]:
            params = self._grid.trajectory_params(index)
            if (failure := store.failure_of(self.ids[index])) is not None:
                yield {name: params[name] for name in names if name in params}, failure
