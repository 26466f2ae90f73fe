"""What matters: how much of the metric's variance each axis, and each interplay of axes, explains."""

from math import prod
from typing import Any

from gridrun.report.csv import rows_of_effects
from gridrun.report.page.rendering import Panel
from gridrun.report.page.source import Source, known
from gridrun.terminal import visible

SHOWN = 12
TIMES = " \N{MULTIPLICATION SIGN} "


def _rows(source: Source) -> list[dict[str, Any]]:
    return [
        {
            "term": visible(term.replace(":", TIMES)),
            "order": order,
            "share": share,
            "share_rank": known(ranked),
        }
        for term, order, share, ranked in rows_of_effects(source.result)
    ]


def _fill(source: Source) -> dict[str, Any]:
    found = source.result.effects
    rows, note = _rows(source), ""
    if found is not None:
        runs = prod(map(len, found.kept)) * len(found.kept_runs)
        if runs < source.result.runs.size:
            note = (
                f"Approximate: of {runs:,} of {source.result.runs.size:,} runs, the largest complete part"
                " of the grid; the others are not completed, diverged or left out."
            )
    return {"rows": rows, "note": note, "metric_name": source.result.spec.metric, "shown": SHOWN}


def _data(source: Source) -> list[dict[str, Any]]:
    return _rows(source)[:SHOWN]


PANEL = Panel("matters", "What matters", _fill, _data)
