"""CSV: the report's tables of cells, combinations, epochs and timings, without its pictures."""

from pathlib import Path

from gridrun.report.csv import write_best, write_cells, write_history, write_timings
from gridrun.results.aggregate import Aggregate
from gridrun.results.costs import gather_costs
from gridrun.store import Store
from gridrun.terminal import many


def write(result: Aggregate, store: Store, folder: Path) -> str:
    """Write cells.csv, best.csv, history.csv and timings.csv; the first three are the report's bytes."""
    write_cells(result, folder / "cells.csv")
    write_best(result, folder / "best.csv")
    write_history(result, store, folder / "history.csv")
    write_timings(*gather_costs(result, store), folder / "timings.csv")
    return many(len(result.cells), "cell")
