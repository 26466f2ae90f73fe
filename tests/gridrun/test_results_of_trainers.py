"""What trainers give, as a sweep keeps it: metrics that come and go, runs that end early, bits, text."""

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridrun.errors import InputError
from gridrun.execution import open_sweep
from gridrun.job import Job
from gridrun.metrics import Bits, read_report
from gridrun.outcome import Outcome, Task
from gridrun.report.csv import write_cells
from gridrun.results.aggregate import aggregate
from gridrun.results.standings import Standings
from gridrun.selection import Rule, mean
from gridrun.signals import Stop
from gridrun.spec import Run, Spec
from gridrun.store import Store
from gridrun.surroundings import Surroundings
from gridrun.trainers.function import FunctionSettings
from gridrun.worker import run
from tests.acceptance.quick import Watcher

HERE = Path(__file__)
Epochs = list[dict[str, Any]]

trained: Callable[..., Epochs]


def train(**params: Any) -> Iterator[dict[str, Any]]:
    """Yields what the test at hand has put into `trained`."""
    yield from trained(**params)


def run_here(
    yielded: Epochs, budgets: tuple[int, ...] = (), epoch: str = "last", mode: str = "max"
) -> Outcome:
    """One trajectory, as a worker runs it, to the largest of its budgets."""
    global trained
    trained = lambda **_: yielded  # noqa: E731
    name = f"{__name__}:train"
    job = Job(
        FunctionSettings(name), (), "score", "epochs" if budgets else None, None, {}, mode, epoch, budgets
    )
    (outcome,) = run(job, [Task("t", {}, max(budgets) if budgets else None)], Surroundings)
    return outcome


def sweep_here(directory: Path, text: str, function: Callable[..., Epochs]) -> Watcher:
    global trained
    trained = function
    head = f'[sweep]\nname = "t"\ntrain = "{__name__}:train"\nmetric = "score"\n'
    spec, watcher = Spec.parse(head + text, "grid.toml"), Watcher()
    with open_sweep(spec, directory, Run(backend="sequential"), grid_file=HERE) as sweep:
        sweep.run(Stop(), watcher)
    return watcher


def cells_of(directory: Path) -> list[dict[str, str]]:
    with Store.read(directory) as store:
        write_cells(aggregate(store), directory / "cells.csv")
    with (directory / "cells.csv").open() as file:
        return list(csv.DictReader(file))


def best_of(directory: Path) -> tuple[float, dict[str, Any]]:
    """The best as status says it; the report's first row must say the same."""
    with Store.read(directory) as store:
        spec, result = Spec.parse(store.grid_text(), ""), aggregate(store)
        best = Standings.of(store, spec, store.identity()).best()
    assert best is not None
    first = result.best.iloc[0]
    axes = [axis.name for axis in spec.grid.axes]
    assert (first["score"], *(first[name] for name in axes)) == (
        best.value,
        *(best.cell.params[name] for name in axes),
    )
    return best.value, {name: best.cell.params[name] for name in axes}


# What is kept of an epoch.


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0), (True, 1.0), (np.float32(0.5), 0.5), (np.int64(3), 3.0), (np.array(2.5), 2.5),
        (math.inf, math.inf),
    ],
)  # fmt: skip
def test_whatever_is_one_number_is_a_number(value: object, number: float) -> None:
    assert read_report({"score": value}).numbers == {"score": number}


@pytest.mark.parametrize(
    "value", [None, "0.5", b"1", [1.0], np.zeros((2, 2)), np.zeros(3), {"a": 1}, 10**400, object(), 1j]
)
def test_whatever_is_neither_number_nor_bits_is_left_out_and_named(value: object) -> None:
    report = read_report({"score": 1.0, "note": value})
    assert (report.numbers, report.bits) == ({"score": 1.0}, {})
    assert report.left_out == f"metric 'note' is {type(value).__name__}"


def test_a_boolean_array_is_kept_as_bits_the_first_example_in_the_highest() -> None:
    flags = np.array([True, False, False, True, True, False, False, False, True])
    assert read_report({"correct": flags}).bits == {"correct": Bits(9, b"\x98\x80")}
    assert read_report({"correct": flags.reshape(3, 3)}).bits == {}


def test_a_name_that_is_no_text_of_utf_8_can_still_be_kept() -> None:
    assert read_report({"sc\udcffore": 1.0}).numbers == {"sc\\udcffore": 1.0}
    assert read_report({3: 1.0}).left_out == "a metric's name is int, not a string"


def test_bits_are_read_back_of_the_epoch_that_gave_them(tmp_path: Path) -> None:
    def function(**_: Any) -> Epochs:
        return [{"score": k, "correct": np.arange(20) < k} for k in (3, 11)]

    sweep_here(tmp_path, 'budget = "epochs"\n[grid]\na = [1]\nepochs = [1, 2]\n', function)
    with Store.read(tmp_path) as store:
        (name,) = store.progress()
        for epoch, k in ((1, 3), (2, 11)):
            bits = store.bits_of(name, epoch)["correct"]
            unpacked = np.unpackbits(np.frombuffer(bits.packed, np.uint8), count=bits.count)
            assert unpacked.tolist() == [1] * k + [0] * (20 - k)


def test_text_among_metrics_fails_nothing_and_is_told_once(tmp_path: Path) -> None:
    def function(a: int, **_: Any) -> Epochs:
        return [{"score": float(a), "note": "fine", "extra": None}]

    watcher = sweep_here(tmp_path, "[grid]\na = [1, 2, 3]\n", function)
    assert watcher.said == ["metric 'note' is str, neither a number nor a boolean array: it is not kept"]
    assert [row["status"] for row in cells_of(tmp_path)] == ["completed"] * 3


# The metric is needed where cells ask for it, and nowhere else.


def test_validation_every_second_epoch_is_enough_for_cells_that_ask_there() -> None:
    yielded = [{"loss": 1.0}, {"loss": 0.9, "score": 0.5}, {"loss": 0.8}, {"score": 0.7}]
    outcome = run_here(yielded, (2, 4))
    assert (outcome.failure, len(outcome.history)) == (None, 4)
    # The 1-epoch cell lacks it, and costs the 4-epoch cell nothing.
    assert run_here(yielded, (1, 4)).failure is None


def test_a_largest_cell_without_the_metric_fails_and_the_smaller_ones_are_kept() -> None:
    outcome = run_here([{"score": 0.1}, {"score": 0.2}, {"loss": 0.3}], (2, 3))
    assert len(outcome.history) == 2
    assert outcome.failure is not None
    assert outcome.failure.reason == (
        "no metric 'score' at epoch 3, only at 1, 2; yield it there, or write epoch = \"best\" under [sweep]"
    )


def test_a_metric_that_never_comes_is_told_with_those_that_do() -> None:
    for budgets in ((), (1, 2)):
        outcome = run_here([{"loss": 0.3, "acc": 1.0}] * 2, budgets)
        assert outcome.history == []
        assert outcome.failure is not None
        assert (
            outcome.failure.reason == "no metric 'score' among acc, loss; write one of them as [sweep] metric"
        )


@pytest.mark.parametrize("value", ["0.5", None, 1j, object(), [[1.0]]])
def test_a_metric_that_is_no_number_is_told_by_its_type(value: object) -> None:
    for others in ({}, {"loss": 1.0}):
        outcome = run_here([{"score": value, **others}])
        assert outcome.failure is not None
        assert outcome.failure.reason == (
            f"metric 'score' is {type(value).__name__}, not a number; give float(...) of it,"
            " or NaN where there is none"
        )


def test_a_run_without_any_number_is_told_what_to_yield() -> None:
    outcome = run_here([{}])
    assert outcome.failure is not None
    assert outcome.failure.reason == "no metric 'score', nor any other number; yield {'score': ...}"


def test_a_cell_that_lacks_the_metric_is_absent_and_not_diverged(tmp_path: Path) -> None:
    def function(a: int, **_: Any) -> Epochs:
        return [{"loss": 1.0}, {"score": math.nan if a == 2 else 0.5}]

    sweep_here(tmp_path, 'budget = "epochs"\n[grid]\na = [1, 2]\nepochs = [1, 2]\n', function)
    with Store.read(tmp_path) as store:
        result = aggregate(store)
    assert (result.absent, result.diverged) == (2, 1)
    assert best_of(tmp_path) == (0.5, {"a": 1, "epochs": 2})


# Ending early is an outcome.


def test_a_run_that_ends_by_itself_is_no_failure_and_one_without_epochs_is() -> None:
    outcome = run_here([{"score": 0.1}, {"score": 0.2}], (2, 5))
    assert (outcome.failure, outcome.ended, len(outcome.history)) == (None, True, 2)
    assert not run_here([{"score": 0.1}, {"score": 0.2}], (2,)).ended
    empty = run_here([], (2, 5))
    assert empty.failure is not None
    assert not empty.ended


ROUNDS = {0.1: 74, 0.3: 20, 1.0: 100}


def boosted(eta: float, rounds: int, **_: Any) -> Epochs:
    """Early stopping as boosting does it: the better, the sooner it ends."""
    return [{"score": round(1 / (k + 1) + eta, 6)} for k in range(min(rounds, ROUNDS[eta]))]


def test_the_best_of_runs_that_ended_early_is_the_best(tmp_path: Path) -> None:
    text = 'mode = "min"\nbudget = "rounds"\n[grid]\neta = [0.1, 0.3, 1.0]\nrounds = [10, 100]\n'
    sweep_here(tmp_path, text, boosted)
    assert best_of(tmp_path) == (pytest.approx(1 / 74 + 0.1, abs=1e-6), {"eta": 0.1, "rounds": 100})
    rows = cells_of(tmp_path)
    assert [(row["rounds"], row["status"], row["epoch"]) for row in rows] == [
        ("10", "completed", "10"), ("100", "completed", "74"),
        ("10", "completed", "10"), ("100", "completed", "20"),
        ("10", "completed", "10"), ("100", "completed", "100"),
    ]  # fmt: skip
    with Store.read(tmp_path) as store:
        assert aggregate(store).stopped_early == 2


def test_what_ended_early_is_not_run_again_for_a_wider_budget(tmp_path: Path) -> None:
    asked: list[int] = []

    def function(eta: float, rounds: int) -> Epochs:
        asked.append(rounds)
        return boosted(eta, rounds)

    text = 'mode = "min"\nbudget = "rounds"\n[grid]\neta = [0.1, 1.0]\nrounds = '
    sweep_here(tmp_path, text + "[100]\n", function)
    sweep_here(tmp_path, text + "[100, 120]\n", function)
    assert asked == [100, 100, 120]  # only the one that had not ended by itself


def test_a_run_that_ends_before_what_it_once_completed_has_failed(tmp_path: Path) -> None:
    text = 'budget = "epochs"\n[grid]\na = [1]\nepochs = '
    sweep_here(tmp_path, text + "[3]\n", lambda **_: [{"score": 1.0}] * 3)
    sweep_here(tmp_path, text + "[3, 5]\n", lambda **_: [{"score": 1.0}] * 2)
    assert [row["status"] for row in cells_of(tmp_path)] == ["completed", "failed"]


# The shapes of what people return.


def shaped(**_: Any) -> Any:
    return given


given: Any = None


def give(value: Any, metric: str = "score") -> Outcome:
    """One run of a function that returns `value`."""
    global given
    given = value
    (outcome,) = run(
        Job(FunctionSettings(f"{__name__}:shaped"), (), metric, None, None),
        [Task("t", {}, None)],
        Surroundings,
    )
    return outcome


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5)])
def test_a_bare_number_is_the_metric(value: object) -> None:
    assert give(value).history == [{"score": 0.5}]
    assert give([0.1, value]).history == [{"score": 0.1}, {"score": 0.5}]


def test_a_mapping_of_equally_long_lists_is_one_mapping_an_epoch() -> None:
    outcome = give({"loss": [0.9, 0.5], "score": (0.1, 0.2)})
    assert outcome.history == [{"loss": 0.9, "score": 0.1}, {"loss": 0.5, "score": 0.2}]
    odd = give({"loss": [0.9, 0.5], "score": [0.1]}).failure
    assert odd is not None
    assert odd.reason == (
        "TypeError: lists of metrics must be equally long, one entry an epoch; 'loss' has 2, 'score' has 1"
    )
    # A list beside numbers is no column: it is left out, as anything that is no number.
    assert give({"score": 0.5, "per_class": [1, 2]}).history == [{"score": 0.5}]


@pytest.mark.parametrize("value", [None, "0.5", object()])
def test_what_can_be_no_metrics_fails_its_cell_and_is_named(value: object) -> None:
    failure = give(value).failure
    assert failure is not None
    assert failure.reason.startswith(
        f"TypeError: the train function gave {type(value).__name__}, not metrics"
    )


def configured(config: dict[str, Any]) -> dict[str, float]:
    return {"score": config["a"] * config["rate"]}


def test_a_function_of_one_mapping_is_called_with_it(tmp_path: Path) -> None:
    text = (
        f'[sweep]\nname = "t"\ntrain = "{__name__}:configured"\nmetric = "score"\ncall = "config"\n'
        "[fixed]\nrate = 10\n[grid]\na = [1, 2]\n"
    )
    with open_sweep(
        Spec.parse(text, "grid.toml"), tmp_path, Run(backend="sequential"), grid_file=HERE
    ) as sweep:
        sweep.run(Stop(), Watcher())
    assert [row["score"] for row in cells_of(tmp_path)] == ["10.0", "20.0"]


# What a trainer gets.


def test_lists_tables_and_null_reach_the_trainer_as_they_stand_in_the_grid(tmp_path: Path) -> None:
    got: list[Any] = []

    def function(a: Any, model: Any) -> Epochs:
        got.append((a, model))
        return [{"score": 1.0}]

    text = "[fixed]\nmodel = { widths = [1, [2]] }\n[grid]\na = [[6, [16]], { null = true }, { b = [1] }]\n"
    sweep_here(tmp_path, text, function)
    model = {"widths": [1, [2]]}
    assert got == [([6, [16]], model), (None, model), ({"b": [1]}, model)]
    assert [row["status"] for row in cells_of(tmp_path)] == ["completed"] * 3


# Which epoch speaks for a cell.


@pytest.mark.parametrize(
    ("epoch", "mode", "budget", "expected"),
    [
        ("last", "max", 2, 1), ("last", "max", 9, 4), ("last", "max", None, 4),
        ("best", "max", 2, 0), ("best", "max", 9, 3), ("best", "min", 9, 1), ("best", "min", None, 1),
    ],
)  # fmt: skip
def test_the_epoch_that_speaks_for_a_cell(epoch: str, mode: str, budget: int | None, expected: int) -> None:
    history = [{"score": s} for s in (0.5, 0.1, math.nan, 0.9)] + [{"loss": 1.0}]
    assert Rule("score", mode, epoch).epoch_of(history, budget, ended=True) == expected
    assert Rule("score", mode, epoch).epoch_of(history, 9, ended=False) is None


def test_the_best_epoch_up_to_each_budget_counts_if_the_grid_says_so(tmp_path: Path) -> None:
    def function(**_: Any) -> Epochs:
        return [{"score": s, "at": float(k)} for k, s in enumerate((0.5, 0.9, 0.2, 0.95, 0.1))]

    text = 'epoch = "best"\nbudget = "epochs"\n[grid]\na = [1]\nepochs = [1, 3, 5]\n'
    sweep_here(tmp_path, text, function)
    found = [(row["epoch"], row["score"], row["at"]) for row in cells_of(tmp_path)]
    assert found == [("1", "0.5", "0.0"), ("2", "0.9", "1.0"), ("4", "0.95", "3.0")]
    assert best_of(tmp_path) == (0.95, {"a": 1, "epochs": 5})


# The best is one number, however the sweep went.


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_best_is_finite_at_the_budgets_of_cells_and_counts_what_was_known(
    tmp_path: Path, mode: str
) -> None:
    sign = 1 if mode == "max" else -1

    def function(a: int, **_: Any) -> Epochs:
        # Better at an epoch that is no cell; and an infinity at one that is.
        at = {1: (0.99, 0.5), 2: (0.1, 0.905), 3: (0.1, math.inf), 4: (0.2, 0.845)}[a]
        return [{"score": sign * value} for value in at]

    text = f'mode = "{mode}"\nbudget = "epochs"\n[grid]\na = [{{}}]\nepochs = [2]\n'
    sweep_here(tmp_path, text.format("1, 2"), function)
    assert best_of(tmp_path)[0] == sign * 0.905
    head = f'[sweep]\nname = "t"\ntrain = "{__name__}:train"\nmetric = "score"\n'
    spec = Spec.parse(head + text.format("1, 2, 3, 4"), "grid.toml")
    with open_sweep(spec, tmp_path, Run(backend="sequential"), grid_file=HERE) as sweep:
        before = sweep.standings.best()
        sweep.run(Stop(), Watcher())
        after = sweep.standings.best()
    assert before is not None
    assert after is not None
    assert (before.value, after.value) == (sign * 0.905, sign * 0.905)
    assert best_of(tmp_path)[0] == sign * 0.905


@pytest.mark.parametrize(
    "values", [[1.7e308] * 3, [1.7976931348623157e308] * 7, [1.7e308, -1.7e308, 1.7e308]]
)
def test_the_mean_of_finite_values_is_finite(values: list[float]) -> None:
    assert min(values) <= mean(values) <= max(values)
    assert math.isfinite(mean(values))
    assert mean([*values, math.inf]) == math.inf


def test_the_best_of_replicates_is_that_of_their_mean(tmp_path: Path) -> None:
    scores = {1: (0.9, 0.1), 2: (0.6, 0.6)}
    sweep_here(
        tmp_path,
        "[grid]\na = [1, 2]\n[replicate]\nseed = [0, 1]\n",
        lambda a, seed: [{"score": scores[a][seed]}],
    )
    assert best_of(tmp_path) == (0.6, {"a": 2})


# A metric of which less is better must be said to be so.


@pytest.mark.parametrize(
    "metric",
    ["val_loss", "loss", "valLoss", "error", "test.error_rate", "RMSE", "rmse", "mean_absolute_error", "nll",
     "distance", "mean_distances", "perplexity", "cross-entropy", "KL"],
)  # fmt: skip
def test_a_metric_of_which_less_is_better_needs_its_mode(tmp_path: Path, metric: str) -> None:
    path = tmp_path / "grid.toml"
    text = f'[sweep]\nname = "t"\ntrain = "m:f"\nmetric = "{metric}"\n%s[grid]\na = [1]\n'
    path.write_text(text % "")
    with pytest.raises(InputError, match=r'less is usually better.*write mode = "min"'):
        Spec.read(path)
    Spec.parse(text % "", "a store that was begun before")
    for mode in ("max", "min"):
        path.write_text(text % f'mode = "{mode}"\n')
        assert Spec.read(path).mode == mode


@pytest.mark.parametrize(
    "metric",
    ["accuracy", "score", "f1", "auc", "neg_mean_squared_error", "r2", "lossless", "terror", "Blossom"],
)
def test_other_metrics_need_none(tmp_path: Path, metric: str) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(f'[sweep]\nname = "t"\ntrain = "m:f"\nmetric = "{metric}"\n[grid]\na = [1]\n')
    assert Spec.read(path).mode == "max"
