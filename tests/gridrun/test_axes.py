"""What each axis does, what budgets agree on, and what cells cost, on grids where it is known."""

import csv
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gridrun.cell import Identity
from gridrun.outcome import Outcome
from gridrun.report import write_and_answer
from gridrun.report.sentences import tell
from gridrun.results.costs import Costs
from gridrun.spec import Spec
from gridrun.store import Store

HEAD = '[sweep]\nname = "t"\ntrain = "no_such_module:train"\nmetric = "score"\n'


class Report:
    """A report on a sweep of which each epoch had this score, and each trajectory took this long an epoch."""

    def __init__(
        self,
        directory: Path,
        text: str,
        score: Callable[[Any, int], float | None],
        seconds: Callable[[Any], float] | None = lambda _: 1.0,
    ) -> None:
        spec = Spec.parse(text, "grid.toml")
        grid = spec.grid
        identity = Identity(spec.trainer.name, None, ((None, grid.trajectory_count),))
        outcomes = []
        for index, name in enumerate(grid.trajectory_ids(identity)):
            params = grid.trajectory_params(index)
            epochs = range(1, max(grid.budgets, default=1) + 1)
            history = [{"score": found} for k in epochs if (found := score(params, k)) is not None]
            took = [seconds(params) * k for k in range(1, len(history) + 1)] if seconds else []
            if history:
                outcomes.append(Outcome(name, params, history, None, sum(took[-1:]), tuple(took)))
        with Store.write(directory) as store:
            store.begin(text, identity, {}, {})
            store.save(outcomes)
        self.result, answer, self.costs = write_and_answer(directory)
        assert answer is not None
        self.answer, self.directory = answer, directory / "report"
        self.summary = json.loads((self.directory / "summary.json").read_text())

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.directory / name).open(newline="") as file:
            return list(csv.DictReader(file))

    def lines(self, costs: Costs | None = None) -> str:
        return "\n".join(tell(self.result, self.answer, costs))


def test_sensitivity_is_the_metric_along_each_axis_through_the_best(tmp_path: Path) -> None:
    text = (
        f'{HEAD}budget = "e"\n[grid]\na = [1, 2, 3]\nb = ["x", "y"]\ne = [2, 4]\n[replicate]\nseed = [0, 1]\n'
    )
    values = {
        (a, b): v for (a, b), v in zip(itertools.product((1, 2, 3), "xy"), (3, 1, 4, 9, 2, 6), strict=True)
    }
    found = Report(tmp_path, text, lambda p, k: values[p["a"], p["b"]] + 0.1 * k + 0.2 * p["seed"])
    assert found.summary["best"]["params"] == {"a": 2, "b": "y", "e": 4}
    rows = [list(row.values()) for row in found.rows("sensitivity.csv")]
    expected = {"a": [(1, 1), (2, 9), (3, 6)], "b": [("x", 4), ("y", 9)], "e": [(2, 8.8), (4, 9)]}
    assert [row[:2] for row in rows] == [[axis, str(v)] for axis, told in expected.items() for v, _ in told]
    assert [float(row[2]) for row in rows] == pytest.approx(
        [m + 0.5 for e in expected.values() for _, m in e]
    )
    assert [float(row[3]) for row in rows] == pytest.approx([np.std([0, 0.2], ddof=1)] * 7)
    assert [row[5] for row in rows] == ["", "yes", "", "", "yes", "", "yes"]
    told = [
        (along["axis"], along["worst"], pytest.approx(along["range"]))
        for along in found.summary["sensitivity"]
    ]
    assert told == [("a", 1, 8.0), ("b", "x", 5.0), ("e", 2, 0.2)]


def test_sensitivity_is_empty_where_a_run_is_missing_or_a_combination_left_out(tmp_path: Path) -> None:
    text = f"{HEAD}[grid]\na = [1, 2, 3]\nb = [1, 2]\n[[exclude]]\na = 1\nb = 2\n"
    found = Report(tmp_path, text, lambda p, _: None if p == {"a": 2, "b": 2} else p["a"] * p["b"])
    rows = {(row["axis"], row["value"]): row["metric"] for row in found.rows("sensitivity.csv")}
    assert rows == {("a", "1"): "", ("a", "2"): "", ("a", "3"): "6.0", ("b", "1"): "3.0", ("b", "2"): "6.0"}


def test_an_axis_that_does_nothing_may_go_and_one_that_a_failing_corner_hides_may_not(tmp_path: Path) -> None:
    text = f"{HEAD}[grid]\nlr = [1, 2, 3]\nidle = [1, 2]\nwidth = [1, 2, 3]\n"

    def score(params: Any, _: int) -> float:
        corner = 1000.0 if params["lr"] == 3 else 0.0
        return 0.01 * params["lr"] + 0.1 * params["width"] + 1e-5 * params["idle"] - corner

    found = Report(tmp_path, text, score)
    share = {effect["term"]: effect["share"] for effect in found.summary["effects"]}
    assert share["width"] < 0.001
    assert [flat["axis"] for flat in found.summary["flat"]] == ["idle"]
    assert found.summary["flat"][0]["loss"] == pytest.approx(1e-5)
    assert [edge["axis"] for edge in found.summary["boundary"]] == ["width"]
    assert (
        "May go, as next to nothing of the variance is theirs, interplays included: idle (0.0 %"
        in found.lines()
    )


def test_budgets_agree_by_spearman_as_pandas_has_it(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    told = {
        (a, k): float(v)
        for (a, k), v in zip(itertools.product(range(12), (1, 2, 3)), chance.normal(size=36), strict=True)
    }
    told[7, 1] = math.nan
    text = f'{HEAD}mode = "min"\nbudget = "e"\n[grid]\na = {list(range(12))}\ne = [3, 1, 2]\n'
    found = Report(tmp_path, text, lambda p, k: told[p["a"], k])
    table = pd.Series(told).unstack()
    best = int(table[3].drop(7).idxmin())
    for row, budget in zip(found.summary["budgets"], (1, 2), strict=True):
        both = table[[budget, 3]].dropna()
        assert row["budget"] == budget
        assert row["count"] == len(both)
        assert row["correlation"] == pytest.approx(both.rank().corr().iloc[0, 1])
        best = both[3].idxmin()
        assert row["rank"] == both[budget].rank()[best]


def test_what_does_not_vary_has_no_correlation(tmp_path: Path) -> None:
    text = f'{HEAD}budget = "e"\n[grid]\na = [1, 2, 3]\ne = [1, 2]\n'
    found = Report(tmp_path, text, lambda p, k: p["a"] if k == 2 else 0.0)
    assert found.summary["budgets"] == [{"budget": 1, "correlation": None, "count": 3, "rank": 1}]
    assert "Spearman" not in found.lines()


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_value_is_easier_to_tune_if_a_random_search_finds_better_there(tmp_path: Path, mode: str) -> None:
    """The mean of the best of n over all draws; what diverged counts as the worst of the whole grid."""
    sign = 1 if mode == "max" else -1
    scores = {
        "batch": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
        "layer": [0.95, math.nan, math.nan, math.nan, 0.3, 0.2],
    }
    text = f'{HEAD}mode = "{mode}"\n[grid]\nnorm = ["batch", "layer"]\nb = [0, 1, 2, 3, 4, 5]\n'
    found = Report(tmp_path, text, lambda p, _: sign * scores[p["norm"]][p["b"]])
    curves = [curve for curve in found.summary["search_curve_by"] if curve["axis"] == "norm"]
    assert [curve["value"] for curve in curves] == ["batch", "layer"]
    for curve in curves:
        known = [0.2 if math.isnan(v) else v for v in scores[curve["value"]]]
        for point in curve["curve"]:
            draws = itertools.combinations(known, point["n"])
            assert point["best"] == pytest.approx(sign * np.mean([max(draw) for draw in draws]))
    assert [point["n"] for point in curves[0]["curve"]] == [1, 2, 3, 5, 6]
    first, second = (sign * f for f in (0.9 - 0.1 / 6, 0.95 - 0.65 / 6))
    assert f"Best of 5 drawn at random, by norm: batch {first:.4f}, layer {second:.4f}." in found.lines()


def test_a_smaller_budget_is_free_and_another_value_costs_as_long_as_its_neighbour_took(
    tmp_path: Path,
) -> None:
    text = f'{HEAD}budget = "e"\n[grid]\nwidth = [8, 16]\nb = [1, 2, 3]\ne = [2, 4]\n'
    text += "[replicate]\nseed = [0, 1]\n"
    found = Report(tmp_path, text, lambda p, k: p["width"] + p["b"] % 3 - k, lambda p: 60.0 * p["width"])
    assert found.summary["best"]["params"] == {"width": 16, "b": 2, "e": 2}
    assert found.summary["boundary"] == [
        {"axis": "width", "value": 16, "end": "high", "try": 24, "cells": 12, "runs": 6},
        {"axis": "e", "value": 2, "end": "low", "try": 1, "cells": 12, "runs": 0},
    ]
    width, epochs = found.answer.edges
    assert found.costs.hours_of(width) == pytest.approx(6 * 4 * 60 * 16 / 3600)
    assert found.costs.hours_of(epochs) == 0
    assert "try 24 (12 cells, about 6.4 h of one worker)" in found.lines(found.costs)
    assert "try 1 (which every run contains already)" in found.lines(found.costs)
    assert "h of one worker" not in found.lines()


def test_a_larger_budget_costs_all_runs_anew(tmp_path: Path) -> None:
    text = f'{HEAD}budget = "e"\n[grid]\na = ["x", "y"]\ne = [4, 2]\n'
    found = Report(tmp_path, text, lambda p, k: k + (p["a"] == "x"), lambda _: 10.0)
    (edge,) = found.answer.edges
    assert (edge.try_, edge.cells, edge.runs) == (6, 2, 2)
    assert found.costs.hours_of(edge) == pytest.approx(2 * 60 / 3600)


def test_the_front_of_metric_against_time_is_what_no_other_choice_beats_in_as_little(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    scores = {
        (a, k): float(round(v, 1))
        for (a, k), v in zip(itertools.product(range(9), (1, 2)), chance.random(18), strict=True)
    }
    text = f'{HEAD}budget = "e"\n[grid]\na = {list(range(9))}\ne = [1, 2]\n[replicate]\nseed = [0, 1]\n'
    found = Report(tmp_path, text, lambda p, k: scores[p["a"], k], lambda p: 1.0 + p["a"] // 2 + p["seed"])
    seconds = {(a, k): (1.5 + a // 2) * k for a, k in scores}
    expected = {
        one
        for one in scores
        if not any(
            (scores[other] > scores[one] and seconds[other] <= seconds[one])
            or (scores[other] == scores[one] and seconds[other] < seconds[one])
            for other in scores
        )
    }
    there = {(a, (1, 2)[place]) for a, place in found.costs.front.tolist()}
    # Of choices that are alike in both, one stands for all.
    assert there <= expected
    assert {(scores[c], seconds[c]) for c in there} == {(scores[c], seconds[c]) for c in expected}
    marked = {row["cell"] for row in found.rows("timings.csv") if row["front"] == "yes"}
    cells = {row["cell"]: (int(row["a"]), int(row["e"])) for row in found.rows("cells.csv")}
    assert {cells[cell] for cell in marked} == there
    assert len(marked) == 2 * len(there)
    assert f"({len(there)} choices: front in timings.csv)" in found.lines(found.costs)


def test_where_no_time_was_kept_nothing_is_said_of_it(tmp_path: Path) -> None:
    text = f'{HEAD}budget = "e"\n[grid]\na = [1, 2]\ne = [1, 2]\n'
    found = Report(tmp_path, text, lambda p, k: p["a"] + k, seconds=None)
    assert len(found.costs.front) == 0
    assert all(math.isnan(found.costs.hours_of(edge)) for edge in found.answer.edges)
    assert "worker" not in found.lines(found.costs)
    assert "front" not in found.lines(found.costs)


@pytest.mark.parametrize(("name", "overlap"), [("seed", 0), ("fold", 1 / 4)])
def test_the_interval_of_a_mean_is_students_as_scipy_has_it(
    tmp_path: Path, name: str, overlap: float
) -> None:
    from scipy import stats

    runs = [0.9, 0.7, 0.8, 0.85, 0.6]
    text = f"{HEAD}[grid]\na = [1]\n[replicate]\n{name} = [0, 1, 2, 3, 4]\n"
    best = Report(tmp_path, text, lambda p, _: runs[p[name]]).summary["best"]
    scale = np.std(runs, ddof=1) * math.sqrt(1 / 5 + overlap)
    assert (best["low"], best["high"]) == pytest.approx(stats.t.interval(0.95, 4, np.mean(runs), scale))


@pytest.mark.parametrize("large", [1.7976931348623157e308, 5e-324])
def test_numbers_at_the_ends_of_what_a_float_can_be_are_reported(tmp_path: Path, large: float) -> None:
    text = f'{HEAD}budget = "e"\n[grid]\na = [-1, 1]\nb = [1, 2]\ne = [1, 2]\n[replicate]\nseed = [0, 1]\n'
    found = Report(tmp_path, text, lambda p, _: p["a"] * large if p["b"] == 1 else 0.0)
    assert found.summary["best"]["metric"] == large
    assert found.summary["budgets"][0]["correlation"] == pytest.approx(1)
    assert found.summary["sensitivity"][0]["worst"] == -1
    assert found.lines(found.costs)
