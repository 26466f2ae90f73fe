"""Failures by kind: so that ten thousand cells that failed alike are told in one line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gridrun.cell import Identity
from gridrun.grid import Grid, cell_id
from gridrun.outcome import FAILED, NOTHING, Failure, Progress
from gridrun.store import Store

# Past so many all others count as one: code that is generated has a file's name a cell.
MOST_KINDS = 100
OTHERS = "of other kinds"

# Where we raise for what a trainer gave: no place that its author would look at.
OURS = ("gridrun/worker.py", "gridrun/metrics.py")

_FRAME = re.compile(r'  File "([^"\n]+)", line (\d+), in ')


@dataclass(frozen=True)
class Kind:
    """Cells that failed alike: how many, and as an example the first in grid order, and why it failed."""

    count: int
    reason: str
    cell: str


def place_of(failure: Failure) -> str:
    """Where the trainer raised it, `train.py:12`: the innermost frame of the traceback; "" if nowhere."""
    found = _innermost(failure.traceback)
    if found is None or found[1].endswith(OURS):
        return ""
    return f"{Path(found[1]).name}:{found[2]}"


def describe_failure(failure: Failure) -> str:
    """The reason, and where it was raised."""
    place = place_of(failure)
    return f"{failure.reason} ({place})" if place else failure.reason


def kind_of(failure: Failure) -> str:
    """What failures of one cause have in common.

    That is the type of the exception and where it was raised: its message may name the parameters.
    Without a traceback (a timeout, a death) it is the reason with its numbers masked.
    """
    found = _innermost(failure.traceback)
    if found is None:
        return re.sub(r"\d+(\.\d+)?", "#", failure.reason)
    return f"{failure.reason.partition(':')[0]} {found[1]}:{found[2]}"


def _innermost(traceback: str) -> re.Match[str] | None:
    # The stack of a timeout lists its frames the other way round, without the comma: no match.
    start = traceback.rfind('  File "')
    while start >= 0:
        if (found := _FRAME.match(traceback, start)) is not None:
            return found
        start = traceback.rfind('  File "', 0, start)
    return None


def failed_cell(grid: Grid, trajectory: str, progress: Progress) -> str | None:
    """The id of the first cell, in grid order, that a trajectory failed; None if it failed none."""
    for budget in grid.budgets or (None,):
        if progress.status(budget) == FAILED:
            return cell_id(trajectory, budget)
    return None


def group_failures(store: Store, grid: Grid, identity: Identity, known: Mapping[str, Progress]) -> list[Kind]:
    """The kinds of failure of a grid's cells, the most frequent first. `known` is the store's progress."""
    numbers: dict[str, int] = {}
    # By trajectory a small number: a million tracebacks would be gigabytes.
    kinds: dict[str, int] = {}
    for name, failure in store.failures():
        kind = kind_of(failure)
        if kind not in numbers and len(numbers) >= MOST_KINDS:
            kind = OTHERS
        kinds[name] = numbers.setdefault(kind, len(numbers))
    counts, first = [0] * len(numbers), [""] * len(numbers)
    cells = [""] * len(numbers)
    for name in grid.trajectory_ids(identity) if kinds else ():
        number = kinds.get(name)
        if number is None:
            continue
        progress = known.get(name, NOTHING)
        counts[number] += sum(progress.status(budget) == FAILED for budget in grid.budgets or (None,))
        if not first[number] and (cell := failed_cell(grid, name, progress)) is not None:
            first[number], cells[number] = name, cell
    found = []
    for count, name, cell in zip(counts, first, cells, strict=True):
        example = store.failure_of(name) if count else None
        if example is not None:
            found.append(Kind(count, describe_failure(example), cell))
    return sorted(found, key=lambda kind: -kind.count)
