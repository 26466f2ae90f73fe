"""`gridrun.sweep`, `gridrun.load` and `Results`, in this process: what is taken, refused, returned."""

import asyncio
import doctest
import functools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gridrun
import gridrun.api
from gridrun.errors import InputError
from gridrun.execution import TooManyFailures
from gridrun.spec import Spec
from gridrun.store import Store


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def sweep(train: Any, grid: Any, **more: Any) -> gridrun.Results:
    """In this process, as it is quicker."""
    return gridrun.sweep(train, grid, **{"metric": "m", "backend": "sequential", "quiet": True, **more})


def double(x: float) -> float:
    return 2.0 * x


class Study:
    """Something of a user's that has a state, and no hash."""

    def __init__(self, k: int) -> None:
        self.k = k

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Study) and self.k == other.k

    def run(self, x: int) -> int:
        return self.k * x

    def __call__(self, x: int) -> int:
        return self.k * x


def add(x: int, k: int) -> int:
    return x + k


@pytest.mark.parametrize(
    ("train", "best", "directory"),
    [
        (double, 6.0, "double"),
        (lambda x: 3 * x, 9.0, "lambda"),
        (Study(2).run, 6.0, "Study.run"),
        (Study(2), 6.0, "Study"),
        (functools.partial(add, k=4), 7.0, "add"),
    ],
)
def test_whatever_can_be_called_is_swept_into_a_directory_of_its_name(
    train: Callable[..., Any], best: float, directory: str
) -> None:
    results = sweep(train, {"x": [1, 2, 3]})

    assert results.directory == Path("results", directory)
    assert results.best["m"].iloc[0] == best


def test_the_docstrings_say_what_happens() -> None:
    runner = doctest.DocTestRunner()
    for examples in sorted(doctest.DocTestFinder().find(gridrun.api), key=lambda found: found.lineno or 0):
        runner.run(examples)

    assert runner.summarize() == (0, 12)


def test_importing_gridrun_loads_nothing_and_offers_four_names() -> None:
    code = (
        "import sys; before = set(sys.modules); import gridrun\n"
        "loaded = {name for name in set(sys.modules) - before if name.partition('.')[0] != 'gridrun'}\n"
        "print(gridrun.__all__, set(gridrun.__all__) <= set(dir(gridrun)), 'pandas' in loaded)\n"
        "import gridrun.execution, gridrun.api; print(callable(gridrun.sweep), gridrun.sweep.__module__)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert told == "['GridrunError', 'Results', 'load', 'sweep'] True False\nTrue gridrun.api\n"
    with pytest.raises(AttributeError, match="has no attribute 'sweeps'"):
        gridrun.sweeps  # type: ignore[attr-defined]  # noqa: B018


def several(a: Any, b: Any, epochs: int, seed: int = 0) -> Iterator[dict[str, float]]:
    for epoch in range(epochs):
        yield {"m": len(a) + (b is None) + epoch / 10 + seed, "loss": 1.0}


def test_results_are_tables_that_keep_what_was_given() -> None:
    grid = {"a": [[1], [1, 2]], "b": [None, "x"], "epochs": (1, 3)}

    results = sweep(several, grid, replicate={"seed": range(2)}, budget="epochs")

    assert len(results.cells) == 16
    assert results.cells.columns.tolist() == [
        "cell",
        "a",
        "b",
        "epochs",
        "seed",
        "status",
        "epoch",
        "loss",
        "m",
    ]
    assert results.cells["a"].tolist() == [[1]] * 8 + [[1, 2]] * 8
    assert results.cells["b"].tolist()[0] is None
    assert results.cells["epochs"].dtype == np.int64
    assert results.best.iloc[0][["a", "b", "m", "m count", "epochs"]].tolist() == [[1, 2], None, 3.7, 2, 3]
    assert results.best_params == {"a": [1, 2], "b": None, "epochs": 3}
    assert next(iter(several(**results.best_params)))["m"] == 3.0
    assert results.history("best").to_dict("list") == {
        "epoch": [1, 2, 3],
        "m": pytest.approx([3.0, 3.1, 3.2]),
        "loss": [1.0] * 3,
    }
    assert results.history(results.cells["cell"][0])["m"].tolist() == [2.0]
    assert (results.complete, results.interrupted, len(results.failures)) == (True, False, 0)
    pd.testing.assert_frame_equal(gridrun.load(str(results.directory)).cells, results.cells)


def test_best_params_are_as_train_takes_them_whole_and_with_what_is_fixed() -> None:
    def train(size: int, share: float, kind: str) -> float:
        return size * share * len(kind)

    results = sweep(train, {"size": [1, 2.5, 2], "share": np.logspace(-2, 0, 3)}, fixed={"kind": "ab"})

    assert results.best_params == {"kind": "ab", "size": 2.5, "share": 1.0}
    # 2 and 2.5 share a column of floats, but 2 is 2.
    results = sweep(train, {"size": [1.5, 2], "share": [1]}, fixed={"kind": "a"}, out="other")
    assert [type(value) for value in results.best_params.values()] == [str, int, int]


def test_zips_exclusions_and_the_rule_of_selection_are_those_of_grid_toml() -> None:
    def train(lr: float, c: int, k: int, seed: int) -> float:
        return lr + c + k + seed / 10

    results = gridrun.sweep(
        train,
        {"lr": [1, 2, 3]},
        zip={"size": {"c": np.array([1, 2]), "k": (3, 5)}},
        exclude=[{"lr": 1, "c": [1, 2]}, {"lr": 3, "k": 5}],
        replicate={"seed": range(3)},
        select={"rule": "one_se", "prefer": ["lr"]},
        metric="value",
        quiet=True,
    )
    there = [(2, 1, 3), (2, 2, 5), (3, 1, 3)]
    found = results.cells[["lr", "c", "k", "seed"]].itertuples(index=False, name=None)
    assert list(found) == [(*each, seed) for each in there for seed in range(3)]
    assert results.summary["chosen"]["rule"] == "one_se"
    text = """
        [sweep]
        name = "train"
        train = "m:f"
        metric = "value"
        [grid]
        lr = [1, 2, 3]
        [zip.size]
        c = [1, 2]
        k = [3, 5]
        [[exclude]]
        lr = 1
        [[exclude]]
        lr = 3
        k = 5
        [replicate]
        seed = [0, 1, 2]
        [select]
        rule = "one_se"
        prefer = ["lr"]
    """
    with Store.read(results.directory) as store:
        spec, same = Spec.parse(store.grid_text(), "here"), Spec.parse(text, "there")
    assert (spec.grid.blocks, spec.choice) == (same.grid.blocks, same.choice)


def test_numpy_s_scalars_and_arrays_and_ranges_are_lists_of_plain_values() -> None:
    grid = {
        "a": np.array([1, 2]),
        "b": [np.float32(0.5), np.int64(3), np.bool_(True), np.str_("s")],
        "c": range(2),
        "d": pd.Series([0.1, 0.2]),
        "e": {"from": 1, "to": 100, "num": 3, "scale": "log"},
    }

    results = sweep(lambda **params: len(params), grid)

    with Store.read(results.directory) as store:
        text = store.grid_text()
    for line in ('"a" = [1, 2]', '"b" = [0.5, 3, true, "s"]', '"c" = [0, 1]', '"d" = [0.1, 0.2]'):
        assert line in text
    assert sorted(set(results.cells["e"])) == [1, 10, 100]


def test_any_text_is_kept_as_it_is() -> None:
    values = ['a"b\\c', "\x7f\x00\t\n", "\u2028 \U0001f600", "true", "[1]", ""]
    seen = []

    results = sweep(lambda **params: seen.append(params["a b"]) or 1.0, {"a b": values}, out="x")

    assert sorted(seen) == sorted(values)
    assert results.cells["a b"].tolist() == values


class Unspeakable:
    def __repr__(self) -> str:
        return "<unspeakable>"


REFUSED: dict[str, tuple[Any, dict[str, Any]]] = {
    "grid['x'] must be a list, found 3; write [3]": ({"x": 3}, {}),
    "grid['x'] must hold a value, found []; write [1, 2], or fixed={'x': 1}": ({"x": []}, {}),
    "grid needs an axis, found none; write learning_rate = [0.01, 0.1]": ({}, {}),
    "grid['x'] holds the same value twice, found 1 and 1.0; write it once": ({"x": [1, 1.0]}, {}),
    "grid['x'] must be made of numbers, strings, True, False, None, lists and dicts of them, found"
    " <unspeakable>; write a string, and look up in the function what it stands for": (
        {"x": [Unspeakable()]},
        {},
    ),
    "grid['x'] is a range and needs num, found from, to; write { 'from': 1e-4, 'to': 1e-1, 'num': 4,"
    " 'scale': \"log\" }": ({"x": {"from": 1, "to": 2}}, {}),
    "grid['x'] holds {'null': True}, which stands for None; write None": ({"x": [{"null": True}]}, {}),
    "grid must be a dict, found 5; write {'lr': [0.1, 0.01]}": (5, {}),
    "a name in grid must be a string, found 3; write '3'": ({3: [1]}, {}),
    "x stands in two tables, found fixed and grid; write it once": ({"x": [1]}, {"fixed": {"x": 2}}),
    "train 'lambda': missing a required argument: 'x'; it takes x": ({"y": [1]}, {}),
    'mode must be "max" or "min", found \'best\'; write "max" if a larger metric is better': (
        {"x": [1]},
        {"mode": "best"},
    ),
    "budget must name an axis of grid, found 'z'; write one of x, or leave it out": (
        {"x": [1]},
        {"budget": "z"},
    ),
    'call must be "keywords" or "config", found \'args\'; write "config" for a function of one mapping': (
        {"x": [1]},
        {"call": "args"},
    ),
    "no such backend, found 'x'; write one of loky, sequential, dask, ray": ({"x": [1]}, {"backend": "x"}),
    "timeout_s must be a number of seconds above 0, found -1; write timeout_s = 600": (
        {"x": [1]},
        {"timeout_s": -1},
    ),
    "zip['size'] must hold lists of one length, found c has 2, k has 1; write as many values for each": (
        {"x": [1]},
        {"zip": {"size": {"c": [1, 2], "k": [3]}}},
    ),
    "zip['size'] must be a dict of lists of one length, found 3; write {'lr': [0.1, 0.01], 'momentum':"
    " [0.0, 0.9]}": ({"x": [1]}, {"zip": {"size": 3}}),
    "a name in zip must be a string, found 3; write '3'": ({"x": [1]}, {"zip": {3: {}}}),
    "exclude must be a list of dicts, found {'x': 1}; write [{'lr': 0.1}]": (
        {"x": [1]},
        {"exclude": {"x": 1}},
    ),
    "exclude['x'] has no value 7, found 7; write one of 1": ({"x": [1]}, {"exclude": [{"x": 7}]}),
    'select[\'rule\'] must be "best" or "one_se", found \'x\'; write rule = "one_se"': (
        {"x": [1]},
        {"select": {"rule": "x"}},
    ),
    "metric says 'loss', of which less is usually better, and mode is missing, found 'loss'; write"
    ' mode = "min", or mode = "max" if more is better': ({"x": [1]}, {"metric": "loss"}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_bad_argument_is_one_line_in_the_words_of_the_call_and_leaves_nothing(
    message: str, tmp_path: Path
) -> None:
    grid, more = REFUSED[message]

    with pytest.raises(InputError) as refused:
        sweep(lambda x: x, grid, **more)

    assert str(refused.value) == f"gridrun.sweep: {message}"
    assert list(tmp_path.iterdir()) == []


async def wait(x: int) -> int:
    await asyncio.sleep(0)
    return x


def nothing(x: int) -> None:
    x + 1


class Estimator:
    def fit(self) -> None: ...
    def get_params(self) -> None: ...


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (Estimator(), "Estimator is an estimator and needs data; write data=(X, y)"),
        ("module:train", "train must be a function, found str; pass one itself"),
        (Study, "Study is a class; write a function that makes one"),
        (wait, "wait is async; write a plain function"),
        (nothing, "nothing returns nothing; yield one mapping"),
        (functools.partial(nothing), "nothing returns nothing; yield one mapping"),
    ],
)
def test_what_can_be_no_trainer_is_refused_before_the_first_cell(train: Any, message: str) -> None:
    with pytest.raises(InputError) as refused:
        sweep(train, {"x": [1]})

    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_closure_over_what_has_no_content_needs_a_version() -> None:
    lock, runs = threading.Lock(), []

    def train(x: int) -> int:
        with lock:
            runs.append(x)
        return x

    with pytest.raises(InputError, match="lock holds a lock, which can't be pickled; make that within train"):
        sweep(train, {"x": [1]})
    train.version = "1"  # type: ignore[attr-defined]
    assert sweep(train, {"x": [1]}).complete
    assert sweep(train, {"x": [1]}).complete
    assert runs == [1]
    train.version = "2"  # type: ignore[attr-defined]
    assert sweep(train, {"x": [1]}).complete
    assert runs == [1, 1]
    with pytest.raises(InputError, match=r"train can't be sent to a worker: TypeError: .* or write backend="):
        sweep(train, {"x": [2]}, backend="loky")


def test_an_edited_closure_runs_in_the_same_process_too() -> None:
    def make(k: int) -> Callable[[int], int]:
        return lambda x: k * x

    assert sweep(make(2), {"x": [1, 2]}).best["m"].tolist() == [4.0, 2.0]
    assert sweep(make(3), {"x": [1, 2]}).best["m"].tolist() == [6.0, 3.0]


def test_a_cell_that_fails_is_listed_and_run_again_when_asked() -> None:
    broken = [True]

    def train(x: int) -> int:
        if x == 2 and broken[0]:
            raise ValueError("no luck")
        return x

    train.version = "1"  # type: ignore[attr-defined]
    results = sweep(train, {"x": [1, 2, 3]})

    assert results.failures["x"].tolist() == [2]
    assert results.failures["reason"][0].startswith("ValueError: no luck (test_api.py:")
    assert repr(results) == (
        "Results: train, 2 of 3 cells completed, 1 failed; best m 3 at x 3 (results/train)"
    )
    assert (results.complete, results.interrupted) == (True, False)
    broken[0] = False
    assert len(sweep(train, {"x": [1, 2, 3]}).failures) == 1
    assert sweep(train, {"x": [1, 2, 3]}, retry_failed=True).failures.empty


def test_if_everything_fails_that_is_an_error_with_the_reason() -> None:
    def train(x: int) -> int:
        raise ValueError("no luck", x)

    with pytest.raises(
        TooManyFailures, match=r"no cell has completed, 2 failed: ValueError: \('no luck', 1\) \(test_api"
    ):
        sweep(train, {"x": [1, 2]})
    with pytest.raises(
        TooManyFailures, match=r"the first \d+ .* failed alike: .*; go on with max_failures=18$"
    ):
        sweep(train, {"x": range(20)})
    results = gridrun.load("results/train")
    assert len(results.failures) >= 10
    with pytest.raises(gridrun.GridrunError, match=r"^results/train: no completed cell yet \(\d+ failed\)"):
        _ = results.best_params


def test_what_diverged_everywhere_has_no_best() -> None:
    results = sweep(lambda x: x * float("nan"), {"x": [1, 2]})

    with pytest.raises(gridrun.GridrunError, match="every completed cell diverged in m"):
        _ = results.best_params
    assert repr(results) == "Results: lambda, 2 of 2 cells completed (results/lambda)"


def test_results_show_themselves_short_in_a_notebook_and_write_the_report() -> None:
    results = sweep(double, {"x": range(20)}, name="a-name")

    shown = results._repr_html_()
    assert shown.startswith("<p>Results: a-name, 20 of 20 cells completed; best m 38 at x 19")
    assert shown.count("<tr") == 1 + 5
    assert results.report() == Path("results/a-name/report/report.html")
    assert results.report().is_file()


def test_progress_goes_to_stderr_unless_it_is_to_be_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    sweep(double, {"x": [1, 2]}, quiet=False)
    assert capfd.readouterr() == ("", "double: 2 cells, 0 cached, 2 new, 2 trajectories, 1 worker\n")
    sweep(double, {"x": [1, 2]})
    assert capfd.readouterr() == ("", "")


def test_in_a_thread_it_works_and_touches_no_signal() -> None:
    found: list[gridrun.Results] = []
    thread = threading.Thread(target=lambda: found.append(sweep(lambda x: x, {"x": [1, 2]}, backend="loky")))
    thread.start()
    thread.join()

    assert found[0].best_params == {"x": 2}


def test_a_directory_without_a_sweep_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no sweep.db"):
        gridrun.load(tmp_path)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="is no sweep directory"):
        sweep(double, {"x": [1]}, out=tmp_path)


def test_results_have_in_python_what_the_report_says_of_each_axis() -> None:
    def train(lr: float, norm: str | None, epochs: int, seed: int) -> Iterator[dict[str, float]]:
        for epoch in range(epochs):
            yield {"m": lr + (norm == "batch") + 0.25 * epoch + 0.5 * seed}

    results = sweep(
        train,
        {"lr": [1.0, 2.0], "norm": [None, "batch"], "epochs": [1, 3]},
        replicate={"seed": [0, 1]},
        budget="epochs",
        select={"rule": "one_se", "prefer": ["lr"]},
    )
    assert results.isolation.values.tolist() == [
        ["lr", 1.0, 2.75], ["lr", 2.0, 3.75], ["norm", None, 2.75], ["norm", "batch", 3.75],
        ["epochs", 1, 3.25], ["epochs", 3, 3.75],
    ]  # fmt: skip
    assert results.means["mean"].tolist() == [2.25, 3.25, 2.25, 3.25, 2.25, 2.75]
    assert results.means["count"].tolist() == [2, 2, 2, 2, 4, 4]
    table = results.sensitivity
    assert table["metric"].tolist() == [2.75, 3.75, 2.75, 3.75, 3.25, 3.75]
    assert table["best"].tolist() == [False, True] * 3
    assert (table["count"] == 2).all()
    assert table["std"].tolist() == pytest.approx([np.std([0, 0.5], ddof=1)] * 6)
    assert results.chosen_params == {"lr": 2.0, "norm": "batch", "epochs": 3}
    assert list(results.front.columns) == ["lr", "norm", "epochs", "m", "seconds"]
    assert results.front["m"].iloc[-1] == 3.75
    assert results.front["seconds"].is_monotonic_increasing


def test_of_what_has_no_best_there_is_no_front_and_nothing_is_chosen() -> None:
    results = sweep(lambda x: x * float("nan"), {"x": [1, 2]})
    assert len(results.front) == len(results.sensitivity) == 0
    assert results.isolation["best"].isna().all()
    with pytest.raises(gridrun.GridrunError, match="every completed cell diverged"):
        results.chosen_params  # noqa: B018


def test_a_range_past_every_grid_is_refused_before_a_list_of_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a range of more than 1,000,000 values, found 0 to 999999999999"):
        sweep(lambda x: x, {"x": range(10**12)}, metric="m", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
