"""summary.json: what a report says first, for programs. The same bytes however the sweep was run.

best, chosen    a combination: `params` (all but the replicates'), `metric` (the mean), `std` and `count`
                of its runs, `low` to `high` (the 95 % interval of the mean; null for one run), `cell` (the id
                of its first run); chosen has `rule` too
tied            those that cannot be told from the best, with `p`, adjusted; the first 1000 in rank order.
                null where nothing is claimed
tied_count      how many there are
tied_of         how many were compared: of bits at most the 1000 best choices
tied_test       "paired t" over replicates; for one run each "McNemar" on bits, or "binomial" (unpaired)
tied_simplest   of these and the best the first by [select] prefer; null without
boundary        where the best lies at an end of an axis of numbers: `axis`, `value`, `end` (low or high),
                `try`: a value to go on with; `cells` that it adds, `runs` that have to be trained for them
corrected       what is chosen scores on examples that it was not chosen by: `mean`, and `low` to `high`
                (2.5 to 97.5 %), by `method` on the bits `examples`; null where the trainer gives none
stability       who is chosen in how many of 1000 samples of the examples, or of the replicates: as best,
                and `wins`, a share
refit           what is chosen, run once more as [refit] says: `params`, `metric` and all `metrics` of its
                last epoch, `cell`, `status`, and `chosen`, what it was chosen by; null without [refit]
nested          of sweeps with outer folds: `metric` and `std` of what each chose on itself, `folds` (`outer`,
                `params`, `chosen`, what the inner folds chose it by, `metric`, `cell`, `status`), and which
                `choices` were made: `params`, `count`; null without
effects         the ten largest: `term`, `order`, `share`, `share_rank`
noise           the share of the variance that replicates vary by, `share` and `share_rank`; null of one
flat            axes that may go: `axis`, `share` and `share_rank` of all effects that it has a part in, and
                `loss`: of the metric, at most, by keeping one of its values alone
sensitivity     how far the metric goes when one axis alone is changed at the best: `axis`, `range`, and the
                `worst` value; each value is in sensitivity.csv
budgets         how far each smaller budget ranks as the largest: `budget`, Spearman's `correlation`, over
                `count` combinations, and the `rank` that the largest budget's best has there
search_curve    `n` and `best`: the best of n combinations drawn at random, expected
search_curve_by the same among the combinations with one value of an axis: `axis`, `value`, `curve`; of axes
                of up to 20 values
counts          cells by status, and how many of the completed diverged, lack the metric, stopped early
versions        of what it was run with; several where sessions differ
name, metric, mode

Seconds and hours differ from run to run and are not here: timings.csv has them.
null where there is nothing to say.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gridrun.cell import as_given
from gridrun.results.aggregate import Aggregate
from gridrun.results.answer import Answer, Tied
from gridrun.results.nested import Nested
from gridrun.results.picks import Pick
from gridrun.results.reruns import Ran
from gridrun.spec import Spec

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
        "tied_of": None,
        "tied_test": None,
        "tied_simplest": None,
        "corrected": None,
        "stability": [],
        "refit": None,
        "nested": None,
        "boundary": [],
        "effects": _effects(result),
        "noise": _noise(result),
        "flat": [],
        "sensitivity": [],
        "budgets": [],
        "search_curve": [],
        "search_curve_by": [],
        "counts": {**counts, "stopped_early": result.stopped_early},
        "versions": as_given(dict(result.versions)),
    }
    if answer is None:
        return summary
    return {
        **summary,
        "best": _told(answer.best),
        "chosen": {**_told(answer.chosen), "rule": spec.choice.rule},
        **_tied(answer.ties),
        "corrected": _corrected(result, answer),
        "refit": None
        if answer.refit is None
        else {**_ran(spec, answer.refit), "chosen": answer.chosen.metric},
        "nested": _nested(spec, answer.nested),
        "stability": [{**_told(pick), "wins": wins} for pick, wins in answer.stability],
        "boundary": [
            {
                "axis": edge.axis,
                "value": edge.value,
                "end": edge.end,
                "try": edge.try_,
                "cells": edge.cells,
                "runs": edge.runs,
            }
            for edge in answer.edges
        ],
        "flat": [
            {
                "axis": flat.axis,
                "share": flat.share,
                "share_rank": _number(flat.share_rank),
                "loss": _number(flat.loss),
            }
            for flat in answer.flat
        ],
        "sensitivity": [
            {
                "axis": along.axis.name,
                "range": _number(along.range),
                "worst": as_given(along.worst(spec.mode)),
            }
            for along in answer.slices
        ],
        "budgets": [
            {
                "budget": found.budget,
                "correlation": _number(found.correlation),
                "count": found.count,
                "rank": found.rank,
            }
            for found in answer.budgets
        ],
        "search_curve": _curve(answer.curve),
        "search_curve_by": [
            {"axis": one.axis, "value": as_given(one.value), "curve": _curve(one.points)}
            for one in answer.curves
        ],
    }


def _tied(ties: Tied | None) -> dict[str, Any]:
    if ties is None:
        return {}
    return {
        "tied": [{**_told(pick), "p": _number(pick.p)} for pick in ties.picks],
        "tied_count": ties.count,
        "tied_of": ties.compared,
        "tied_test": ties.test,
        "tied_simplest": None if ties.simplest is None else _told(ties.simplest),
    }


def _curve(points: Sequence[tuple[int, float]]) -> list[dict[str, Any]]:
    return [{"n": n, "best": _number(best)} for n, best in points]


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
        "low": _number(pick.low),
        "high": _number(pick.high),
        "count": pick.count,
        "cell": pick.cell,
    }


def _ran(spec: Spec, ran: Ran) -> dict[str, Any]:
    return {
        "params": as_given(dict(ran.cell.params)),
        "metric": _number(ran.metrics.get(spec.metric, math.nan)),
        "metrics": {name: _number(value) for name, value in sorted(ran.metrics.items())},
        "cell": ran.cell.id or None,
        "status": ran.status,
    }


def _nested(spec: Spec, nested: Nested | None) -> dict[str, Any] | None:
    if nested is None:
        return None
    folds = []
    for fold in nested.folds:
        told = _ran(spec, fold.ran)
        del told["metrics"]
        params = as_given(dict(fold.chosen.params))
        folds.append({"outer": as_given(fold.value), **told, "params": params, "chosen": fold.chosen.metric})
    return {
        "metric": _number(nested.metric),
        "std": _number(nested.std),
        "folds": folds,
        "choices": [{"params": as_given(dict(p)), "count": count} for p, count in nested.choices],
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


def _noise(result: Aggregate) -> dict[str, Any] | None:
    found = result.effects
    if found is None or found.noise is None or found.noise_rank is None:
        return None
    return {"share": found.noise, "share_rank": _number(found.noise_rank)}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
