"""Per axis: the metric against the values of each axis, all on one scale."""

from typing import Any

from gridrun.report.captions import show
from gridrun.report.page.rendering import Panel
from gridrun.report.page.source import Source, known
from gridrun.report.views.lines import lines_of
from gridrun.report.views.ranges import range_of
from gridrun.terminal import visible

MOST_DOTS = 1500  # of one axis: more are no picture, and slow


def _lines(source: Source) -> list[dict[str, Any]]:
    """As the script and the tables take them."""
    return [
        {
            "axis": visible(line.axis.name),
            "points": [
                {
                    "value": show(value),
                    "count": line.count[i],
                    "median": known(line.median[i]),
                    "best": known(line.best[i]),
                    "row": line.row[i],
                    "std": known(line.std[i]),
                }
                for i, value in enumerate(line.axis.values)
            ],
            "edge": line.edge and [show(line.edge.value), line.edge.end, show(line.edge.try_)],
        }
        for line in lines_of(source.result, source.answer)
    ]


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
    return {"lines": _lines(source), "most": MOST_DOTS}


PANEL = Panel("per_axis", "Per axis", _fill, _data)
