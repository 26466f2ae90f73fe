"""What the workers of a running sweep do now: rows for the live screen and for `status`."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from gridrun.directory import Holder, read_board
from gridrun.duration import tell_seconds
from gridrun.grid import Grid, cell_id
from gridrun.outcome import Working
from gridrun.results.lines import tell_params
from gridrun.store import Store
from gridrun.terminal import visible

# So much of a cell's id as a row shows: `gridrun show` takes it.
SHORT_ID = 8
# Of a cluster's thousand workers so many are published.
MOST_PUBLISHED = 100


class Row(NamedTuple):
    """A worker's trajectory, named by the cell that it runs to: how long it has run, in which epoch it is.

    `more` short ones travel with it. `epoch` and `epochs` are None without a budget axis.
    """

    cell: str
    params: str
    seconds: float
    epoch: int | None
    epochs: int | None
    more: int


class Now(NamedTuple):
    """What a running sweep said last: how long it runs, the least and the most that is left, its workers."""

    elapsed_s: float
    left_s: tuple[float, float] | None
    workers: Sequence[Row]


def rows_of(grid: Grid, working: Iterable[Working], now: float) -> list[Row]:
    """What slots do at a monotonic clock's `now`, by their number."""
    names = [axis.name for axis in grid.trajectory_axes if len(axis.values) > 1]
    return [
        Row(
            cell_id(each.task.trajectory, each.task.epochs if grid.budget else None),
            tell_params(each.task.params, names),
            max(0.0, now - each.since),
            None if each.task.epochs is None else min(each.epochs + 1, each.task.epochs),
            each.task.epochs,
            each.more,
        )
        for each in sorted(working, key=lambda each: each.slot)
    ]


def tell_rows(rows: Sequence[Row], most: int, *, narrow: bool = False) -> list[str]:
    """A line each; where there are more than fit, those that run longest, and how many others."""
    gap, epoch = (" ", "") if narrow else ("  ", "epoch ")
    shown = list(rows)
    if len(shown) > most:
        longest = sorted(rows, key=lambda row: -row.seconds)[: max(0, most - 1)]
        shown = [row for row in rows if row in longest][: max(0, most - 1)]
    lines = []
    for row in shown:
        took = tell_seconds(row.seconds, row.seconds)
        words = [row.cell[:SHORT_ID], took if narrow else f"{took:>7}"]
        words += [f"{epoch}{row.epoch}/{row.epochs}"] if row.epoch is not None else []
        words += [f"with {row.more} more"] if row.more else []
        lines.append(gap.join([*words, row.params]).rstrip())
    if len(shown) < len(rows):
        lines.append(f"and {len(rows) - len(shown)} more workers")
    return lines


def read_now(store: Store, holder: Holder) -> Now | None:
    """What the sweep that holds the directory has said of late; None if nothing, or nothing that is ours."""
    found: Any = read_board(store.directory, holder)
    try:
        age = found["age_s"]
        left = found["left_s"]
        rows = [
            Row(visible(str(cell)), visible(str(params)), float(seconds) + age, *map(_number, numbers))
            for cell, params, seconds, *numbers in found["workers"]
        ]
        return Now(
            float(found["elapsed_s"]) + age,
            None if left is None else (float(left[0]), float(left[1])),
            rows,
        )
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _number(found: object) -> Any:
    return None if found is None else int(str(found))
