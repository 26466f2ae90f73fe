"""Budget: the metric by epoch, how far small budgets rank as the largest, the metric against seconds, and
the best of so many combinations drawn at random."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from gridrun.report.captions import join
from gridrun.report.page.rendering import Panel
from gridrun.report.page.source import Source, known
from gridrun.report.pictures.curves import label
from gridrun.report.sentences import duration
from gridrun.report.views.histories import gather_histories
from gridrun.report.views.ranges import range_of
from gridrun.terminal import visible

MOST_DOTS = 1500
MOST_FRONT = 50
ENOUGH = 0.95


def _fill(source: Source) -> dict[str, Any]:
    result, front = source.result, source.costs.front.tolist()
    return {
        "agreements": source.answer.budgets if source.answer else (),
        "budget": result.spec.grid.budget,
        "curves": [label(curve) for curve in result.curves],
        "front": [
            (source.costs.seconds[tuple(at)], float(result.by_budget[tuple(at)]), _words(source, *at))
            for at in front[:MOST_FRONT]
        ],
        "metric_name": result.spec.metric,
        "search": source.answer.curve if source.answer and len(source.answer.curve) > 2 else (),
        "enough": _enough(source.answer.curve) if source.answer else None,
        "clipped": range_of(source.mean, result.spec.mode).note,
        "duration": duration,
        "replicates": bool(result.spec.grid.replicates),
    }


def _enough(curve: Sequence[tuple[int, float]]) -> int | None:
    """How many combinations are expected to make ENOUGH of the way from one to all; None if all are alike."""
    halves = np.array([best for _, best in curve]) / 2  # the difference of two extreme ones is no number
    way = np.abs(halves - halves[:1])
    if len(way) < 2 or not np.isfinite(way).all() or way[-1] == 0:
        return None
    return int(curve[int(np.argmax(way >= ENOUGH * way[-1]))][0])


def _words(source: Source, combination: int, budget: int) -> str:
    params = source.result.layout.params_of(combination, budget)
    axes = {axis.name for axis in source.result.spec.grid.axes}
    return join({name: value for name, value in params.items() if name in axes})


def _data(source: Source) -> dict[str, Any]:
    result = source.result
    row = {tuple(pair): i for i, pair in enumerate(source.pairs[:200_000].tolist())}
    front = [row[tuple(pair)] for pair in source.costs.front.tolist()[:MOST_FRONT] if tuple(pair) in row]
    return {
        "histories": gather_histories(result, source.store),
        "metrics": [visible(name) for name in result.recorded],
        "front": front,
        "most": MOST_DOTS,
        "agreements": [
            [a.budget, known(a.correlation)] for a in (source.answer.budgets if source.answer else ())
        ],
        "search": [[n, known(best)] for n, best in (source.answer.curve if source.answer else ())],
        "longest": int(np.max(result.cells[result.names.epoch])) if len(result.cells) else 0,
    }


PANEL = Panel("budget", "Budget", _fill, _data)
