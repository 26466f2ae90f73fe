"""Which surfaces there are: the metric over two axes, for each value of a third."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gridrun.grid import Zip
from gridrun.report.captions import clip, show
from gridrun.report.views.ranges import range_of
from gridrun.report.views.scales import Scale, clipped, drawable, is_numeric, scale, thin
from gridrun.results.aggregate import Aggregate
from gridrun.results.layout import Floats, Part
from gridrun.results.ranking import mean_where
from gridrun.selection import merits

MOST_VALUES = 48  # values of an axis in one surface
MOST_SURFACES = 12
MOST_PARTS = 4  # so many [[grid]] have surfaces


@dataclass(frozen=True)
class Surface:
    """One picture: the metric over x and y (a line where y is None), other axes held at `at`.

    `part` says of which [[grid]] it is, where there are several.
    `z` has the shape (values of x, values of y); `best` is where the best of all lies, if it lies here.
    """

    name: str
    part: str
    x: Scale
    y: Scale | None
    at: tuple[tuple[str, str], ...]
    held: tuple[tuple[str, str], ...]
    z: Floats
    best: tuple[int, int] | None
    note: str

    @property
    def drawn(self) -> Floats:
        """`z` as far as it can be drawn."""
        return drawable(self.z)


@dataclass(frozen=True)
class Plan:
    """Which axes of a part span its surfaces (x, y), which one tells them apart (third), which are held."""

    x: int
    y: int | None
    third: int | None
    held: tuple[int, ...]


def lay_out(part: Part, values: Floats, asked: tuple[str, str] | None = None) -> Plan:
    """Choose the axes: the two that matter most span the surfaces, the one after them tells them apart.

    `asked` names two that span them, if the part has both. Else numbers come before texts, as a surface over
    names has no slope; axes of a single value come last.
    """

    def weight(place: int) -> tuple[bool, bool, float, int]:
        axis = part.axes[place]
        rows = np.moveaxis(values, place, 0).reshape(len(axis.values), -1)
        means = mean_where(rows, np.isfinite(rows))
        means = means[~np.isnan(means)]
        # Two near 1e308 have no difference.
        spread = float(means.max()) / 2 - float(means.min()) / 2 if means.size else 0.0
        return (len(axis.values) > 1, is_numeric(axis), spread, len(axis.values))

    ranked = sorted(range(len(part.axes)), key=weight, reverse=True)
    varied = [place for place in ranked if len(part.axes[place].values) > 1] or ranked[:1]
    named = [place for place in varied if asked is not None and part.axes[place].name in asked]
    if len(named) == 2:
        varied = [*named, *(place for place in varied if place not in named)]
    spanning = sorted(varied[:2])
    third = varied[2] if len(varied) > 2 else None
    held = [place for place in range(len(part.axes)) if place not in (*spanning, third)]
    return Plan(spanning[0], spanning[1] if len(spanning) > 1 else None, third, tuple(held))


def surfaces(result: Aggregate, asked: tuple[str, str] | None = None) -> Iterator[Surface]:
    """Yield every surface worth drawing: of the [[grid]] that the best is in, then of the others.

    Those of one [[grid]] follow the values of the third axis.
    """
    drawn, files = drawn_parts(result), _Files()
    for number, part in drawn:
        prefix = f"[[grid]] {number}" if len(result.layout.parts) > 1 else ""
        yield from _surfaces_of(result, part, prefix, MOST_SURFACES // len(drawn), files, asked)


def drawn_parts(result: Aggregate) -> list[tuple[int, Part]]:
    """The parts that have surfaces, with their numbers from 1: some, where there are many."""
    # A [[grid]] of one combination is no surface, nor is one of which all is left out.
    numbered = [
        (number, part)
        for number, part in enumerate(result.layout.parts, start=1)
        if part.axes and (part is result.part or (part.rows >= 0).sum() > 1)
    ]
    numbered.sort(key=lambda found: found[1] is not result.part)
    return numbered[:MOST_PARTS]


def undrawn(result: Aggregate) -> str:
    """Which parts have no surfaces, what gaps are, what a zip is; "" where there is nothing to say."""
    drawn, every = len(drawn_parts(result)), len(result.layout.parts)
    words = [f"{drawn} of {every} [[grid]] drawn, first that with the best"] if drawn < every else []
    if any((part.rows < 0).any() for part in result.layout.parts):
        words.append("gaps are what [[exclude]] leaves out, what diverged or is not completed")
    words += [f"{z.name} is {_members(z)}, which move together" for z in result.spec.grid.zips]
    return "; ".join(words)


def _members(z: Zip) -> str:
    return " and ".join(member.name for member in z.members)


def _surfaces_of(
    result: Aggregate,
    part: Part,
    prefix: str,
    most: int,
    files: "_Files",
    asked: tuple[str, str] | None,
) -> Iterator[Surface]:
    axes, values = part.axes, part.cube(result.by_combination)
    plan = lay_out(part, values, asked)
    # Of equals the first in grid order, as in the ranking.
    found = np.unravel_index(merits(values, result.spec.mode).argmax(), values.shape)
    where = tuple(int(place) for place in found)
    best = where if part is result.part and result.has_best else None
    x = scale(axes[plan.x], MOST_VALUES, where[plan.x])
    y = None if plan.y is None else scale(axes[plan.y], MOST_VALUES, where[plan.y])
    note = "; ".join(
        f"{len(s.kept)} of {len(s.axis.values)} values of {s.axis.name} drawn"
        for s in (x, y)
        if s is not None and len(s.kept) < len(s.axis.values)
    )
    held = tuple((axes[p].name, show(axes[p].values[where[p]])) for p in plan.held)
    index: list[Any] = list(where)
    index[plan.x] = slice(None)
    if plan.y is not None:
        index[plan.y] = slice(None)
    picked: list[int | None] = [None]
    if plan.third is not None:
        there = axes[plan.third].values
        picked = list(thin(range(len(there)), most, where[plan.third]))
        if len(picked) < len(there):
            few = f"{len(picked)} of {len(there)} values of {axes[plan.third].name} drawn"
            note = "; ".join(filter(None, [note, few]))
    for pick in picked:
        at: tuple[tuple[str, str], ...] = ()
        if pick is not None and plan.third is not None:
            index[plan.third] = pick
            at = ((axes[plan.third].name, show(axes[plan.third].values[pick])),)
        z = values[tuple(index)]
        z = z[list(x.kept)] if y is None else z[np.ix_(x.kept, y.kept)]
        here = best is not None and (pick is None or plan.third is None or best[plan.third] == pick)
        spot = (
            (x.kept.index(where[plan.x]), 0 if y is None else y.kept.index(where[plan.y or 0]))
            if here
            else None
        )
        words = f"{at[0][0]}-{at[0][1]}" if at else "-".join(s.axis.name for s in (x, y) if s is not None)
        name = files.name(f"grid-{prefix.partition(' ')[2]}-{words}" if prefix else words)
        yield Surface(name, prefix, x, y, at, held, z.reshape(len(x.kept), -1), spot, note)


def safe_name(text: str) -> str:
    """A part of a file's name that any file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:80]


class _Files:
    """File names that any file system takes, each once."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def name(self, text: str) -> str:
        safe = safe_name(text)
        for number in itertools.count(1):
            name = f"surface-{safe}.png" if number == 1 else f"surface-{safe}-{number}.png"
            if name.lower() not in self._used:  # some file systems hold A.png and a.png for one
                self._used.add(name.lower())
                return name
        raise AssertionError("unreachable")


def z_range(result: Aggregate) -> tuple[float, float]:
    """One range for all pictures, so that they can be laid side by side."""
    found = range_of(result.by_combination, result.spec.mode)
    return found.low, found.high


def beyond(result: Aggregate) -> list[str]:
    """What pictures draw at their end, in sentences."""
    note = range_of(result.by_combination, result.spec.mode).note.rstrip(".")
    return [words for words in (note, clipped(result)) if words]


def heading(surface: Surface) -> str:
    """What is held, in words."""
    words = ", ".join(f"{name} = {clip(value, 40)}" for name, value in surface.at)
    words = ": ".join(filter(None, [surface.part, words]))
    held = ", ".join(f"{name} = {clip(value, 24)}" for name, value in surface.held)
    if held:
        whose = "its" if surface.part else "the"
        words += ("; " if words else "") + f"held at {whose} best cell's {clip(held, 100)}"
    return words
