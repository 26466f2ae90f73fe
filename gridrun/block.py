"""A block: one product of axes, without the combinations that are left out of it.

A plain grid is one whole block; each [[grid]] of a union is one. Nothing is enumerated before it is asked
for, but for one byte a combination where some are left out.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, compress, product, repeat
from math import prod
from typing import TypeVar

from gridrun.cell import Value, encode_value

T = TypeVar("T")
# Combinations by their values: of each parameter named, the JSON texts of those that are meant.
Region = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class Axis:
    """One named hyperparameter and its list of values, in the order written."""

    name: str
    values: tuple[Value, ...]

    @property
    def members(self) -> tuple["Axis", ...]:
        """What is passed: itself. (Of a zip these are several.)"""
        return (self,)


@dataclass(frozen=True)
class Zip:
    """Axes that move together and count as one: the first values of all of them, then the second ones."""

    name: str
    members: tuple[Axis, ...]

    @cached_property
    def values(self) -> tuple[Value, ...]:
        return tuple(zip(*(member.values for member in self.members), strict=True))


@dataclass(frozen=True)
class Block:
    """Combinations of axes in the order of nested loops, the last axis fastest.

    `axes` come without the budget axis, of which `before` says how many of them stand before it. `kept` are
    the places of the combinations that are there in the whole product, ascending.
    """

    axes: tuple[Axis | Zip, ...]
    before: int
    kept: Sequence[int]

    @classmethod
    def whole(cls, axes: Iterable[Axis | Zip], budget: str | None) -> "Block":
        """The product of all axes."""
        return cls.without(axes, budget, ())

    @classmethod
    def without(cls, axes: Iterable[Axis | Zip], budget: str | None, regions: Iterable[Region]) -> "Block":
        """The product of all axes but for what lies in a region."""
        axes = tuple(axes)
        names = [axis.name for axis in axes]
        others = tuple(axis for axis in axes if axis.name != budget)
        shape = [len(axis.values) for axis in others]
        kept: Sequence[int] = range(prod(shape))
        left_out = [places for region in regions if (places := find_places(others, region)) is not None]
        if left_out:
            there = bytearray(b"\1") * len(kept)
            for places in left_out:
                _strike(there, shape, places)
            kept = array("q", compress(kept, there))
        return cls(others, names.index(budget) if budget in names else len(others), kept)

    @cached_property
    def names(self) -> frozenset[str]:
        """The parameters that its combinations have besides the budget axis."""
        return frozenset(member.name for axis in self.axes for member in axis.members)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(axis.values) for axis in self.axes)

    @property
    def is_whole(self) -> bool:
        return len(self.kept) == prod(self.shape)

    @property
    def inner(self) -> int:
        """How many combinations of the whole product lie between two values of the budget axis."""
        return prod(self.shape[self.before :])

    def stretches(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of combinations, within each of which the budget axis runs through its values."""
        inner, kept, whole, first = self.inner, self.kept, self.is_whole, 0
        while first < len(kept):
            last = first + inner
            if not whole:
                last = bisect_left(kept, (kept[first] // inner + 1) * inner, first)
            yield first, last
            first = last

    def select(self, whole: Iterable[T], repeats: int) -> Iterable[T]:
        """Of the items of the whole product, `repeats` for each combination, those that are there."""
        if self.is_whole:
            return whole
        there = bytearray(prod(self.shape))
        for place in self.kept:
            there[place] = 1
        each: Iterable[int] = there
        if repeats > 1:
            each = chain.from_iterable(repeat(flag, repeats) for flag in there)
        return compress(whole, each)


class Projection:
    """Some axes of a product: their combinations, each by its place among them, the key."""

    def __init__(self, axes: Sequence[Axis | Zip], names: Collection[str]) -> None:
        self._names = names
        self._lengths = [len(axis.values) for axis in axes]
        self._taken = [any(member.name in names for member in axis.members) for axis in axes]
        self._axes = [axis for axis, taken in zip(axes, self._taken, strict=True) if taken]
        self.size = prod(len(axis.values) for axis in self._axes)

    @property
    def is_all(self) -> bool:
        """Whether every axis is taken, so that no two combinations of the product have one key."""
        return all(self._taken)

    def keys(self) -> Iterable[int]:
        """The key of each combination of the product, in its order."""
        if self.is_all:
            return range(self.size)
        steps, stride = [], self.size
        for length, taken in zip(self._lengths, self._taken, strict=True):
            stride //= length if taken else 1
            steps.append([stride * i for i in range(length)] if taken else [0] * length)
        return map(sum, product(*steps))

    def __iter__(self) -> Iterator[dict[str, Value]]:
        """Yield all combinations: 0.9 us each, where `params` takes five."""
        members = [[m for m in axis.members if m.name in self._names] for axis in self._axes]
        names = [member.name for axis in members for member in axis]
        if len(names) == len(members):
            rows: Iterable[Iterable[Value]] = product(*(member.values for (member,) in members))
        else:
            zipped = [tuple(zip(*(member.values for member in axis), strict=True)) for axis in members]
            rows = map(chain.from_iterable, product(*zipped))
        for row in rows:
            yield dict(zip(names, row, strict=True))

    def params(self, key: int) -> dict[str, Value]:
        """The combination with that key; of a zip's members those that are named."""
        picked: list[tuple[str, Value]] = []
        for axis in reversed(self._axes):
            key, position = divmod(key, len(axis.values))
            members = [member for member in reversed(axis.members) if member.name in self._names]
            picked += [(member.name, member.values[position]) for member in members]
        return dict(reversed(picked))


def find_places(axes: Sequence[Axis | Zip], region: Region) -> list[Sequence[int]] | None:
    """Where on each axis a region lies; None if no combination of the axes lies in it."""
    places: list[Sequence[int]] = []
    wanted = dict(region)
    for axis in axes:
        here: Sequence[int] = range(len(axis.values))
        for member in axis.members:
            texts = wanted.pop(member.name, None)
            if texts is not None:
                here = [i for i in here if encode_value(member.values[i]) in texts]
        if not here:
            return None
        places.append(here)
    return None if wanted else places


def _strike(there: bytearray, shape: Sequence[int], places: Sequence[Sequence[int]]) -> None:
    """Strike out a product of places on each axis."""
    last = len(shape)
    while last and len(places[last - 1]) == shape[last - 1]:  # all of it: strike out whole runs
        last -= 1
    run = prod(shape[last:])
    nothing = bytes(run)
    steps = [[prod(shape[axis + 1 :]) * i for i in places[axis]] for axis in range(last)]
    for starts in product(*steps):
        start = sum(starts)
        there[start : start + run] = nothing
