"""The grid: axes and the cells they span, expanded lazily and always in the same order."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import prod
from operator import itemgetter

from gridrun.cell import Cell, Identity, Params, Value, encode_value, hash_content
from gridrun.errors import EnvironmentFault


@dataclass(frozen=True)
class Axis:
    """One named hyperparameter and its list of values, in the order written."""

    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Grid:
    """Axes, replicate axes and fixed parameters.

    Grid order is that of nested loops: the axes as written, then the replicates, the last one
    fastest. Trajectories follow the same order without the budget axis.
    """

    axes: tuple[Axis, ...]
    replicates: tuple[Axis, ...] = ()
    fixed: Params = field(default_factory=dict)
    budget: str | None = None

    def __len__(self) -> int:
        return prod(len(axis.values) for axis in self.all_axes)

    @property
    def all_axes(self) -> tuple[Axis, ...]:
        """Axes and replicates in grid order."""
        return self.axes + self.replicates

    @cached_property
    def budgets(self) -> tuple[int, ...]:
        """The budget axis's values as written; empty without one."""
        values = next((axis.values for axis in self.axes if axis.name == self.budget), ())
        return tuple(value for value in values if isinstance(value, int))

    @cached_property
    def trajectory_axes(self) -> tuple[Axis, ...]:
        """Every axis but the budget axis: what tells one trajectory from another."""
        return tuple(axis for axis in self.all_axes if axis.name != self.budget)

    @property
    def trajectory_count(self) -> int:
        return prod(len(axis.values) for axis in self.trajectory_axes)

    def trajectory_ids(self, identity: Identity) -> Iterator[str]:
        """Yield each trajectory's name, in grid order: 1.6 us each, so a million can be asked for.

        Raises: EnvironmentFault if the identity is another grid's, as in a store that somebody made.
        """
        named = sum(count for _, count in identity.fingerprints)
        if named != self.trajectory_count:
            raise EnvironmentFault(
                f"the store is corrupt (it names {named:,} trajectories of {self.trajectory_count:,})"
            )
        return _hash_products(self.trajectory_axes, self.fixed, identity)

    def trajectory_params(self, index: int) -> dict[str, Value]:
        """The parameters of the index-th trajectory, fixed ones first."""
        picked: list[tuple[str, Value]] = []
        for axis in reversed(self.trajectory_axes):
            index, position = divmod(index, len(axis.values))
            picked.append((axis.name, axis.values[position]))
        return {**self.fixed, **dict(reversed(picked))}

    def combinations(self, names: Collection[str]) -> Iterator[dict[str, Value]]:
        """Yield, in grid order, every combination of the parameters called so, fixed ones first."""
        fixed = {name: value for name, value in self.fixed.items() if name in names}
        axes = [axis for axis in self.all_axes if axis.name in names]
        called = [axis.name for axis in axes]
        for values in product(*(axis.values for axis in axes)):
            yield {**fixed, **dict(zip(called, values, strict=True))}

    def cells(self, identity: Identity) -> Iterator[Cell]:
        """Yield every cell in grid order."""
        ids = list(self.trajectory_ids(identity))
        for index, budget in self.cell_positions():
            yield self.cell(index, ids[index], budget)

    def cell(self, index: int, trajectory: str, budget: int | None) -> Cell:
        """The cell that the index-th trajectory, named `trajectory`, serves after `budget` epochs."""
        params = self.trajectory_params(index)
        if budget is not None:
            params[str(self.budget)] = budget
        return Cell(cell_id(trajectory, budget), trajectory, params, budget)

    def cell_positions(self) -> Iterator[tuple[int, int | None]]:
        """Yield (index of its trajectory, value on the budget axis) for each cell, in grid order."""
        if self.budget is None:
            yield from ((index, None) for index in range(len(self)))
            return
        names = [axis.name for axis in self.all_axes]
        place = names.index(self.budget)
        inner = prod(len(axis.values) for axis in self.all_axes[place + 1 :])
        outer = prod(len(axis.values) for axis in self.all_axes[:place])
        for before in range(outer):
            for budget in self.budgets:
                for after in range(inner):
                    yield before * inner + after, budget


def cell_id(trajectory: str, budget: int | None) -> str:
    """Name the cell that a trajectory serves after `budget` epochs; without a budget they are one."""
    return trajectory if budget is None else hash_content(f"{trajectory} {budget}")


def _hash_products(axes: tuple[Axis, ...], fixed: Params, identity: Identity) -> Iterator[str]:
    """Hash the product of axes without building a mapping a cell: 1.6 us instead of 9."""
    parts = [*axes, *(Axis(name, (value,)) for name, value in fixed.items())]
    fragments = [[f"{json.dumps(axis.name)}:{encode_value(v)}" for v in axis.values] for axis in parts]
    order = sorted(range(len(parts)), key=lambda i: parts[i].name)
    sort = itemgetter(*order) if len(order) > 1 else tuple
    for head, picked in zip(identity.heads(), product(*fragments), strict=False):
        yield hash_content(head + ",".join(sort(picked)))
