"""What each axis does: of each value the best over all else and the median."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gridrun.grid import Axis
from gridrun.report.views.pairs import codes_of
from gridrun.report.views.scales import drawable
from gridrun.results.aggregate import Aggregate
from gridrun.results.answer import Answer
from gridrun.results.edges import Edge
from gridrun.results.layout import Floats
from gridrun.results.ranking import mean_where, std_where
from gridrun.selection import merits


@dataclass(frozen=True)
class Line:
    """An axis: by the places of its values the best, its deviation over replicates, the median, the count.

    NaN where there is none. row: which choice is the best there, in the order of layout.pairs; -1 for none.
    top: where the best of all is, -1 if it has not got the axis; `edge` if that is an end worth widening.
    """

    axis: Axis
    best: list[float]
    std: list[float]
    median: list[float]
    count: list[int]
    row: list[int]
    top: int
    edge: Edge | None


def lines_of(result: Aggregate, answer: Answer | None) -> Iterator[Line]:
    """Yield a line for each axis, the budget axis and zips too."""
    pairs = result.layout.pairs
    mean = drawable(result.by_budget[*pairs.T])
    merit, std = merits(mean, result.spec.mode), deviations(result.by_run[*pairs.T])
    edges = {edge.axis: edge for edge in (answer.edges if answer else ())}
    winner = int(merit.argmax()) if np.isfinite(merit).any() else -1
    for axis in result.layout.every:
        codes, found = codes_of(result, axis), Line(axis, [], [], [], [], [], -1, edges.get(axis.name))
        for place in range(len(axis.values)):
            rows = np.flatnonzero((codes == place) & np.isfinite(mean))
            best = int(rows[merit[rows].argmax()]) if len(rows) else -1
            found.row.append(best)
            found.count.append(len(rows))
            found.best.append(float(mean[best]) if best >= 0 else np.nan)
            found.std.append(float(std[best]) if best >= 0 else np.nan)
            found.median.append(float(np.median(mean[rows])) if len(rows) else np.nan)
        top = int(codes[winner]) if winner >= 0 else -1
        yield Line(axis, found.best, found.std, found.median, found.count, found.row, top, found.edge)


def deviations(runs: Floats) -> Floats:
    """The standard deviation of each row (n - 1); NaN of fewer than two runs."""
    runs, there = drawable(runs), np.isfinite(runs)
    return std_where(runs, there, mean_where(runs, there))
