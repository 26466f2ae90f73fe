"""summary.json: what a report says first, for programs. The same bytes however the sweep was run.

best, chosen    a combination: `params` (all but the replicates'), `metric` (the mean), `std` and `count`
                of its runs, `cell` (the id of its first run); chosen has `rule` too
tied            those that cannot be told from the best, with `p`, adjusted; the first 1000 in rank order.
                null where each combination has one run, and nothing is claimed
tied_count      how many there are
boundary        where the best lies at an end of an axis of numbers: `axis`, `value`, `end` (low or high),
                `try`: a value to go on with
corrected       what is chosen scores on examples that it was not chosen by: `mean`, and `low` to `high`
                (2.5 to 97.5 %), by `method` on the bits `examples`; null where the trainer gives none
stability       who is chosen in how many of 1000 samples of the examples, or of the replicates: as best,
                and `wins`, a share
refit           null
effects         the ten largest: `term`, `order`, `share`, `share_rank`
search_curve    `n` and `best`: the best of n combinations drawn at random, expected
counts          cells by status, and how many of the completed diverged, lack the metric, stopped early
versions        of what it was run with; several where sessions differ
name, metric, mode

null where there is nothing to say.
"""

import json
import math
from pathlib import Path
from typing import Any

from gridrun.cell import as_given
from gridrun.results.aggregate import Aggregate
from gridrun.results.answer import Answer, Pick

SHOWN_EFFECTS = 10


def write_summary(result: Aggregate, answer: Answer | None, path: Path) -> None:
    """Write what the grid says; `answer` is None while it says nothing."""
    text = json.dumps(summarise(result, answer), indent=1, ensure_ascii=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def summarise(result: Aggregate, answer: Answer | None) -> dict[str, Any]:
    """All of it, as JSON can say it."""
    spec = result.spec
    counts = {**result.counts, "diverged": result.diverged, "absent": result.absent}
    summary: dict[str, Any] = {
        "name": spec.name,
        "metric": spec.metric,
        "mode": spec.mode,
        "best": None,
        "chosen": None,
        "tied": None,
        "tied_count": None,
        "corrected": None,
        "stability": [],
        "refit": None,
        "boundary": [],
        "effects": _effects(result),
        "search_curve": [],
        "counts": {**counts, "stopped_early": result.stopped_early},
        "versions": as_given(dict(result.versions)),
    }
    if answer is None:
        return summary
    tied = None if answer.ties is None else [{**_told(pick), "p": _number(pick.p)} for pick in answer.ties]
    return {
        **summary,
        "best": _told(answer.best),
        "chosen": {**_told(answer.chosen), "rule": spec.choice.rule},
        "tied": tied,
        "tied_count": None if tied is None else answer.tied_count,
        "corrected": _corrected(result, answer),
        "stability": [{**_told(pick), "wins": wins} for pick, wins in answer.stability],
        "boundary": [
            {"axis": edge.axis, "value": edge.value, "end": edge.end, "try": edge.try_}
            for edge in answer.edges
        ],
        "search_curve": [{"n": n, "best": _number(best)} for n, best in answer.curve],
    }


def _corrected(result: Aggregate, answer: Answer) -> dict[str, Any] | None:
    if answer.corrected is None or result.examples is None or not math.isfinite(answer.corrected.mean):
        return None
    found = answer.corrected
    return {
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "method": "BBC-CV",
        "examples": result.examples.metric,
    }


def _told(pick: Pick) -> dict[str, Any]:
    return {
        "params": as_given(dict(pick.params)),
        "metric": _number(pick.metric),
        "std": _number(pick.std),
        "count": pick.count,
        "cell": pick.cell,
    }


def _effects(result: Aggregate) -> list[dict[str, Any]]:
    if result.effects is None:
        return []
    axes = result.frame
    return [
        {
            "term": ":".join(axes[place].name for place in effect.axes),
            "order": len(effect.axes),
            "share": effect.share,
            "share_rank": _number(effect.share_rank),
        }
        for effect in result.effects.effects[:SHOWN_EFFECTS]
    ]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
