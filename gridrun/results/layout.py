"""A grid as arrays: which value each combination has on each axis, and in which order its cells stand.

Tables of outcomes are (budgets, trajectories); the replicates of a combination stand side by side.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gridrun.block import Block, Zip
from gridrun.cell import Value, encode_value
from gridrun.grid import Axis, Grid

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Part:
    """The combinations of one [[grid]], also those that another had before, with one dimension an axis.

    axes: those of the block without the budget axis, a zip as one whose values are lists of its members'.
    before: how many of them stand before the budget axis.
    rows: the numbers of its combinations, of the shape of the axes; -1 where one is left out.
    """

    def __init__(self, axes: tuple[Axis, ...], before: int, rows: Ints) -> None:
        self.axes, self.before, self.rows = axes, before, rows

    def cube(self, table: Floats) -> Floats:
        """A table of all combinations with one dimension an axis instead; NaN where one is left out."""
        cube = np.asarray(table[self.rows])
        cube[self.rows < 0] = np.nan
        return cube


class Layout:
    """How a grid's combinations are told apart.

    A budget axis that is the only axis is no choice to take the best over, it is what was asked: then its
    values are the combinations, and `budget` is None.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self.is_budget_alone = grid.budget is not None and len(grid.axes) == 1
        own = next((axis for axis in grid.axes if axis.name == grid.budget), None)
        self.budget = None if self.is_budget_alone else own
        self.axes = grid.axes if self.budget is None else tuple(a for a in grid.axes if a.name != grid.budget)
        zipped = {member.name for z in grid.zips for member in z.members}
        # As they count, a zip as one, whose values are lists; with the budget axis, and without.
        unzipped = (axis for axis in grid.axes if axis.name not in zipped)
        self.every = (*unzipped, *map(_as_axis, grid.zips))
        self.factors = self.axes if self.is_budget_alone else tuple(map(_as_axis, grid.factors))

    @property
    def combination_count(self) -> int:
        return len(self._grid.budgets) if self.is_budget_alone else self._grid.combination_count

    @property
    def _rows(self) -> int:
        return max(1, len(self._grid.budgets))

    def fold(self, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A table (budgets, trajectories) as (combinations, budgets, replicates)."""
        if self.is_budget_alone:
            return table.reshape(self._rows, 1, -1)
        cube = table.reshape(self._rows, -1, self._grid.repeats)
        return np.ascontiguousarray(cube.transpose(1, 0, 2))

    @cached_property
    def codes(self) -> dict[str, npt.NDArray[np.int32]]:
        """The place of each combination's value on each axis and zip; -1 where it has not got the axis."""
        if self.is_budget_alone:
            return {self.axes[0].name: np.arange(self.combination_count, dtype=np.int32)}
        grid = self._grid
        codes = {
            name: np.full(grid.combination_count, -1, np.int32)
            for name in (*(axis.name for axis in self.axes), *(z.name for z in grid.zips))
        }
        every = {axis.name: axis for axis in self.axes}
        for block, start in zip(grid.blocks, grid.starts, strict=False):
            here = slice(start, start + len(block.kept))
            for axis, places in zip(block.axes, _places(block), strict=True):
                if isinstance(axis, Zip):
                    codes[axis.name][here] = places
                for member in axis.members:
                    codes[member.name][here] = _places_on(every[member.name], member)[places]
        return codes

    def codes_of_trajectories(self, name: str, numbers: Ints) -> Ints:
        """The same of trajectories, of replicate axes too."""
        for place, axis in enumerate(self._grid.replicates):
            if axis.name == name:
                lengths = [len(axis.values) for axis in self._grid.replicates]
                return np.asarray(np.unravel_index(numbers % self._grid.repeats, lengths)[place])
        return self.codes[name][numbers // self._grid.repeats].astype(np.int64)

    def codes_of_cells(self, name: str, cells: slice) -> Ints:
        """The same of cells in grid order, of the budget axis too."""
        row, trajectory = np.divmod(self.order[cells], self._grid.trajectory_count)
        return row if name == self._grid.budget else self.codes_of_trajectories(name, trajectory)

    @cached_property
    def order(self) -> Ints:
        """Of each cell, in grid order, its place in a table that is raveled."""
        grid, repeats, total = self._grid, self._grid.repeats, self._grid.trajectory_count
        orders = []
        for block, start in zip(grid.blocks, grid.starts, strict=False):
            outer = np.repeat(_array(block.kept) // block.inner, repeats)
            # Stable: within a stretch of nested loops budget by budget, and then as the trajectories are.
            row, number = np.divmod(np.argsort(np.tile(outer, self._rows), kind="stable"), len(outer) or 1)
            orders.append(row * total + start * repeats + number)
        return np.concatenate(orders)

    @cached_property
    def places(self) -> Ints:
        """The reverse: of each entry of a table that is raveled, the place of its cell in grid order."""
        places = np.empty_like(self.order)
        places[self.order] = np.arange(len(places))
        return places

    @cached_property
    def pairs(self) -> Ints:
        """Every (combination, place on the budget axis), in grid order."""
        repeats, total = self._grid.repeats, self._grid.trajectory_count
        row, trajectory = np.divmod(self.order, total)
        first = trajectory % repeats == 0
        row, combination = row[first], trajectory[first] // repeats
        return np.stack([row, np.zeros_like(row)] if self.is_budget_alone else [combination, row], axis=1)

    def runs_of(self, combination: int, budget: int) -> tuple[int, range]:
        """Where the runs of a combination stand in a table: the row, the trajectories."""
        row, first = (combination, 0) if self.is_budget_alone else (budget, combination * self._grid.repeats)
        return row, range(first, first + self._grid.repeats)

    def cell_of(self, combination: int, budget: int, repeat: int) -> int:
        """The place in grid order of a cell: combination, place on the budget axis, replicate."""
        row, runs = self.runs_of(combination, budget)
        return int(self.places[row * self._grid.trajectory_count + runs[repeat]])

    def params_of(self, combination: int, budget: int) -> dict[str, Value]:
        """What a combination is called with in its first replicate, in the order of the axes."""
        row, runs = self.runs_of(combination, budget)
        grid = self._grid
        params = grid.trajectory_params(runs[0])
        if grid.budget is not None:
            params[grid.budget] = grid.budgets[row]
        names = [*grid.fixed, *(axis.name for axis in grid.all_axes)]
        return {name: params[name] for name in names if name in params}

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Each [[grid]] as it was written, in their order."""
        if self.is_budget_alone:
            return (Part(self.axes, 0, np.arange(self.combination_count)),)
        parts: list[Part] = []
        blocks = self._grid.blocks
        found = [_find_values(block) for block in blocks] if len(blocks) > 1 else [{}]
        for number, (block, start) in enumerate(zip(blocks, self._grid.starts, strict=False)):
            rows = np.full(block.shape, -1, np.int64)
            rows.ravel()[_array(block.kept)] = np.arange(start, start + len(block.kept))
            for earlier in range(number):
                shared = _shared(found[number], found[earlier])
                if shared is not None:
                    here, there = shared
                    names = [axis.name for axis in blocks[earlier].axes]
                    before = parts[earlier].rows.transpose([names.index(axis.name) for axis in block.axes])
                    rows[here] = np.maximum(rows[here], before[there])
            parts.append(Part(tuple(map(_as_axis, block.axes)), block.before, rows))
        return tuple(parts)


def _as_axis(axis: Axis | Zip) -> Axis:
    return Axis(axis.name, axis.values)


def _array(kept: Sequence[int]) -> Ints:
    return np.arange(len(kept)) if isinstance(kept, range) else np.array(kept, np.int64)


def _places(block: Block) -> tuple[Ints, ...]:
    """The place of each combination of a block on each of its axes."""
    return np.unravel_index(_array(block.kept), block.shape) if block.shape else ()


def _places_on(every: Axis, own: Axis) -> Ints:
    """Where each value of an axis is on that of the same name which has all values."""
    if own.values is every.values:
        return np.arange(len(own.values))
    at = {encode_value(value): place for place, value in enumerate(every.values)}
    return np.array([at[encode_value(value)] for value in own.values])


def _find_values(block: Block) -> dict[str, dict[str, int]]:
    """By axis, and by the text of a value, its place."""
    return {axis.name: {encode_value(v): i for i, v in enumerate(axis.values)} for axis in block.axes}


def _shared(one: dict[str, dict[str, int]], other: dict[str, dict[str, int]]) -> tuple[Any, Any] | None:
    """Where two blocks have the same combinations: indices of both; None if nowhere."""
    if one.keys() != other.keys():
        return None
    here, there = [], []
    for name, values in one.items():
        pairs = [(place, other[name][text]) for text, place in values.items() if text in other[name]]
        if not pairs:
            return None
        here.append([place for place, _ in pairs])
        there.append([place for _, place in pairs])
    return np.ix_(*here), np.ix_(*there)
