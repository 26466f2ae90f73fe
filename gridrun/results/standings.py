"""The best so far: one number for the live line, `status` and the report, kept small and without NumPy."""

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from gridrun.cell import Cell, Identity
from gridrun.grid import Grid
from gridrun.selection import Rule, mean, merit
from gridrun.spec import Spec
from gridrun.store import Store


@dataclass(frozen=True)
class Standing:
    """The best combination: its metric (mean over `count` replicates), and its first such cell."""

    value: float
    count: int
    cell: Cell
    index: int  # of that cell's trajectory


class Standings:
    """The metric of every cell of a grid as it becomes known.

    The best is the best combination, as a report ranks them: mean over the replicates that are
    completed, then the best over the budget axis.
    """

    def __init__(self, grid: Grid, identity: Identity, rule: Rule) -> None:
        self._grid, self._identity, self._rule = grid, identity, rule
        self._budgets: Sequence[int | None] = grid.budgets or (None,)
        size = grid.trajectory_count * len(self._budgets)
        self._values = array("d", [math.nan]) * size
        self._known = bytearray(size)

    @classmethod
    def of(cls, store: Store, spec: Spec, identity: Identity) -> "Standings":
        """What a store knows of a grid."""
        standings = cls(spec.grid, identity, spec.rule)
        place = {name: index for index, name in enumerate(spec.grid.trajectory_ids(identity))}
        for name, (metrics, ended) in store.histories():
            if name in place:
                standings.add(place[name], metrics, ended=ended)
        return standings

    def add(self, index: int, history: Sequence[Mapping[str, float]], *, ended: bool) -> None:
        """What the index-th trajectory of the grid completed."""
        for row, budget in enumerate(self._budgets, start=index * len(self._budgets)):
            epoch = self._rule.epoch_of(history, budget, ended)
            value = None if epoch is None else history[epoch].get(self._rule.metric)
            if value is not None:
                self._values[row], self._known[row] = value, 1

    def best(self) -> Standing | None:
        """The best combination as it stands; None while there is none with a finite metric."""
        repeats = prod(len(axis.values) for axis in self._grid.replicates)
        budgets, mode = len(self._budgets), self._rule.mode
        best, found = -math.inf, range(0)
        for first in range(0, len(self._values), repeats * budgets):
            for row in range(first, first + budgets):
                rows = range(row, first + repeats * budgets, budgets)
                # Of one replicate the mean is the value: a million of them are looked through in 0.5 s.
                here = merit(self._values[row] if repeats == 1 else self._mean(rows), mode)
                if here > best:
                    best, found = here, rows
        if best == -math.inf:
            return None
        there = [i for i in found if self._known[i]]
        return Standing(self._mean(found), len(there), self._cell(there[0]), there[0] // budgets)

    def _mean(self, rows: range) -> float:
        return mean([self._values[i] for i in rows if self._known[i]])

    def _cell(self, row: int) -> Cell:
        index, place = divmod(row, len(self._budgets))
        name = self._grid.trajectory_id(self._identity, index)
        return self._grid.cell(index, name, self._budgets[place])
