"""Results as lines for a terminal: failures by kind, one cell, a list of cells."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from gridrun.cell import Cell, Params
from gridrun.command import how_to_show, write_command
from gridrun.directory import files_of, find_holder
from gridrun.following import read_log
from gridrun.outcome import COMPLETED, FAILED, Failure, History, Metrics, Output, Progress
from gridrun.results.failures import Kind, describe_failure, failed_cell
from gridrun.results.plot import plot
from gridrun.spec import Spec
from gridrun.spelling import spell
from gridrun.store import Store
from gridrun.terminal import many, visible

SHOWN_KINDS = 10
# Of a value and of a reason in a line that tells several: a prompt or a message may be pages long.
MOST_VALUE, MOST_REASON = 60, 200


def tell_params(params: Params, names: Iterable[str]) -> str:
    """The parameters called so, as far as there are any, on one line."""
    return ", ".join(
        f"{visible(name)} {_clip(spell(params[name]), MOST_VALUE)}" for name in names if name in params
    )


def tell_failure(failure: Failure) -> str:
    """Why, and where it was raised, on one line."""
    return _clip(visible(describe_failure(failure)), MOST_REASON)


def tell_kinds(kinds: Sequence[Kind], directory: Path) -> list[str]:
    """Cells that failed: how many, and of each kind how many, why, and the command that shows one."""
    count = sum(kind.count for kind in kinds)
    alike = "all alike" if len(kinds) == 1 and count > 1 else f"of {len(kinds)} kinds"
    lines = [f"{count:,} cells failed, {alike}:" if count > 1 else "1 cell failed:"]
    for kind in kinds[:SHOWN_KINDS]:
        lines.append(f"  {kind.count:,} x {_clip(visible(kind.reason), MOST_REASON)}")
        lines.append(f"    {visible(how_to_show(kind.cell, directory))}")
    if len(kinds) > SHOWN_KINDS:
        lines.append(f"  and {len(kinds) - SHOWN_KINDS} more kinds: {write_command('show', '--failed')}")
    return lines


def tell_cell(store: Store, spec: Spec, cell: Cell) -> list[str]:
    """One cell: its parameters, metrics by epoch, what it printed, its traceback, when and on what it ran."""
    history, failure = store.history_of(cell.trajectory), store.failure_of(cell.trajectory)
    run = store.run_of(cell.trajectory)
    progress = Progress(len(history.metrics), failure is not None, history.ended)
    lines = [
        f"cell {cell.id}: {_state(spec, cell, progress, history)}",
        *(f"  {visible(name)} = {spell(value)}" for name, value in cell.params.items()),
    ]
    if history.metrics:
        metrics = history.metrics[: cell.budget]
        lines += ["", *_table(metrics)]
        curve = plot(visible(spec.metric), [each.get(spec.metric, math.nan) for each in metrics])
        lines += ["", *curve] if curve else []
    if (log := read_log(store.directory, cell.trajectory)) is not None:
        running = find_holder(store.directory) is not None
        lines += ["", *_tell_output(log, "output so far" if running else "output until it was interrupted")]
    elif (output := store.output_of(cell.trajectory)) is not None:
        lines += ["", *_tell_output(output, "output")]
    if failure is not None and progress.status(cell.budget) == FAILED:
        lines += ["", visible(failure.reason), *visible(failure.traceback.rstrip(), keep="\n").split("\n")]
    elif failure is not None and (other := failed_cell(spec.grid, cell.trajectory, progress)) is not None:
        longer = (
            f"its trajectory failed later, after {many(progress.epochs, 'epoch')}: {tell_failure(failure)}"
        )
        lines += ["", longer, f"  {visible(how_to_show(other, store.directory))}"]
    if (files := files_of(store.directory, cell.trajectory)) is not None:
        lines += ["", visible(f"files: {files}")]
    if run:
        lines += ["", visible(", ".join(f"{name} {value}" for name, value in run.items()))]
    return lines


def _tell_output(output: Output, heading: str) -> list[str]:
    text = visible(output.text.rstrip("\n").expandtabs(), keep="\n")
    return [f"{heading} ({many(output.size, 'byte')}):", *text.split("\n")]


def list_cells(
    store: Store, spec: Spec, found: Iterable[tuple[int, int | None]], top: int, *, failed: bool
) -> list[str]:
    """Cells, one a line: id, status, the parameters that vary, and the metric or why it failed.

    `found` names them by trajectory and budget. `failed` leaves out what has not failed.
    """
    grid, identity = spec.grid, store.identity()
    if failed:
        found = _failed(store, list(grid.trajectory_ids(identity)), found)
    rest = iter(found)
    names = [axis.name for axis in grid.all_axes if len(axis.values) > 1]
    lines = []
    for index, budget in islice(rest, top):
        cell = grid.cell(index, grid.trajectory_id(identity, index), budget)
        status, said = _outcome(store, spec, cell)
        shown = [cell.id, *([] if failed else [f"{status:<9}"]), tell_params(cell.params, names)]
        lines.append("  ".join(shown) + (f": {said}" if said else ""))
    if more := sum(1 for _ in rest):
        lines.append(f"and {more:,} more; --top {len(lines) + more} shows all")
    return lines


def _failed(
    store: Store, ids: Sequence[str], found: Iterable[tuple[int, int | None]]
) -> Iterable[tuple[int, int | None]]:
    known: Mapping[str, Progress] = store.progress()
    for index, budget in found:
        progress = known.get(ids[index])
        if progress is not None and progress.status(budget) == FAILED:
            yield index, budget


def tell_epoch(epoch: int, metrics: Metrics, seconds: float) -> str:
    """One epoch's metrics, and the seconds from the start to its end, on one line."""
    values = (f"{visible(name)} {value:.6g}" for name, value in metrics.items())
    return f"epoch {epoch}: {', '.join(values) or 'no metrics'} ({seconds:.3g} s)"


def _outcome(store: Store, spec: Spec, cell: Cell) -> tuple[str, str]:
    """A cell's status, and its metric or why it failed."""
    (history, ended), failure = store.history_of(cell.trajectory), store.failure_of(cell.trajectory)
    status = Progress(len(history), failure is not None, ended).status(cell.budget)
    at = spec.rule.epoch_of(history, cell.budget, ended)
    if status == COMPLETED and at is not None:
        metric = history[at].get(spec.metric)
        return status, f"{visible(spec.metric)} {'absent' if metric is None else f'{metric:.6g}'}"
    return status, tell_failure(failure) if status == FAILED and failure is not None else ""


def _state(spec: Spec, cell: Cell, progress: Progress, history: History) -> str:
    status, budget = progress.status(cell.budget), cell.budget
    if status == FAILED and progress.epochs and budget is not None:
        return f"{status} after {progress.epochs} of {budget} epochs"
    if status == COMPLETED and budget is not None and progress.epochs < budget:
        status += f", stopped early after {progress.epochs} of {budget} epochs"
    at = spec.rule.epoch_of(history.metrics, budget, history.ended)
    if at is not None and at + 1 != min(budget or progress.epochs, progress.epochs):
        status += f"; its best epoch, {at + 1}, speaks for it"
    return status


def _table(history: Sequence[Metrics]) -> list[str]:
    """Metrics by epoch, each under its name; blank where an epoch has not got it."""
    names = list(dict.fromkeys(name for metrics in history for name in metrics))
    titles = [f"{visible(name):>13}" for name in names]
    lines = ["epoch  " + "  ".join(titles)]
    for epoch, metrics in enumerate(history, start=1):
        values = (f"{metrics[name]:.6g}" if name in metrics else "" for name in names)
        row = (f"{value:>{len(heading)}}" for value, heading in zip(values, titles, strict=True))
        lines.append(f"{epoch:>5}  " + "  ".join(row).rstrip())
    return lines


def _clip(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
