"""What each axis does, as pandas tables with Python's values: what `Results` shows."""

import pandas as pd

from gridrun.cell import as_given
from gridrun.results.aggregate import Aggregate
from gridrun.results.answer import Answer
from gridrun.results.costs import Costs


def tabulate_isolation(result: Aggregate) -> pd.DataFrame:
    """The columns of isolation.csv; NaN where there is none."""
    rows = [
        (axis.name, as_given(value), best)
        for axis in result.layout.every
        for value, best in zip(axis.values, result.isolation[axis.name].tolist(), strict=True)
    ]
    return pd.DataFrame(rows, columns=["axis", "value", "best"])


def tabulate_means(result: Aggregate) -> pd.DataFrame:
    """axis, value, and the mean metric over all else, of `count` combinations."""
    rows = [
        (axis.name, as_given(value), mean, count)
        for axis in result.layout.every
        for value, mean, count in zip(
            axis.values,
            result.main_effects[axis.name]["mean"].tolist(),
            result.main_effects[axis.name]["count"].tolist(),
            strict=True,
        )
    ]
    return pd.DataFrame(rows, columns=["axis", "value", "mean", "count"])


def tabulate_sensitivity(answer: Answer | None) -> pd.DataFrame:
    """The columns of sensitivity.csv; NaN where there is none."""
    rows = [
        (along.axis.name, as_given(along.axis.values[place]), *point, place == along.place)
        for along in (answer.slices if answer is not None else ())
        for place, point in enumerate(along.points())
    ]
    return pd.DataFrame(rows, columns=["axis", "value", "metric", "std", "count", "best"])


def tabulate_front(costs: Costs) -> pd.DataFrame:
    """The choices that no other is better than in as little time: axes, metric, mean seconds of a run."""
    result = costs.result
    names = [axis.name for axis in result.spec.grid.axes]
    rows = []
    for combination, budget in costs.front.tolist():
        params = result.layout.params_of(combination, budget)
        rows.append(
            (
                *(as_given(params[name]) if name in params else None for name in names),
                float(result.by_budget[combination, budget]),
                float(costs.seconds[combination, budget]),
            )
        )
    return pd.DataFrame(rows, columns=[*names, result.names.metric, result.names.seconds])
