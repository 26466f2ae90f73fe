"""The report on a sweep: CSVs, pictures and a page, written whole or not at all."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from gridrun.directory import REPORT, find_holder
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
from gridrun.report.page import write_page
from gridrun.report.page.source import Source
from gridrun.report.pictures import Wanted, draw_pictures
from gridrun.report.pictures.figures import FORMATS
from gridrun.report.replacing import remove, replacing, require_directory
from gridrun.report.summary import write_summary
from gridrun.report.tables import write_tables
from gridrun.results.aggregate import Aggregate, aggregate
from gridrun.results.answer import Answer, find_answer
from gridrun.results.costs import Costs, gather_costs
from gridrun.store import Store
from gridrun.terminal import visible

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
    *("summary.json", "report.html", "table.md", "table.tex"),
    *(
        f"{name}.{ending}"
        for name in ("table", "curves", "surface-*", "effects", "isolation", "pairs-*")
        for ending in FORMATS
    ),
)

WATCH_S = 5  # between two pages of a sweep that runs


def write_report(directory: Path) -> Aggregate:
    """Write `directory`/report/ as `write_and_answer` does, and return what it is made from."""
    return write_and_answer(directory)[0]


def write_and_answer(directory: Path, wanted: Wanted | None = None) -> tuple[Aggregate, Answer | None, Costs]:
    """Write `directory`/report/, replacing an older one; return what it is made from, what it says and took.

    While no combination can be ranked there are no pictures; the page says why. `wanted` is what is asked of
    pictures, and changes no table.

    Raises: InputError if there is no store; EnvironmentFault if the disk refuses. In both cases
    nothing has changed.
    """
    with Store.read(directory) as store:
        result = aggregate(store)
        with _faults(directory), replacing(directory / REPORT, _check_target) as fresh:
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
            if len(result.best):
                write_tables(result, fresh)
                _draw(result, answer, store, fresh, wanted)
            write_page(Source(result, answer, costs, stamps, store), fresh / "report.html")
            store.check_still()
    return result, answer, costs


def _draw(
    result: Aggregate, answer: Answer | None, store: Store, directory: Path, wanted: Wanted | None
) -> None:
    wanted = wanted or Wanted()
    if wanted.metric not in (None, result.spec.metric):
        result = aggregate(store, wanted.metric)
        if not len(result.best):
            found = ", ".join(map(visible, result.present)) or "none"
            raise InputError(
                f"--metric: no completed cell has {wanted.metric!r}, found {found}; write one of these"
            )
        answer = find_answer(result)
    draw_pictures(result, answer, store, directory, wanted)


def write_live_page(directory: Path, refresh_s: int) -> Path:
    """Write only the page of a sweep that runs, in place of an older one; it loads itself again so often.

    Raises: InputError if there is no store; EnvironmentFault if the disk refuses.
    """
    target = directory / REPORT
    with Store.read(directory) as store, _faults(directory):
        result = aggregate(store)
        source = Source(result, find_answer(result), *gather_costs(result, store), store)
        _check_target(target)
        target.mkdir(exist_ok=True)
        fresh = target.with_name(f"{target.name}.tmp-{os.getpid()}")
        try:
            write_page(source, fresh, refresh_s)
            fresh.replace(target / "report.html")
        finally:
            remove(fresh)
    return target / "report.html"


def follow_sweep(directory: Path, say: Callable[[str], None]) -> None:
    """Write the page again and again for as long as a sweep runs there.

    A page on many cells takes longer: a fifth of the time, at most, is spent on it.
    """
    told = False
    while find_holder(directory) is not None:
        began = time.monotonic()
        page = write_live_page(directory, WATCH_S)
        if not told:
            say(f"{page} follows the sweep: open it")
            told = True
        time.sleep(max(WATCH_S, 4 * (time.monotonic() - began)))


def _check_target(target: Path) -> None:
    """Raise InputError unless all that would be replaced was written by a report."""
    if not require_directory(target, "report"):
        return
    strangers = sorted(
        entry.name
        for entry in target.iterdir()
        if entry.is_dir() or not any(fnmatchcase(entry.name, pattern) for pattern in OURS)
    )
    if strangers:
        raise InputError(f"{target}: holds {strangers[0]!r}, which no report has written; move it away")


@contextlib.contextmanager
def _faults(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or directory / REPORT
        raise EnvironmentFault(
            f"{where}: cannot be written: {error.strerror or error}; the report is as it was"
        ) from None
