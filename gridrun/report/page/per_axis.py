"""Per axis: the metric against the values of each axis, all on one scale."""

from typing import Any

import numpy as np

from gridrun.report.captions import show
from gridrun.report.page.source import Panel, Source, deviations, known
from gridrun.report.views.ranges import range_of
from gridrun.report.views.scales import drawable
from gridrun.selection import merits
from gridrun.terminal import visible

MOST_DOTS = 1500  # of one axis: more are no picture, and slow


def _lines(source: Source) -> list[dict[str, Any]]:
    """For each axis and value: median, best over all else and its spread over replicates."""
    result, mean = source.result, drawable(source.mean)
    signed = merits(mean, result.spec.mode)
    std = deviations(result.by_run[*source.pairs.T])
    edges = {edge.axis: edge for edge in (source.answer.edges if source.answer else ())}
    lines = []
    for axis in result.layout.every:
        codes = source.codes_of(axis.name)
        points = []
        for place, value in enumerate(axis.values):
            rows = np.flatnonzero((codes == place) & np.isfinite(mean))
            best = int(rows[signed[rows].argmax()]) if len(rows) else -1
            points.append(
                {
                    "value": show(value),
                    "count": len(rows),
                    "median": known(float(np.median(mean[rows]))) if len(rows) else None,
                    "best": known(float(mean[best])) if best >= 0 else None,
                    "row": best,
                    "std": known(float(std[best])) if best >= 0 else None,
                }
            )
        edge = edges.get(axis.name)
        lines.append(
            {
                "axis": visible(axis.name),
                "points": points,
                "edge": None if edge is None else [show(edge.value), edge.end, show(edge.try_)],
            }
        )
    return lines


def _fill(source: Source) -> dict[str, Any]:
    return {
        "lines": _lines(source),
        "thinned": len(source.mean) > MOST_DOTS,
        "most": MOST_DOTS,
        "clipped": range_of(source.mean, source.result.spec.mode).note,
        "ranked": source.answer is not None,
        "replicates": bool(source.result.spec.grid.replicates),
    }


def _data(source: Source) -> dict[str, Any]:
    found = range_of(source.mean, source.result.spec.mode)
    return {"lines": _lines(source), "range": [found.low, found.high], "most": MOST_DOTS}


PANEL = Panel("per_axis", "Per axis", _fill, _data)
