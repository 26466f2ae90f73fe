"""The report on a sweep: CSVs, pictures and a page, written whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from gridrun.directory import REPORT
from gridrun.errors import EnvironmentFault, InputError
from gridrun.report.csv import (
    write_best,
    write_cells,
    write_effects,
    write_history,
    write_isolation,
    write_sensitivity,
    write_timings,
)
from gridrun.report.curves import draw_curves
from gridrun.report.html import write_page
from gridrun.report.summary import write_summary
from gridrun.report.surfaces import draw_surfaces
from gridrun.report.tables import draw_table
from gridrun.results.aggregate import Aggregate, aggregate
from gridrun.results.answer import Answer, find_answer
from gridrun.results.costs import Costs, gather_costs
from gridrun.store import Store

# What a report has written, this one or one of an older version.
OURS = (
    *(
        "cells.csv",
        "best.csv",
        "history.csv",
        "timings.csv",
        "effects.csv",
        "isolation.csv",
        "sensitivity.csv",
    ),
    *("summary.json", "report.html", "table.png", "curves.png", "surface-*.png"),
)


def write_report(directory: Path) -> Aggregate:
    """Write `directory`/report/ as `write_and_answer` does, and return what it is made from."""
    return write_and_answer(directory)[0]


def write_and_answer(directory: Path) -> tuple[Aggregate, Answer | None, Costs]:
    """Write `directory`/report/, replacing an older one; return what it is made from, what it says and took.

    While no combination can be ranked there are no pictures; the page says why.

    Raises: InputError if there is no store; EnvironmentFault if the disk refuses. In both cases
    nothing has changed.
    """
    with Store.read(directory) as store:
        result = aggregate(store)
        with _faults(directory), _replacing(directory / REPORT) as fresh:
            write_cells(result, fresh / "cells.csv")
            write_best(result, fresh / "best.csv")
            write_history(result, store, fresh / "history.csv")
            answer = find_answer(result)
            write_summary(result, answer, fresh / "summary.json")
            write_effects(result, fresh / "effects.csv")
            write_isolation(result, fresh / "isolation.csv")
            write_sensitivity(answer, fresh / "sensitivity.csv")
            costs, stamps = gather_costs(result, store)
            write_timings(costs, stamps, fresh / "timings.csv")
            del stamps
            if len(result.best):
                draw_table(result, fresh / "table.png")
                draw_surfaces(result, fresh)
                draw_curves(result, fresh / "curves.png")
            write_page(result, fresh / "report.html")
    return result, answer, costs


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Fill a directory beside the target, then put it in the target's place by renaming."""
    _check_target(target)
    _clear_leftovers(target)
    fresh = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    old = target.with_name(f"{target.name}.old-{os.getpid()}")
    try:
        fresh.mkdir()
        yield fresh
        had_one = os.path.lexists(target)
        if had_one:
            target.rename(old)
        try:
            fresh.rename(target)
        except BaseException:
            if had_one:
                old.rename(target)
            raise
    finally:
        _remove(fresh)
        _remove(old)


def _check_target(target: Path) -> None:
    """Raise InputError unless all that would be replaced was written by a report."""
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir():
        kind = "a symbolic link" if target.is_symlink() else "a file"
        raise InputError(f"{target}: is {kind}, and no report of ours; move it away")
    strangers = sorted(
        entry.name
        for entry in target.iterdir()
        if entry.is_dir() or not any(fnmatchcase(entry.name, pattern) for pattern in OURS)
    )
    if strangers:
        raise InputError(f"{target}: holds {strangers[0]!r}, which no report has written; move it away")


def _clear_leftovers(target: Path) -> None:
    """Remove what a killed report left; what a living process is at work on stays."""
    for path in sorted(target.parent.glob(f"{target.name}.*-*")):
        kind, _, process = path.name.removeprefix(f"{target.name}.").partition("-")
        if kind not in ("tmp", "old") or not process.isdigit() or _lives(int(process)):
            continue
        if kind == "old" and not os.path.lexists(target):
            path.rename(target)  # killed between the two renames: the old report is the report
        else:
            _remove(path)


def _lives(process: int) -> bool:
    if process == os.getpid():
        return False  # what bears our own number was left by an earlier holder of it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _faults(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or directory / REPORT
        raise EnvironmentFault(
            f"{where}: cannot be written: {error.strerror or error}; the report is as it was"
        ) from None
