"""What a shell completes: sweep directories and cells. A press of the tab key must raise nothing."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from gridrun.directory import FILE, newest_directory

# So many cells at most: a shell that lists thousands helps nobody.
MOST_CELLS = 50


def complete_sweep(incomplete: str) -> list[str]:
    """Sweep directories that begin so; under results/ where nothing was typed."""
    pattern = f"{incomplete}*" if incomplete else "results/*"
    with suppress(OSError, ValueError):
        found = sorted(Path().glob(pattern)) if not incomplete.startswith("/") else _absolute(incomplete)
        sweeps = [path for path in found if (path / FILE).is_file()]
        # A folder of sweeps, as results/ is one, leads to them.
        inner = [path for folder in found for path in sorted(folder.glob("*")) if (path / FILE).is_file()]
        return [str(path) for path in sweeps or inner]
    return []


def _absolute(incomplete: str) -> list[Path]:
    typed = Path(incomplete)
    folder, beginning = (typed, "") if incomplete.endswith("/") else (typed.parent, typed.name)
    return sorted(path for path in folder.iterdir() if path.name.startswith(beginning))


def complete_cell(incomplete: str) -> list[tuple[str, str]]:
    """Cells of the newest sweep whose ids begin so, each with its parameters, and the best."""
    with suppress(Exception):  # a store that is locked, damaged or none: nothing is completed
        best = [("best", "the best cell")] if "best".startswith(incomplete) else []
        return [*best, *islice(_cells(incomplete), MOST_CELLS)]
    return []


def _cells(beginning: str) -> Iterator[tuple[str, str]]:
    from gridrun.grid import cell_id
    from gridrun.results.lines import tell_params
    from gridrun.spec import Spec
    from gridrun.store import Store

    with Store.read(newest_directory()) as store:
        grid = Spec.parse(store.grid_text(), FILE).grid
        ids = list(grid.trajectory_ids(store.identity()))
        names = [axis.name for axis in grid.all_axes if len(axis.values) > 1]
        for index, budget in grid.cell_positions():
            name = cell_id(ids[index], budget)
            if name.startswith(beginning):
                yield name, tell_params(grid.cell(index, ids[index], budget).params, names)
