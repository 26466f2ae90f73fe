"""What is selected, and how: means over replicates, the best over the budget axis, divergence, ties."""

import math
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gridrun.cell import Identity, Params
from gridrun.outcome import Failure, Outcome
from gridrun.results.aggregate import Aggregate, aggregate
from gridrun.spec import Spec
from gridrun.store import Store

HEAD = '[sweep]\nname = "t"\ntrain = "no_such_module:train"\nmetric = "score"\n'
History = list[dict[str, float]]


def fill(
    directory: Path, text: str, history: Callable[[Params], History | None], defaults: Params | None = None
) -> None:
    """Record outcomes: None is pending, a history shorter than the budget has failed."""
    spec = Spec.parse(text, "grid.toml")
    grid = spec.grid
    identity = Identity(spec.trainer.name, "1", ((None, grid.trajectory_count),))
    with Store.write(directory) as store:
        store.begin(text, identity, defaults or {}, {})
        outcomes = []
        for index, name in enumerate(grid.trajectory_ids(identity)):
            params = grid.trajectory_params(index)
            found = history(params)
            if found is None:
                continue
            enough = len(found) >= max(grid.budgets, default=1)
            failure = None if enough else Failure("ValueError: no", "Traceback\nValueError: no")
            outcomes.append(Outcome(name, params, found, failure, 0.1))
        store.save(outcomes)


def read(directory: Path) -> Aggregate:
    with Store.read(directory) as store:
        return aggregate(store)


@pytest.fixture(autouse=True)
def _imports_no_train_function() -> Iterator[None]:
    yield
    assert "no_such_module" not in sys.modules


def test_cells_stand_in_grid_order_with_the_metrics_of_their_own_budget(tmp_path: Path) -> None:
    text = HEAD + 'budget = "epochs"\n[grid]\na = [1, 2]\nepochs = [3, 1]\nb = [0.5, 0.25]\n'
    fill(tmp_path, text, lambda p: [{"score": 100 * p["a"] + p["b"] + k} for k in (1, 2, 3)])  # type: ignore[operator]
    cells = read(tmp_path).cells
    assert list(cells.columns) == ["cell", "a", "epochs", "b", "status", "epoch", "score"]
    assert cells["epochs"].tolist() == [3, 3, 1, 1, 3, 3, 1, 1]
    assert cells["b"].tolist() == [0.5, 0.25] * 4
    expected = 100 * cells["a"] + cells["b"] + cells["epochs"]
    assert cells["score"].tolist() == expected.tolist()
    assert cells["cell"].is_unique


def test_ids_are_those_of_the_grid(tmp_path: Path) -> None:
    text = HEAD + 'budget = "epochs"\n[grid]\na = [1, 2]\nepochs = [3, 1]\n[replicate]\nseed = [0, 1]\n'
    fill(tmp_path, text, lambda _: [{"score": 1.0}] * 3)
    spec = Spec.parse(text, "x")
    identity = Identity(spec.trainer.name, "1", ((None, 4),))
    assert read(tmp_path).cells["cell"].tolist() == [cell.id for cell in spec.grid.cells(identity)]


def test_without_a_budget_axis_the_last_mapping_counts(tmp_path: Path) -> None:
    fill(tmp_path, HEAD + "[grid]\na = [1]\n", lambda _: [{"score": 1.0}, {"score": 7.0}])
    assert read(tmp_path).cells["score"].tolist() == [7.0]


def test_the_best_over_the_budget_axis_says_where_it_was_reached(tmp_path: Path) -> None:
    text = HEAD + 'budget = "epochs"\n[grid]\na = [1, 2]\nepochs = [1, 2]\n'
    scores = {1: (0.9, 0.3), 2: (0.2, 0.8)}
    fill(tmp_path, text, lambda p: [{"score": s} for s in scores[p["a"]]])  # type: ignore[index]
    best = read(tmp_path).best
    assert best[["a", "score", "epochs"]].to_numpy().tolist() == [[1, 0.9, 1], [2, 0.8, 2]]


@pytest.mark.parametrize(("mode", "order"), [("max", [2, 1]), ("min", [1, 2])])
def test_replicates_are_averaged_before_anything_is_selected(
    tmp_path: Path, mode: str, order: list[int]
) -> None:
    text = HEAD + f'mode = "{mode}"\n[grid]\na = [1, 2]\n[replicate]\nseed = [0, 1, 2]\n'
    # The highest single score is a = 1's, the higher mean a = 2's.
    scores = {1: (0.9, 0.1, 0.2), 2: (0.5, 0.5, 0.8)}
    fill(tmp_path, text, lambda p: [{"score": scores[p["a"]][p["seed"]]}])  # type: ignore[index]
    best = read(tmp_path).best
    assert best["a"].tolist() == order
    row = best[best["a"] == 2].iloc[0]
    assert row["score"] == pytest.approx(0.6)
    assert row["score std"] == pytest.approx(np.std([0.5, 0.5, 0.8], ddof=1))
    assert row["score count"] == 3


def test_a_mean_is_over_completed_replicates_only(tmp_path: Path) -> None:
    text = HEAD + "[grid]\na = [1]\n[replicate]\nseed = [0, 1, 2]\n"
    fill(tmp_path, text, lambda p: {0: [{"score": 0.4}], 1: [{"score": 0.6}], 2: []}[p["seed"]])  # type: ignore[index]
    result = read(tmp_path)
    assert result.best["score"].tolist() == [pytest.approx(0.5)]
    assert result.best["score count"].tolist() == [2]
    assert result.counts == {"completed": 2, "failed": 1, "pending": 0}


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_diverged_never_wins_and_is_counted(tmp_path: Path, mode: str, bad: float) -> None:
    text = HEAD + f'mode = "{mode}"\n[grid]\na = [1, 2, 3]\n[replicate]\nseed = [0, 1]\n'
    fill(tmp_path, text, lambda p: [{"score": bad if (p["a"], p["seed"]) == (2, 1) else 0.5}])
    result = read(tmp_path)
    assert result.best["a"].tolist() == [1, 3, 2]
    assert math.isnan(result.best["score"].iloc[2])
    assert result.diverged == 1
    assert result.has_best


def test_a_run_that_diverges_late_keeps_its_earlier_epochs(tmp_path: Path) -> None:
    text = HEAD + 'budget = "epochs"\n[grid]\na = [1]\nepochs = [1, 2]\n'
    fill(tmp_path, text, lambda _: [{"score": 0.5}, {"score": math.nan}])
    best = read(tmp_path).best
    assert best[["a", "score", "epochs"]].to_numpy().tolist() == [[1, 0.5, 1]]


def test_ties_stand_in_grid_order(tmp_path: Path) -> None:
    fill(tmp_path, HEAD + "[grid]\na = [3, 1, 2]\nb = [2, 1]\n", lambda _: [{"score": 0.5}])
    best = read(tmp_path).best
    assert list(zip(best["a"], best["b"], strict=True)) == [(3, 2), (3, 1), (1, 2), (1, 1), (2, 2), (2, 1)]


def test_what_has_failed_or_is_pending_is_no_row_of_best(tmp_path: Path) -> None:
    text = HEAD + 'budget = "epochs"\n[grid]\na = [1, 2, 3]\nepochs = [1, 2]\n'
    histories: dict[object, History | None] = {1: [{"score": 1.0}] * 2, 2: [{"score": 2.0}], 3: None}
    fill(tmp_path, text, lambda p: histories[p["a"]])
    result = read(tmp_path)
    assert result.cells["status"].tolist() == ["completed"] * 3 + ["failed"] + ["pending"] * 2
    assert result.best["a"].tolist() == [2, 1]
    assert result.failure_count == 1
    assert result.failures[0][0] == {"a": 2}


def test_main_effects_are_means_of_the_best_over_the_budget_axis(tmp_path: Path) -> None:
    text = HEAD + 'budget = "epochs"\n[grid]\na = [1, 2]\nb = [1, 2]\nepochs = [1, 2]\n'
    fill(tmp_path, text, lambda p: [{"score": 0.0}, {"score": p["a"] * 10 + p["b"]}])  # type: ignore[operator,dict-item]
    effects = read(tmp_path).main_effects
    assert effects["a"]["mean"].tolist() == [11.5, 21.5]
    assert effects["b"]["mean"].tolist() == [16.0, 17.0]
    assert effects["epochs"]["mean"].tolist() == [0.0, 16.5]


def test_a_metric_called_like_a_parameter_gets_a_column_of_its_own(tmp_path: Path) -> None:
    fill(
        tmp_path,
        HEAD + "[grid]\nrate = [0.1]\n[fixed]\nsize = 3\n",
        lambda _: [{"score": 1.0, "rate": 0.05, "size": 2.0, "cell": 4.0, "depth": 5.0}],
        {"depth": 1},
    )
    assert list(read(tmp_path).cells.columns) == [
        "cell", "rate", "status", "epoch",
        "cell (metric)", "depth (metric)", "rate (metric)", "score", "size (metric)",
    ]  # fmt: skip


def test_axes_called_like_our_columns_are_kept_apart(tmp_path: Path) -> None:
    fill(tmp_path, HEAD + "[grid]\ncell = [1, 2]\nstatus = [3]\n", lambda p: [{"score": p["cell"]}])  # type: ignore[dict-item]
    cells = read(tmp_path).cells
    names = ["cell (id)", "cell", "status", "status (of the cell)", "epoch", "score"]
    assert list(cells.columns) == names


def test_values_of_every_kind_keep_their_kind(tmp_path: Path) -> None:
    text = HEAD + '[grid]\na = [1, "x", true]\nb = [[1, 2], [3]]\nc = [true, false]\nd = [1, 0.5]\n'
    fill(tmp_path, text, lambda _: [{"score": 1.0}])
    cells = read(tmp_path).cells
    assert set(cells["b"]) == {(1, 2), (3,)}
    assert cells["c"].dtype == bool
    assert cells["d"].dtype == float
    assert [type(v) for v in cells["a"].tolist()[:: len(cells) // 3]] == [int, str, bool]


def test_a_budget_axis_alone_is_an_axis_like_another(tmp_path: Path) -> None:
    fill(
        tmp_path,
        HEAD + 'budget = "epochs"\n[grid]\nepochs = [1, 3]\n',
        lambda _: [{"score": float(k)} for k in range(3)],
    )
    result = read(tmp_path)
    assert result.best[["epochs", "score"]].to_numpy().tolist() == [[3, 2.0], [1, 0.0]]
    assert len(result.curves) == 1


def test_curves_are_means_over_replicates_of_the_best_and_the_worst(tmp_path: Path) -> None:
    text = HEAD + "[grid]\na = [0, 1, 2, 3, 4, 5, 6, 7]\n[replicate]\nseed = [0, 2]\n"
    fill(tmp_path, text, lambda p: [{"score": 0.0}, {"score": float(p["a"] * 10 + p["seed"])}])  # type: ignore[operator,arg-type]
    curves = read(tmp_path).curves
    assert [(c.place, c.params["a"]) for c in curves] == [(1, 7), (2, 6), (3, 5), (6, 2), (7, 1), (8, 0)]
    assert curves[0].history == {"score": [0.0, 71.0]}


def test_while_nothing_is_completed_or_nothing_has_the_metric_nothing_is_ranked(tmp_path: Path) -> None:
    histories: dict[object, History | None] = {1: None, 2: [], 3: [{"accuracy": 1.0}]}
    fill(tmp_path, HEAD + "[grid]\na = [1, 2, 3]\n", lambda p: histories[p["a"]])
    result = read(tmp_path)
    assert result.best.empty
    assert not result.has_best
    assert result.cells["status"].tolist() == ["pending", "failed", "completed"]
    assert (result.absent, result.diverged) == (1, 0)


def test_of_finite_metrics_the_mean_and_the_deviation_are_finite_and_right(tmp_path: Path) -> None:
    most = sys.float_info.max
    scores = {
        1: (1e308, 1.7e308, 1.6e308),
        2: (most, most, most),
        3: (-most, most, 0.0),
        4: (1e-200, 3e-200, 2e-200),
        5: (1e200, 3e200, 2e200),
        6: (5e-324, 1e-323, 0.0),
    }
    text = HEAD + 'mode = "min"\n[grid]\na = [1, 2, 3, 4, 5, 6]\n[replicate]\nseed = [0, 1, 2]\n'
    fill(tmp_path, text, lambda p: [{"score": scores[p["a"]][p["seed"]]}])  # type: ignore[index]
    result = read(tmp_path)
    found = result.best.set_index("a")
    for a, values in scores.items():
        exact = sum(map(Fraction, values)) / 3
        spread = max(abs(Fraction(value) - exact) for value in values)
        units = [float((Fraction(v) - exact) / spread) if spread else 0.0 for v in values]
        deviation = math.sqrt(sum(u * u for u in units) / 2) * spread
        assert found.loc[a, "score"] == pytest.approx(float(exact), rel=1e-12, abs=5e-324)
        assert found.loc[a, "score std"] == pytest.approx(float(deviation), rel=1e-12, abs=5e-324)
    assert found.index.tolist() == [3, 6, 4, 5, 1, 2]
    assert np.isfinite(result.main_effects["a"]["mean"]).all()


def test_two_replicates_as_far_apart_as_floats_go_have_the_largest_deviation_there_is(tmp_path: Path) -> None:
    most = sys.float_info.max
    text = HEAD + "[grid]\na = [1]\n[replicate]\nseed = [0, 1]\n"
    fill(tmp_path, text, lambda p: [{"score": (most, -most)[p["seed"]]}])  # type: ignore[index]
    assert read(tmp_path).best["score std"].tolist() == [most]


def test_an_overflowed_sum_does_not_win(tmp_path: Path) -> None:
    text = HEAD + "[grid]\na = [1, 2]\nb = [1, 2, 3]\n[replicate]\nseed = [0, 1]\n"
    fill(tmp_path, text, lambda p: [{"score": 1e308 if p["a"] == 1 else 1.5e308}])
    result = read(tmp_path)
    assert result.best["a"].tolist() == [2, 2, 2, 1, 1, 1]
    assert result.best["score"].tolist() == [1.5e308] * 3 + [1e308] * 3
    assert result.main_effects["b"]["mean"].tolist() == [1.25e308] * 3


def test_a_combination_knows_how_many_replicates_failed_and_a_cell_of_those_that_did_not(
    tmp_path: Path,
) -> None:
    text = HEAD + 'budget = "epochs"\n[grid]\na = [1, 2]\nepochs = [1, 2]\n[replicate]\nseed = [0, 1, 2]\n'
    lengths = {(1, 0): 0, (1, 1): 1, (1, 2): 2, (2, 0): 2, (2, 1): 2, (2, 2): 1}
    fill(tmp_path, text, lambda p: [{"score": float(k)} for k in range(lengths[p["a"], p["seed"]])])  # type: ignore[index]
    result = read(tmp_path)
    best = result.best[["a", "score", "score count", "epochs", "failed"]]
    assert best.to_numpy().tolist() == [[1, 1.0, 1, 2, 2], [2, 1.0, 2, 2, 1]]
    cells = result.cells.set_index("cell").loc[result.best["cell"]]
    assert cells[["a", "epochs", "seed", "status"]].to_numpy().tolist() == [
        [1, 2, 2, "completed"],
        [2, 2, 0, "completed"],
    ]


def test_no_two_metrics_get_one_column(tmp_path: Path) -> None:
    metrics = {"score": 1.0, "a": 2.0, "a (metric)": 3.0, "a (metric) (metric)": 4.0, "b (metric)": 5.0}
    fill(tmp_path, HEAD + "[grid]\na = [1]\n", lambda _: [metrics])
    row = read(tmp_path).cells.iloc[0].to_dict()
    assert [row["a" + " (metric)" * k] for k in (0, 1, 2, 3)] == [1, 2.0, 3.0, 4.0]
    assert row["b (metric)"] == 5.0


def test_a_plain_reading_of_the_rules_agrees(tmp_path: Path) -> None:
    """The vectorised selection against pandas' own groupby, on a ragged sweep."""
    text = (
        HEAD + 'budget = "epochs"\n[grid]\na = [1, 2, 3]\nepochs = [2, 1, 3]\nb = [1, 2]\n'
        "[replicate]\ns = [0, 1, 2]\n"
    )
    random = np.random.default_rng(0)
    fill(tmp_path, text, lambda _: [{"score": float(random.random())} for _ in range(random.integers(1, 4))])
    result = read(tmp_path)
    done = result.cells[result.cells["status"] == "completed"]
    means = done.groupby(["a", "b", "epochs"], as_index=False)["score"].mean()
    expected = means.loc[means.groupby(["a", "b"])["score"].idxmax()].sort_values("score", ascending=False)
    found = result.best[["a", "b", "epochs", "score"]]
    pd.testing.assert_frame_equal(found, expected.reset_index(drop=True), check_exact=False)


def test_of_many_failures_the_first_in_grid_order_are_shown_and_all_are_counted(tmp_path: Path) -> None:
    text = HEAD + "[grid]\na = { from = 1, to = 300, num = 300 }\n"
    fill(tmp_path, text, lambda p: [{"score": 1.0}] if p["a"] in (1, 3) else [])
    result = read(tmp_path)
    assert result.failure_count == 298
    assert [params["a"] for params, _ in result.failures] == [2, *range(4, 103)]
    assert result.failures[0][1] == Failure("ValueError: no", "Traceback\nValueError: no")
    assert result.counts == {"completed": 2, "failed": 298, "pending": 0}
