"""The report on a sweep: CSVs, pictures and a page, written whole or not at all."""

import contextlib
import os
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
from gridrun.report.page import write_page
from gridrun.report.page.source import Source
from gridrun.report.pictures.curves import draw_curves
from gridrun.report.pictures.effects import draw_effects
from gridrun.report.pictures.figures import by_defaults
from gridrun.report.pictures.isolation import draw_isolation
from gridrun.report.pictures.pairs import draw_pairs
from gridrun.report.pictures.surfaces import draw_surfaces
from gridrun.report.pictures.table import draw_table
from gridrun.report.replacing import remove, replacing, require_directory
from gridrun.report.summary import write_summary
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
    *("effects.png", "isolation.png", "pairs-*.png"),
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
                with by_defaults():
                    draw_table(result, fresh / "table.png")
                    draw_surfaces(result, fresh)
                    draw_curves(result, fresh / "curves.png")
                    draw_pairs(result, answer, fresh)
                    draw_effects(result, fresh / "effects.png")
                    draw_isolation(result, answer, fresh / "isolation.png")
            write_page(Source(result, answer, costs, stamps, store), fresh / "report.html")
    return result, answer, costs


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
