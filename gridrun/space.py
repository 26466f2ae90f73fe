"""The space that a sweep covers, as grid.toml writes it: [grid], [zip], [[exclude]], [replicate], [fixed]."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from math import prod
from typing import Any

from gridrun.block import Region, find_places
from gridrun.cell import Params, Value, encode_value
from gridrun.grid import Axis, Grid, Zip
from gridrun.reading import Reader, Words, choice

# A grid past this is a slip of the pen (an axis of a thousand values too many), not a plan.
MOST_CELLS = 10_000_000
MOST_GRIDS = 1000  # each is compared with those before it: a quarter of a second

Table = Mapping[str, Any]


def read_grid(reader: Reader, tables: Table, budget: object) -> Grid:
    """The grid that the tables describe. Raises: InputError."""
    found = list(_tables_of_grid(reader, tables["grid"]))
    _check_names(reader, found, tables)
    _check_lengths(reader, found, tables["zip"])
    fixed = {name: reader.value(f"[fixed] {name}", value) for name, value in tables["fixed"].items()}
    products = [_read_axes(reader, place, table) for place, table in found]
    zips = tuple(_read_zip(reader, name, table) for name, table in tables["zip"].items())
    replicates = _read_axes(reader, "[replicate]", tables["replicate"])
    for (place, _), axes in zip(found, products, strict=True):
        if not axes and (len(products) > 1 or not zips):
            reader.refuse(f"{place} needs an axis", Words("none"), "learning_rate = [0.01, 0.1]")
    name = _read_budget(reader, budget, [place for place, _ in found], products)
    _check_size(reader, products, zips)
    left_out = _read_excludes(reader, tables["exclude"], _Space(products, zips, replicates, fixed, name))
    grid = Grid.of(products, zips, replicates, fixed, name, left_out)
    if not len(grid):
        reader.refuse(
            "[[exclude]] leaves no combination", Words("all of them left out"), "fewer of its lines"
        )
    if len(grid) > MOST_CELLS:
        reader.refuse(
            f"the grid is larger than {MOST_CELLS:,} cells", Words(f"{len(grid):,}"), "fewer values"
        )
    return grid


def _tables_of_grid(reader: Reader, found: object) -> Iterator[tuple[str, Table]]:
    """Yield each [[grid]], or the one [grid], with how messages call it."""
    if isinstance(found, dict):
        yield "[grid]", found
        return
    tables = _read_tables(reader, "grid", found)
    if not tables:
        reader.refuse("grid must be a table", found, "[grid] on a line of its own")
    if len(tables) > MOST_GRIDS:
        reader.refuse(
            f"[[grid]] may be written {MOST_GRIDS:,} times",
            Words(f"{len(tables):,}"),
            "[zip.NAME] for a list of combinations",
        )
    for number, table in enumerate(tables, start=1):
        yield f"[[grid]] {number}" if len(tables) > 1 else "[grid]", table


def _read_tables(reader: Reader, name: str, found: object) -> list[Table]:
    """A table that may be written several times."""
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        reader.refuse(f"{name} must be tables", found, f"[[{name}]] on a line of its own")
    return list(found)


def _check_names(reader: Reader, grids: list[tuple[str, Table]], tables: Table) -> None:
    """Refuse what can be no parameter's name, and a name in two tables; several [[grid]] may share one."""
    zips = [(f"[zip.{name}]", table) for name, table in tables["zip"].items()]
    for place, table in zips:
        if not isinstance(table, dict):
            name = place[5:-1]
            reader.refuse(f"[zip] {name} must be a table", table, f"[zip.{name}] and its axes below")
    owner: dict[str, str] = {}
    for place, table in (("[fixed]", tables["fixed"]), *grids, *zips, ("[replicate]", tables["replicate"])):
        for name in table:
            _check_name(reader, f"{place} a parameter's name", name)
            if name in owner and not (owner[name].startswith("[[grid]]") and place.startswith("[[grid]]")):
                reader.refuse(f"{name} stands in two tables", Words(f"{owner[name]} and {place}"), "it once")
            owner[name] = place
    for name in tables["zip"]:
        _check_name(reader, "[zip] a name", name)
        if name in owner:
            words = f"[zip.{name}] and {name} in {owner[name]}"
            reader.refuse("a zip is called like a parameter", Words(words), f"[zip.{name}_and_more]")


def _check_name(reader: Reader, what: str, name: str) -> None:
    if not name.isprintable() or name != name.strip() or re.search(r"^$|[,=]|^\.|\.$|\.\.", name):
        reader.refuse(
            f"{what} must be printable, without blanks around it, commas, equals signs or lone dots",
            name,
            "learning_rate",
        )


def _read_axes(reader: Reader, place: str, table: Table) -> tuple[Axis, ...]:
    return tuple(reader.axis(place, name, found) for name, found in table.items())


def _read_zip(reader: Reader, name: str, table: Table) -> Zip:
    """Axes of one length, none of whose combinations comes twice."""
    place = f"[zip.{name}]"
    members = tuple(reader.values(place, member, found) for member, found in table.items())
    if len(members) < 2:
        words = ", ".join(member.name for member in members) or "none"
        reader.refuse(f"{place} needs two axes that move together", Words(words), "one alone under [grid]")
    if len({len(member.values) for member in members}) > 1:
        words = ", ".join(f"{member.name} has {len(member.values)}" for member in members)
        reader.refuse(f"{place} must hold lists of one length", Words(words), "as many values for each")
    seen: dict[str, int] = {}
    for number, values in enumerate(zip(*(member.values for member in members), strict=True), start=1):
        first = seen.setdefault(encode_value(values), number)
        if first != number:
            words = f"numbers {first} and {number} of its lists"
            reader.refuse(f"{place} holds the same values twice", Words(words), "them once")
    return Zip(name, members)


def _read_budget(
    reader: Reader, budget: object, places: Sequence[str], products: list[tuple[Axis, ...]]
) -> str | None:
    """The budget axis's name; it must be an axis of every product, with the same values."""
    if budget is None:
        return None
    known: dict[str, Value] = {}
    for number, (place, axes) in enumerate(zip(places, products, strict=True)):
        axis = next((axis for axis in axes if axis.name == budget), None)
        if axis is None:
            names = ", ".join(axis.name for axis in axes)
            reader.refuse(
                f"[sweep] budget must name an axis of {place}", budget, f"one of {names}, or leave it out"
            )
        for value in axis.values:
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                reader.refuse(
                    f"{place} {budget} is the budget axis and must hold whole numbers from 1", value, "[2, 5]"
                )
        values = {encode_value(value): value for value in axis.values}
        if number and values.keys() != known.keys():
            reader.refuse(
                f"{place} {budget} is the budget axis and must hold the same values in every [[grid]]",
                list(axis.values),
                f"{list(known.values())}",
            )
        known = known or values
    return str(budget)


def _check_lengths(reader: Reader, grids: list[tuple[str, Table]], zips: Table) -> None:
    """Refuse what is too large before any of its values is made."""
    zipped = prod(max(map(_length, table.values()), default=1) for table in zips.values())
    size = sum(zipped * prod(map(_length, table.values())) for _, table in grids)
    if size > MOST_CELLS:
        found = f"{size:,}" if size < 10**15 else f"about 10^{len(str(size)) - 1}"
        reader.refuse(f"the grid is larger than {MOST_CELLS:,} cells", Words(found), "fewer values")


def _length(found: object) -> int:
    """How many values an axis has as it is written; 1 where that is to be refused, or told later."""
    if isinstance(found, dict):
        num = found.get("num", 1)
        if "step" in found:
            with suppress(TypeError, ValueError, ZeroDivisionError, OverflowError):
                num = int(abs((found["to"] - found["from"]) / found["step"])) if "from" in found else 1
        return num if isinstance(num, int) and not isinstance(num, bool) and num > 0 else 1
    return max(1, len(found)) if isinstance(found, list) else 1


def _check_size(reader: Reader, products: list[tuple[Axis, ...]], zips: tuple[Zip, ...]) -> None:
    """Refuse what is too large to say which of its combinations are left out."""
    zipped = prod(len(z.members[0].values) for z in zips)
    size = sum(zipped * prod(len(axis.values) for axis in axes) for axes in products)
    if size > MOST_CELLS:
        reader.refuse(f"the grid is larger than {MOST_CELLS:,} cells", Words(f"{size:,}"), "fewer values")


class _Space:
    """What an [[exclude]] may name."""

    def __init__(
        self,
        products: list[tuple[Axis, ...]],
        zips: tuple[Zip, ...],
        replicates: tuple[Axis, ...],
        fixed: Params,
        budget: str | None,
    ) -> None:
        self.products: list[tuple[Axis | Zip, ...]] = [
            (*(axis for axis in axes if axis.name != budget), *zips) for axes in products
        ]
        self.fixed = fixed
        self.values: dict[str, dict[str, Value]] = {
            name: {encode_value(value): value} for name, value in fixed.items()
        }
        for every in self.products:
            for axis in every:
                for member in axis.members:
                    texts = self.values.setdefault(member.name, {})
                    texts.update((encode_value(value), value) for value in member.values)
        self.refused = {
            **{z.name: f"the zip's axes: {', '.join(m.name for m in z.members)}" for z in zips},
            **{axis.name: "other axes: replicates are averaged, all or none" for axis in replicates},
            **({budget: "other axes: of a trajectory all epochs are there"} if budget is not None else {}),
        }


def _read_excludes(reader: Reader, found: object, space: _Space) -> list[Region]:
    tables = _read_tables(reader, "exclude", found) if found else []
    regions: list[Region] = []
    for number, table in enumerate(tables, start=1):
        place = f"[[exclude]] {number}" if len(tables) > 1 else "[[exclude]]"
        if not table:
            reader.refuse(f"{place} needs a line", Words("none"), "a parameter and the values to leave out")
        region = {name: _read_meant(reader, place, name, said, space) for name, said in table.items()}
        there = {name: texts for name, texts in region.items() if name not in space.fixed}
        if all(find_places(axes, there) is None for axes in space.products):
            words = " and ".join(f"{name} = {said!r}" for name, said in table.items())
            reader.refuse(
                f"{place} matches no combination", Words(words), "what stands together in one [[grid]]"
            )
        regions.append(region)
    return regions


def _read_meant(reader: Reader, place: str, name: str, said: object, space: _Space) -> frozenset[str]:
    """The JSON texts of the values that a line of an [[exclude]] means: one value, or a list of them."""
    if name in space.refused:
        reader.refuse(f"{place} cannot name {name}", said, space.refused[name])
    known = space.values.get(name)
    if known is None:
        reader.refuse(f"{place} has no axis {name!r}", said, choice(name, space.values))
    value = reader.value(f"{place} {name}", said)
    whole = encode_value(value)
    each = list(map(encode_value, value)) if isinstance(value, tuple) else []
    if whole in known:
        if each and all(text in known for text in each):
            reader.refuse(f"{place} {name} may mean one list or its values", said, f"[{said}] for the list")
        return frozenset((whole,))
    for text in each or [whole]:
        if text not in known:
            values = ", ".join(list(known)[:10])
            reader.refuse(f"{place} {name} has no value {text}", said, f"one of {values}")
    return frozenset(each)
