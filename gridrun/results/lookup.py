"""Cells among all: by the beginning of an id, by rank, by parameters."""

import difflib
import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import prod

from gridrun.block import Region, Zip, find_places
from gridrun.cell import Identity, Value, encode_value, read_value
from gridrun.errors import InputError
from gridrun.grid import Axis, Grid, cell_id
from gridrun.results.standings import Standings
from gridrun.spec import Spec
from gridrun.store import Store
from gridrun.terminal import visible

# A cell by the index of its trajectory and its value on the budget axis.
Place = tuple[int, int | None]


def find_cells(store: Store, spec: Spec, query: str | None) -> Iterator[Place]:
    """The cells meant by a query, in grid order; None means all.

    `best` and `#3` are combinations as the report ranks them (with replicates, several cells),
    `lr=0.1,bs=16` all cells with these parameters, anything else the beginning of one cell's id.
    Raises: InputError if there is none, or the id is that of several.
    """
    grid = spec.grid
    if query is None:
        return grid.cell_positions()
    if query == "best":
        best = Standings.of(store, spec, store.identity()).best()
        if best is None:
            raise _unranked(store, spec)
        return _runs_of(grid, best.index // grid.repeats, best.cell.budget)
    if query.startswith("#"):
        return _runs_of(grid, *_ranked(store, query))
    if "=" in query:
        return _matching(grid, query)
    return iter([_find_id(grid, store.identity(), query)])


def _runs_of(grid: Grid, combination: int, budget: int | None) -> Iterator[Place]:
    """The cells of a combination, with that value on the budget axis: one for each replicate."""
    first = combination * grid.repeats
    return ((index, budget) for index in range(first, first + grid.repeats))


def _ranked(store: Store, query: str) -> Place:
    """The combination of that rank, and its value on the budget axis."""
    from gridrun.results.aggregate import aggregate

    if not re.fullmatch(r"#[1-9]\d{0,8}", query, re.ASCII):
        raise InputError(f"a rank is # and a number from 1, found {query!r}; write '#1'")
    result = aggregate(store)
    rank = int(query[1:])
    if not len(result.best):
        raise _unranked(store, result.spec)
    if rank > len(result.best):
        raise InputError(f"the leaderboard ends with #{len(result.best)}, found {query}; write '#1'")
    place, budgets = int(result.order[rank - 1]), result.spec.grid.budgets
    if result.layout.is_budget_alone:
        return 0, budgets[place]
    return place, budgets[int(result.reached_at[rank - 1])] if budgets else None


def _unranked(store: Store, spec: Spec) -> InputError:
    return InputError(
        f"{store.directory}: no completed cell with a finite {spec.metric} yet;"
        " `gridrun status` says how far it is"
    )


def _matching(grid: Grid, query: str) -> Iterator[Place]:
    """The cells with the parameters that a query says. Raises: InputError if there are none."""
    # Equal content is what counts: 1 is 1.0.
    said = {name: set(map(encode_value, values)) for name, values in _read_query(grid, query).items()}
    budgets = said.pop(grid.budget, None) if grid.budget is not None else None
    own = {name: said.pop(name) for axis in grid.replicates if (name := axis.name) in said}
    repeats = list(_places_among(grid.replicates, own))
    found = find_combinations(grid, said)
    if not found:
        words = [f"{name} {' or '.join(sorted(texts))}" for name, texts in said.items()]
        raise InputError(f"no combination has {visible(' and '.join(words))}; leave one of them out")
    numbers = {place * grid.repeats + repeat for place in found for repeat in repeats}
    return (
        (index, budget)
        for index, budget in grid.cell_positions()
        if index in numbers and (budgets is None or (budget is not None and encode_value(budget) in budgets))
    )


def find_combinations(grid: Grid, region: Region) -> list[int]:
    """The numbers of the combinations that lie in a region, ascending."""
    found = []
    for block, start in zip(grid.blocks, grid.starts, strict=False):
        for place in _places_among(block.axes, region):
            number = bisect_left(block.kept, place)
            if number < len(block.kept) and block.kept[number] == place:
                found.append(start + number)
    return found


def _places_among(axes: Sequence[Axis | Zip], region: Region) -> Iterable[int]:
    """The places in the product of axes of what lies in a region."""
    places = find_places(axes, region)
    if places is None:
        return ()
    steps, stride = [], prod(len(axis.values) for axis in axes)
    for axis, here in zip(axes, places, strict=True):
        stride //= len(axis.values)
        steps.append([stride * place for place in here])
    return map(sum, product(*steps))


def _read_query(grid: Grid, query: str) -> dict[str, list[Value]]:
    """By parameter, the values that a query may mean."""
    picked: dict[str, list[Value]] = {}
    # A comma within a list is followed by no name and no equals sign.
    for part in re.split(r",(?=[^,=\[\]{}]+=)", query):
        name, _, said = part.partition("=")
        axis = find_axis(grid, name.strip())
        found = [value for value in axis.values if says(said.strip(), value)]
        if not found:
            values = ", ".join(visible(_write(value)) for value in axis.values[:10])
            more = f" and {len(axis.values) - 10} more" if len(axis.values) > 10 else ""
            raise InputError(f"{axis.name} has no value {said!r}; write one of {values}{more}")
        if axis.name in picked:
            raise InputError(f"{axis.name} is named twice in {query!r}; write it once")
        picked[axis.name] = found
    return picked


def find_axis(grid: Grid, said: str) -> Axis:
    """The axis called so, or the only one whose name begins so or has these initials."""
    axes = {axis.name: axis for axis in grid.all_axes}
    if said in axes:
        return axes[said]
    found = [name for name in axes if said and (name.startswith(said) or _initials(name) == said)]
    if len(found) == 1:
        return axes[found[0]]
    if found:
        raise InputError(f"{said!r} may be {' or '.join(found)}; write more of it")
    for z in grid.zips:
        if said == z.name:
            members = ", ".join(member.name for member in z.members)
            raise InputError(f"{said} is several axes that move together; name one of them: {members}")
    if said in grid.fixed:
        raise InputError(f"{said} is the same in every cell; name an axis: {', '.join(axes)}")
    close = difflib.get_close_matches(said, axes, n=1)
    raise InputError(
        f"no axis is called {said!r}; write {close[0] if close else 'one of ' + ', '.join(axes)}"
    )


def _initials(name: str) -> str:
    return "".join(word[:1] for word in re.split(r"[_\W]+", name))


def says(said: str, value: Value) -> bool:
    """Whether a value is meant, in any spelling: 1e-1 is 0.1, and quotes are not needed."""
    if said == value or said == _write(value):
        return True
    try:
        if isinstance(value, float | int) and not isinstance(value, bool):
            return encode_value(_number(said)) == encode_value(value)
        return encode_value(read_value(json.loads(said))) == encode_value(value)
    except (ValueError, RecursionError):
        return False


def _number(said: str) -> float:
    try:
        return int(said)
    except ValueError:
        return float(said)


def _write(value: Value) -> str:
    return value if isinstance(value, str) else encode_value(value)


def _find_id(grid: Grid, identity: Identity, beginning: str) -> Place:
    """The cell whose id begins so. Raises: InputError if there is none, or more than one."""
    if not beginning:
        raise InputError("a cell's id must not be empty; `cells.csv` lists them")
    ids = list(grid.trajectory_ids(identity))
    found: list[tuple[str, Place]] = []
    for index, budget in grid.cell_positions():
        name = cell_id(ids[index], budget)
        if name.startswith(beginning.lower()):
            found.append((name, (index, budget)))
            if len(found) > 1:
                raise InputError(
                    f"{beginning!r} begins more than one cell's id ({found[0][0]}, {name}); write more"
                )
    if not found:
        raise InputError(
            f"no cell's id begins with {beginning!r}; `cells.csv` of the report lists them;"
            " or write best, '#3', or parameters as in a=1,b=2"
        )
    return found[0][1]
