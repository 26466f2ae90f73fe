"""The grid: axes and the cells they span, expanded lazily and always in the same order."""

import json
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, chain, product
from math import prod
from operator import itemgetter
from typing import TypeVar

from gridrun.block import Axis, Block, Projection, Region, Zip
from gridrun.cell import Cell, Identity, Params, Value, encode_params, encode_value, hash_content
from gridrun.errors import EnvironmentFault

__all__ = ["Axis", "Grid", "Zip", "cell_id"]

# The replicate axes whose values are folds of one set of data: inner ones, and those around them.
FOLD, OUTER = "fold", "outer"

T = TypeVar("T")
# How many values an axis has, and what is passed: several names for a zip.
_Loop = tuple[int, list[tuple[str, tuple[Value, ...]]]]


@dataclass(frozen=True)
class Grid:
    """Axes, replicate axes and fixed parameters.

    Grid order is that of nested loops: the axes as written, then the replicates, the last one
    fastest. Trajectories follow the same order without the budget axis: the replicates of a combination
    stand side by side.

    A union of several products, or one in which combinations are left out, has its `blocks`, one after
    another; `axes` then are all parameters that vary, each with all values that it has anywhere. Of `zips`
    the members are among them.
    """

    axes: tuple[Axis, ...]
    replicates: tuple[Axis, ...] = ()
    fixed: Params = field(default_factory=dict)
    budget: str | None = None
    zips: tuple[Zip, ...] = ()
    union: tuple[Block, ...] = ()

    @classmethod
    def of(
        cls,
        products: Sequence[tuple[Axis, ...]],
        zips: tuple[Zip, ...] = (),
        replicates: tuple[Axis, ...] = (),
        fixed: Params | None = None,
        budget: str | None = None,
        left_out: Sequence[Region] = (),
    ) -> "Grid":
        """The union of products of axes and of all zips, without the combinations in `left_out`.

        A combination of several products is one of the first of them. The budget axis is the same in all.
        """
        fixed = fixed or {}
        if len(products) == 1 and not zips and not left_out:
            return cls(products[0], replicates, fixed, budget)
        regions = [region for region in left_out if _within(fixed, region)]
        regions = [{name: texts for name, texts in r.items() if name not in fixed} for r in regions]
        blocks: list[Block] = []
        before: dict[frozenset[str], list[Region]] = {}
        for axes in products:
            every: tuple[Axis | Zip, ...] = (*axes, *zips)
            values: dict[str, Collection[str]] = {
                axis.name: frozenset(map(encode_value, axis.values)) for axis in axes if axis.name != budget
            }
            # What two products share is a product too. All have the same zips, so these take no part.
            earlier = before.setdefault(frozenset(values), [])
            blocks.append(Block.without(every, budget, [*regions, *earlier]))
            earlier.append(values)
        members = (member for z in zips for member in z.members)
        return cls((*_merge(chain(*products, members)),), replicates, fixed, budget, zips, (*blocks,))

    def __len__(self) -> int:
        return self.trajectory_count * max(1, len(self.budgets))

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The products that make the grid; nearly always one, and whole."""
        return self.union or (Block.whole(self.axes, self.budget),)

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

    @cached_property
    def factors(self) -> tuple[Axis | Zip, ...]:
        """The axes that combinations differ in, each zip as one."""
        zipped = {member.name for z in self.zips for member in z.members}
        left = {*zipped, self.budget}
        return (*(axis for axis in self.axes if axis.name not in left), *self.zips)

    @cached_property
    def calls(self) -> list[list[str]]:
        """The names of the parameters that combinations have: of a union there may be several lists."""
        found: dict[frozenset[str], list[str]] = {}
        for block in self.blocks:
            own = [axis.name for axis in self.axes if axis.name in block.names or axis.name == self.budget]
            names = [*self.fixed, *own, *(axis.name for axis in self.replicates)]
            found.setdefault(frozenset(names), names)
        return list(found.values())

    @cached_property
    def repeats(self) -> int:
        """How many replicates a combination has."""
        return prod(len(axis.values) for axis in self.replicates)

    @cached_property
    def starts(self) -> list[int]:
        """How many combinations there are before each block, and in all."""
        return [0, *accumulate(len(block.kept) for block in self.blocks)]

    @property
    def combination_count(self) -> int:
        """How many combinations there are, the budget axis aside."""
        return self.starts[-1]

    @property
    def trajectory_count(self) -> int:
        return self.combination_count * self.repeats

    def trajectory_ids(self, identity: Identity) -> Iterator[str]:
        """Yield each trajectory's name, in grid order: 1.6 us each, so a million can be asked for.

        Raises: EnvironmentFault if the identity is another grid's, as in a store that somebody made.
        """
        named = sum(count for _, count in identity.fingerprints)
        if named != self.trajectory_count:
            raise EnvironmentFault(
                f"the store is corrupt (it names {named:,} trajectories of {self.trajectory_count:,})"
            )
        return _hash_products(self, identity)

    def trajectory_id(self, identity: Identity, index: int) -> str:
        """The index-th trajectory's name."""
        return hash_content(identity.head(index) + encode_params(self.trajectory_params(index))[1:-1])

    def trajectory_params(self, index: int) -> dict[str, Value]:
        """The parameters of the index-th trajectory, fixed ones first."""
        number, repeat = divmod(index, self.repeats)
        block = bisect_right(self.starts, number) - 1
        place = self.blocks[block].kept[number - self.starts[block]] * self.repeats + repeat
        picked: list[tuple[str, Value]] = []
        for length, members in self._loops[block]:
            place, position = divmod(place, length)
            for name, values in members:
                picked.append((name, values[position]))
        return {**self.fixed, **dict(reversed(picked))}

    @cached_property
    def _loops(self) -> list[list[_Loop]]:
        """The axes of each block, the fastest first."""
        return [
            [
                (len(axis.values), [(member.name, member.values) for member in reversed(axis.members)])
                for axis in reversed((*block.axes, *self.replicates))
            ]
            for block in self.blocks
        ]

    def combinations(self, names: Collection[str]) -> Iterator[dict[str, Value]]:
        """Yield each combination of the parameters called so, in grid order; fixed ones first."""
        fixed = {name: value for name, value in self.fixed.items() if name in names}
        seen: set[str] = set()
        for block in self.blocks:
            for params in self._asked(block, names):
                if not self._are_apart:
                    if (text := encode_params(params)) in seen:
                        continue
                    seen.add(text)
                yield {**fixed, **params}

    def _asked(self, block: Block, names: Collection[str]) -> Iterator[dict[str, Value]]:
        budget = [axis for axis in self.axes if axis.name == self.budget and axis.name in names]
        if block.is_whole:  # a million cells may have a handful of these
            axes = (*block.axes[: block.before], *budget, *block.axes[block.before :], *self.replicates)
            yield from Projection(axes, names)
            return
        part = Projection((*block.axes, *self.replicates), names)
        keys = list(block.select(part.keys(), self.repeats))
        found = (
            (key, value)
            for first, last in (block.stretches() if budget else [(0, len(block.kept))])
            for value in (budget[0].values if budget else [None])
            for key in keys[first * self.repeats : last * self.repeats]
        )
        for key, value in dict.fromkeys(found):
            yield part.params(key) | ({str(self.budget): value} if budget else {})

    def ask(self, names: Collection[str], question: Callable[[dict[str, Value]], T]) -> Iterator[T]:
        """Yield an answer for each trajectory, in grid order.

        Asked is once for each combination of the parameters called so, whatever the budget axis says.
        """
        fixed = {name: value for name, value in self.fixed.items() if name in names}
        told: dict[str, T] = {}

        def tell(params: dict[str, Value]) -> T:
            if self._are_apart:
                return question({**fixed, **params})
            text = encode_params(params)
            if text not in told:
                told[text] = question({**fixed, **params})
            return told[text]

        for block in self.blocks:
            part = Projection((*block.axes, *self.replicates), names)
            answers: dict[int, T] = {}
            for key in block.select(part.keys(), self.repeats):
                if part.is_all:
                    yield tell(part.params(key))
                    continue
                if key not in answers:
                    answers[key] = tell(part.params(key))
                yield answers[key]

    @property
    def _are_apart(self) -> bool:
        """Whether no two places of a product have the same parameters, or some of them."""
        return len(self.blocks) == 1 and not self.zips

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
        for block, start in zip(self.blocks, self.starts, strict=False):
            for first, last in block.stretches():
                trajectories = range((start + first) * self.repeats, (start + last) * self.repeats)
                for budget in self.budgets:
                    for index in trajectories:
                        yield index, budget


def cell_id(trajectory: str, budget: int | None) -> str:
    """Name the cell that a trajectory serves after `budget` epochs; without a budget they are one."""
    return trajectory if budget is None else hash_content(f"{trajectory} {budget}")


def _hash_products(grid: Grid, identity: Identity) -> Iterator[str]:
    """Hash the products of axes without building a mapping a cell: 1.6 us instead of 9."""
    heads = identity.heads()
    fixed = [Axis(name, (value,)) for name, value in grid.fixed.items()]
    for block in grid.blocks:
        parts = (*block.axes, *grid.replicates, *fixed)
        fragments = [list(zip(*map(_fragments, axis.members), strict=True)) for axis in parts]
        names = [member.name for axis in parts for member in axis.members]
        picked: Iterable[tuple[str, ...]]
        if len(names) == len(parts):
            picked = product(*([text for (text,) in texts] for texts in fragments))
        else:
            picked = (tuple(chain.from_iterable(texts)) for texts in product(*fragments))
        order = sorted(range(len(names)), key=names.__getitem__)
        sort = itemgetter(*order) if len(order) > 1 else tuple
        # The heads come second: zip takes one of the first before it finds the second at its end.
        for texts, head in zip(block.select(picked, grid.repeats), heads, strict=False):
            yield hash_content(head + ",".join(sort(texts)))


def _fragments(axis: Axis) -> list[str]:
    return [f"{json.dumps(axis.name)}:{encode_value(value)}" for value in axis.values]


def _within(fixed: Params, region: Region) -> bool:
    """Whether the fixed parameters lie in a region, as far as it names them."""
    return all(encode_value(fixed[name]) in texts for name, texts in region.items() if name in fixed)


def _merge(axes: Iterable[Axis]) -> Iterator[Axis]:
    """Yield axes of one name as one, with all their values, each once.

    In the order written; but numbers that ascend in each list, or descend in each, do so in all.
    """
    named: dict[str, list[Axis]] = {}
    for axis in axes:
        named.setdefault(axis.name, []).append(axis)
    for name, found in named.items():
        known: dict[str, Value] = {}
        for value in chain.from_iterable(axis.values for axis in found):
            known.setdefault(encode_value(value), value)
        values = list(known.values())
        for falling in (False, True):
            if len(found) > 1 and all(_is_sorted(axis.values, falling) for axis in found):
                values.sort(key=_number, reverse=falling)
                break
        yield Axis(name, tuple(values))


def _number(value: Value) -> float:
    return value if isinstance(value, int | float) else 0.0


def _is_sorted(values: Sequence[Value], falling: bool) -> bool:
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return numeric and list(values) == sorted(values, key=_number, reverse=falling)
