"""The report's CSVs. All but timings.csv are the same bytes however the sweep was run.

cells.csv: one row per cell, in grid order.
    cell        the cell's id, as `gridrun show` takes it
    <axis>      the cell's value on each axis and replicate axis, under the axis's own name; of a zip each
                member has its column. Empty where the cell has not got the parameter
    status      completed, failed or pending
    epoch       the epoch, from 1, whose metrics follow; empty unless completed
    <metric>    every metric, sorted by name; nan where training diverged, empty where there is none.
                A metric that is called like a parameter or a column of ours is `<name> (metric)`

best.csv: one row per combination that has the metric, best first, best over the budget axis.
    <Axis>      its values under titles made from the names: learning_rate is Learning Rate
    <Metric>    the mean over the completed replicates; nan where one diverged
    <Metric> Std, Seeds
                with replicates: the standard deviation (n - 1), empty for one, and how many were averaged
    <budget>    the value on the budget axis that it was reached at, under the axis's own name
    cell        the id of the first completed replicate's cell there: it joins to cells.csv
    failed      how many of its replicates failed, at whatever budget

history.csv: one row per epoch of every trajectory, in grid order, up to the largest budget.
    trajectory  its name
    <axis>      its value on each axis but the budget axis, and on each replicate axis
    epoch       from 1
    <metric>    as in cells.csv

timings.csv: one row per cell, in grid order; empty where nothing was completed.
    cell        the cell's id
    seconds     from the trajectory's beginning until the last epoch of the cell's budget was done
    finished_at when the whole trajectory was, UTC
    place       the machine and process that ran it
    session started
                when the run of `gridrun sweep` that it belongs to began, UTC
    front       yes where no other combination and budget is better in as little time: means over replicates

effects.csv: one row per effect, the largest share first; see gridrun/effects.py. Empty where nothing varies.
Of several [[grid]] it is about the one that the best is in. A zip is one axis.
    term        the names of its axes joined by ":", in grid order; "(noise)" is what replicates vary by, and
                "(rest)" the interplays that are not told one by one
    order       how many axes it has; empty for these two
    share       of the metric's variance over the cells; with replicates that of noise alone is taken off
    share_rank  the same on ranks

isolation.csv: one row per value of every axis, in grid order.
    axis        the axis's name; a zip is one, its values are lists of its members'
    value       as in cells.csv
    best        the best mean over replicates, over all values of all other axes; empty where there is none

sensitivity.csv: one row per value of every axis that the best has, in grid order: the metric where this axis
alone is changed, and all others, the budget axis too, stay as the best has them.
    axis, value as in isolation.csv
    metric      the mean over replicates; empty where there is none
    std, count  its standard deviation (n - 1), empty for one, and how many were averaged
    best        yes where the best is

Values are written as grid.toml has them: lists and tables as JSON, texts bare. On an axis that holds other
values too, or that some cells have not got, a text that reads as one of those ("1", "true", "") is JSON
with its quotes. Text that a spreadsheet would run as a formula gets an apostrophe.
"""

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO, TypeVar

import numpy as np
import numpy.typing as npt

from gridrun.cell import Value, encode_value
from gridrun.grid import Axis
from gridrun.report.captions import title, title_of_count
from gridrun.results.aggregate import Aggregate, column_of
from gridrun.results.answer import Answer
from gridrun.results.costs import Costs, Stamps
from gridrun.spelling import reads_otherwise
from gridrun.store import Store

# Rows turned into Python's objects at a time: a million of twelve columns would be 400 MB.
ROWS = 10_000

# Where a spreadsheet looks for a formula: at the beginning, and after what it may take for the end of a
# cell. An apostrophe goes before it, and before apostrophes there, so that no two texts become one.
# Of = + - @ there are full-width forms that some take for the same.
SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
BEGINNINGS = (*SIGNS, "\t", "\r", "\n")
AFTER_AN_END = re.compile(rf"""([;\t\r\n])(?=["']*[{re.escape(SIGNS)}])""")


def write_cells(result: Aggregate, path: Path) -> None:
    """Write every cell in grid order."""
    cells, names, layout = result.cells, result.names, result.layout
    texts = {axis.name: _texts_of(result, axis) for axis in result.spec.grid.all_axes}
    metrics = [name for name in cells.columns if name in result.present]

    def rows() -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(cells), ROWS):
            here = slice(start, start + ROWS)
            part = cells.iloc[here]
            epochs = part[names.epoch].tolist()
            yield from zip(
                part[names.cell].tolist(),
                *(texts[name][layout.codes_of_cells(name, here)].tolist() for name in texts),
                part[names.status].tolist(),
                [epoch or "" for epoch in epochs],
                *(_where(part[name].tolist(), result.present[name][here].tolist()) for name in metrics),
                strict=True,
            )

    _write(path, list(cells.columns), rows())


def write_best(result: Aggregate, path: Path) -> None:
    """Write the combinations, best first, under titles made from the names."""
    best, names, budget = result.best, result.names, result.budget
    titles = {axis.name: title(axis.name) for axis in result.axes}
    titles[names.metric] = title(names.metric)
    if result.spec.grid.replicates:
        titles[names.std] = title(names.std)
        titles[names.count] = title_of_count(result)
    codes: dict[str, npt.NDArray[Any]] = {
        axis.name: result.layout.codes[axis.name][result.order] for axis in result.axes
    }
    texts = {axis.name: _texts_of(result, axis) for axis in result.axes}
    if budget is not None:
        titles[budget.name] = budget.name
        codes[budget.name], texts[budget.name] = result.reached_at, _texts_of(result, budget)
    titles[names.cell], titles[names.failed] = names.cell, names.failed

    def columns(start: int) -> Iterator[list[Any]]:
        for name in titles:
            if name in texts:
                yield texts[name][codes[name][start : start + ROWS]].tolist()
            else:
                values = best[name].iloc[start : start + ROWS].tolist()
                # Of a single replicate there is no deviation.
                yield _where(values, [v == v for v in values]) if name == names.std else values

    rows = (row for start in range(0, len(best), ROWS) for row in zip(*columns(start), strict=True))
    _write(path, list(titles.values()), rows)


EFFECTS = ("term", "order", "share", "share_rank")


def write_effects(result: Aggregate, path: Path) -> None:
    """Write what each axis and each interplay explains, the largest first, noise and the rest last."""
    rows = (
        (defuse(term), order or "", share, "" if math.isnan(ranked) else ranked)
        for term, order, share, ranked in rows_of_effects(result)
    )
    _write(path, list(EFFECTS), rows)


def rows_of_effects(result: Aggregate) -> Iterator[tuple[str, int, float, float]]:
    """The rows of effects.csv; noise and the rest have order 0."""
    found = result.effects
    if found is None:
        return
    for effect in found.effects:
        term = ":".join(result.frame[place].name for place in effect.axes)
        yield term, len(effect.axes), effect.share, effect.share_rank
    if found.noise is not None and found.noise_rank is not None:
        yield "(noise)", 0, found.noise, found.noise_rank
    if found.order < found.varying:
        yield "(rest)", 0, found.rest, found.rest_rank


def write_isolation(result: Aggregate, path: Path) -> None:
    """Write the best over all else for every value of every axis."""
    rows = (
        (defuse(axis.name), text, "" if math.isnan(best) else best)
        for axis in result.layout.every
        for text, best in zip(texts_of(axis), result.isolation[axis.name].tolist(), strict=True)
    )
    _write(path, ["axis", "value", "best"], rows)


def write_sensitivity(answer: Answer | None, path: Path) -> None:
    """Write the metric along each axis through the best."""

    def rows() -> Iterator[tuple[Any, ...]]:
        for along in answer.slices if answer is not None else ():
            name, texts = defuse(along.axis.name), texts_of(along.axis)
            for place, (metric, std, count) in enumerate(along.points()):
                known = _where([metric, std], [not math.isnan(metric), not math.isnan(std)])
                yield name, texts[place], *known, count, "yes" if place == along.place else ""

    _write(path, ["axis", "value", "metric", "std", "count", "best"], rows())


def write_history(result: Aggregate, store: Store, path: Path) -> None:
    """Write every epoch of every trajectory, one trajectory after another in memory."""
    grid, names, metrics = result.spec.grid, result.names, result.recorded
    longest = max(grid.budgets, default=None)
    header = [names.trajectory, *(axis.name for axis in grid.trajectory_axes), names.epoch]

    def rows() -> Iterator[tuple[Any, ...]]:
        found = store.histories_of(result.trajectories)
        wanted = (
            (name, (name, *texts)) for name, texts in zip(result.trajectories, _rows(result), strict=True)
        )
        for head, history in _beside(wanted, found):
            for epoch, values in enumerate(history.metrics[:longest] if history else (), start=1):
                yield (*head, epoch, *[values.get(metric, "") for metric in metrics])

    _write(path, [*header, *map(names.of, metrics)], rows())


def _rows(result: Aggregate) -> Iterator[tuple[str, ...]]:
    """The texts of each trajectory's parameters."""
    axes = result.spec.grid.trajectory_axes
    texts = {axis.name: _texts_of(result, axis) for axis in axes}
    for start in range(0, len(result.trajectories), ROWS):
        numbers = np.arange(start, min(start + ROWS, len(result.trajectories)))
        columns = (texts[n][result.layout.codes_of_trajectories(n, numbers)].tolist() for n in texts)
        yield from zip(*columns, strict=True) if texts else ((),) * len(numbers)


def write_timings(costs: Costs, stamps: Stamps, path: Path) -> None:
    """Write what every cell took, when and where, and which are of the front."""
    result = costs.result
    grid, epochs = result.spec.grid, result.cells[result.names.epoch]
    budgets = grid.budgets or (None,)
    spelled, row_of = list(map(defuse, stamps.places)), {budget: row for row, budget in enumerate(budgets)}
    began = {number: defuse(moment) for number, moment in stamps.began.items()}
    on_front = np.zeros(costs.by_trajectory.shape, bool)
    for combination, budget in costs.front.tolist():
        row, runs = result.layout.runs_of(combination, budget)
        on_front[row, runs.start : runs.stop] = True

    def rows() -> Iterator[tuple[Any, ...]]:
        positions, start = grid.cell_positions(), 0
        while part := list(islice(positions, ROWS)):
            here = slice(start, start := start + len(part))
            at = np.array([number for number, _ in part])
            done = (epochs.iloc[here] > 0).tolist()
            row = [row_of[budget] for _, budget in part]
            took = costs.by_trajectory[row, at]
            moments = [defuse(moment.decode("utf-8", "replace")) for moment in stamps.finished[at].tolist()]
            yield from zip(
                result.cells[result.names.cell].iloc[here].tolist(),
                _where(took.tolist(), (done & ~np.isnan(took)).tolist()),
                _where(moments, done),
                _where([spelled[number] for number in stamps.place[at].tolist()], done),
                _where([began.get(number, "") for number in stamps.session[at].tolist()], done),
                _where(["yes"] * len(part), (done & on_front[row, at]).tolist()),
                strict=True,
            )

    _write(path, ["cell", "seconds", "finished_at", "place", "session started", "front"], rows())


def _texts_of(result: Aggregate, axis: Axis) -> npt.NDArray[Any]:
    """Texts of values as an array, whose last, the -1st, is empty: for what has not got the axis."""
    codes = result.layout.codes.get(axis.name)
    lacking = codes is not None and bool((codes < 0).any())
    return np.array([*texts_of(axis, lacking=lacking), ""], object)


def texts_of(axis: Axis, *, lacking: bool = False) -> list[str]:
    """Each value's text in a file, by its place on the axis: no two are alike, and none is a formula.

    By place, as Python takes [1, 0] for [true, false] wherever it looks something up by value.
    """
    mixed = lacking or not all(isinstance(value, str) for value in axis.values)
    return [text_of(value, mixed) for value in column_of(axis).tolist()]


def text_of(value: Value, mixed: bool) -> str:
    """A value's text in a file; `mixed`: beside values of other kinds, or none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    if not isinstance(value, str):
        return defuse(encode_value(value))
    return defuse(json.dumps(value, ensure_ascii=False) if mixed and reads_otherwise(value) else value)


def defuse(text: str) -> str:
    """Text with an apostrophe wherever a spreadsheet would begin to read a formula."""
    text = AFTER_AN_END.sub(r"\1'", text)
    return "'" + text if text.lstrip("'").startswith(BEGINNINGS) else text


def _where(values: list[Any], there: list[bool]) -> list[Any]:
    # csv writes a float with repr, which reads back to the same float.
    return [value if known else "" for value, known in zip(values, there, strict=True)]


T = TypeVar("T")
More = TypeVar("More")


def _beside(
    wanted: Iterable[tuple[str, More]], found: Iterator[tuple[str, T]]
) -> Iterator[tuple[More, T | None]]:
    """Put what was found beside what was wanted; both are in the same order, but some were not found."""
    here = next(found, None)
    for name, more in wanted:
        if here is not None and here[0] == name:
            yield more, here[1]
            here = next(found, None)
        else:
            yield more, None


def _write(path: Path, header: list[str], rows: Iterable[Sequence[Any]]) -> None:
    # A metric's name may hold half a character, which is no UTF-8.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        write_rows(file, header, rows)


def write_rows(file: TextIO, header: list[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table whose texts are defused already, but for the header's."""
    # With this end of line csv puts texts that hold either of its characters into quotes; it is cut off.
    writer = csv.writer(SimpleNamespace(write=lambda line: file.write(line[:-2] + "\n")))
    writer.writerow(map(defuse, header))
    writer.writerows(rows)
