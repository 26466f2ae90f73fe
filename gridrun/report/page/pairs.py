"""Pairs: the metric over two axes as a heat map, for any two; the strongest interplay first."""

from typing import Any

from gridrun.report.page.rendering import Panel
from gridrun.report.page.source import Source
from gridrun.report.views.pairs import rank_pairs
from gridrun.report.views.ranges import range_of
from gridrun.terminal import visible


def _fill(source: Source) -> dict[str, Any]:
    found = rank_pairs(source.result)
    return {
        "pairs": found,
        "clipped": range_of(source.mean, source.result.spec.mode).note,
        "metric_name": source.result.spec.metric,
        "ranked": source.answer is not None,
        "tied": bool(source.answer and source.answer.ties and source.answer.ties.count),
    }


def _data(source: Source) -> dict[str, Any]:
    return {"first": [[visible(one), visible(other)] for one, other, _ in rank_pairs(source.result)]}


PANEL = Panel("pairs", "Pairs", _fill, _data)
