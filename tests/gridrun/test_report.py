"""What a report writes: whole or not at all, the same bytes again, and nobody's text as code."""

import base64
import csv
import gzip
import html
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs
from rich.console import Console

from gridrun.cell import Identity, Params, encode_value
from gridrun.errors import EnvironmentFault, InputError
from gridrun.grid import Axis
from gridrun.outcome import Failure, Outcome
from gridrun.report import write_report
from gridrun.report.captions import clip, missing, show, show_metrics, state
from gridrun.report.csv import texts_of
from gridrun.report.pictures.curves import WIDTH, fold
from gridrun.report.tables import leaderboard, note_on, rows_of
from gridrun.report.views.scales import clipped, scale, thin
from gridrun.report.views.surfaces import lay_out, surfaces
from gridrun.results.aggregate import Aggregate, aggregate
from gridrun.results.curves import Curve
from gridrun.spec import Spec
from gridrun.store import Store

STUDY = (Path(__file__).parents[2] / "grid.toml").read_text(encoding="utf-8")
HEAD = '[sweep]\nname = "t"\ntrain = "no_such_module:train"\nmetric = "score"\n'
Score = Callable[[Params, int], float]


def accuracy(params: Params, epoch: int) -> float:
    """A hill over learning rate and batch size that grows with epochs; nothing at one corner."""
    rate, batch = float(str(params["learning_rate"])), float(str(params["batch_size"]))
    if (rate, batch) == (0.1, 1):
        return math.nan
    return math.exp(-((math.log10(rate / batch) + 2.5) ** 2)) * (1 - 0.3**epoch)


def fill(directory: Path, text: str, score: Score, *, backwards: bool = False, fail: bool = False) -> None:
    spec = Spec.parse(text, "grid.toml")
    grid = spec.grid
    identity = Identity(spec.trainer.name, "1", ((None, grid.trajectory_count),))
    failure = Failure("ValueError: <b>no</b>", "<script>alert(1)</script>\x1b[31m") if fail else None
    outcomes = []
    for index, name in enumerate(grid.trajectory_ids(identity)):
        params = grid.trajectory_params(index)
        epochs = range(1, max(grid.budgets, default=1) + 1)
        history = [{spec.metric: score(params, k), "train_loss": 1 / k} for k in epochs]
        if fail and index == 0:
            outcomes.append(Outcome(name, params, [], failure, 0.1))
        else:
            outcomes.append(Outcome(name, params, history, None, 0.1))
    with Store.write(directory) as store:
        store.begin(text, identity, {"split": "test", "conv_channels": (6, 16)}, {})
        for outcome in reversed(outcomes) if backwards else outcomes:
            store.save([outcome])


def record(directory: Path, text: str, history: Callable[[Params], list[dict[str, float]] | None]) -> None:
    """Record outcomes: None is pending, a history shorter than the budget has failed."""
    spec = Spec.parse(text, "grid.toml")
    grid = spec.grid
    identity = Identity(spec.trainer.name, "1", ((None, grid.trajectory_count),))
    outcomes = []
    for index, name in enumerate(grid.trajectory_ids(identity)):
        params = grid.trajectory_params(index)
        if (found := history(params)) is not None:
            failure = Failure("ValueError: no") if len(found) < max(grid.budgets, default=1) else None
            outcomes.append(Outcome(name, params, found, failure, 0.1))
    with Store.write(directory) as store:
        store.begin(text, identity, {}, {})
        store.save(outcomes)


def read(directory: Path) -> Aggregate:
    with Store.read(directory) as store:
        return aggregate(store)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("study")
    fill(directory, STUDY, accuracy)
    write_report(directory)
    return directory / "report"


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_the_study_gives_every_file(study: Path) -> None:
    assert sorted(path.name for path in study.iterdir()) == [
        "best.csv", "cells.csv", "curves.png", "effects.csv", "effects.png", "history.csv", "isolation.csv",
        "isolation.png",
        *(f"pairs-{pair}.png" for pair in (
            "epochs-batch_size", "learning_rate-batch_size", "learning_rate-epochs"
        )),
        "report.html", "sensitivity.csv", "summary.json",
        *sorted(f"surface-dropout_rate-{value}.png" for value in (0.2, 0.3, 0.4, 0.6)),
        "table.md", "table.png", "table.tex", "timings.csv",
    ]  # fmt: skip
    for picture in study.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert b"Software" not in picture.read_bytes()


def test_best_csv_of_the_study_has_its_columns_best_first(study: Path) -> None:
    header, *body = rows(study / "best.csv")
    titles = ["Learning Rate", "Dropout Rate", "Batch Size", "Accuracy"]
    assert header == [*titles, "epochs", "cell", "failed"]
    assert len(body) == 80
    found = [float(row[3]) for row in body]
    diverged = [row for row in body if row[3] == "nan"]
    assert body[-len(diverged) :] == diverged
    assert found[: -len(diverged)] == sorted(found[: -len(diverged)], reverse=True)
    assert len(diverged) == 4


def test_cells_csv_reads_back_to_the_same_numbers(study: Path) -> None:
    header, *body = rows(study / "cells.csv")
    names = [
        "cell",
        "learning_rate",
        "dropout_rate",
        "epochs",
        "batch_size",
        "status",
        "epoch",
        "accuracy",
        "train_loss",
    ]
    assert header == names
    assert len(body) == 160
    for row in body:
        params = dict(zip(names, row, strict=True))
        expected = accuracy({k: float(params[k]) for k in names[1:5]}, int(params["epochs"]))
        assert params["accuracy"] == repr(expected)


def test_best_csv_joins_to_cells_csv(study: Path) -> None:
    best, cells = pd.read_csv(study / "best.csv"), pd.read_csv(study / "cells.csv")
    joined = best.merge(cells, on="cell", how="left", suffixes=(" (best)", ""), validate="one_to_one")
    assert joined["status"].eq("completed").all()
    for title, name in (("Learning Rate", "learning_rate"), ("Accuracy", "accuracy")):
        pd.testing.assert_series_equal(joined[title], joined[name], check_names=False)
    assert joined["epochs (best)"].tolist() == joined["epochs"].tolist()


def test_history_csv_has_every_epoch_of_every_trajectory_in_grid_order(study: Path) -> None:
    header, *body = rows(study / "history.csv")
    assert header == [
        "trajectory", "learning_rate", "dropout_rate", "batch_size", "epoch", "accuracy", "train_loss",
    ]  # fmt: skip
    grid = Spec.parse(STUDY, "x").grid
    names = list(grid.trajectory_ids(Identity("cnn_core:train", "1", ((None, 80),))))
    expected = []
    for index, name in enumerate(names):
        params = grid.trajectory_params(index)
        axes = [str(params[axis]) for axis in header[1:4]]
        expected += [[name, *axes, str(k), repr(accuracy(params, k)), repr(1 / k)] for k in (1, 2, 3, 4, 5)]
    assert body == expected


@pytest.mark.slow
def test_every_file_is_the_same_in_another_process_and_another_order_of_arrival(
    study: Path, tmp_path: Path
) -> None:
    fill(tmp_path, STUDY, accuracy, backwards=True)
    code = "import sys; from pathlib import Path; from gridrun.report import write_report;"
    code += "write_report(Path(sys.argv[1])); assert 'cnn_core' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    for path in study.iterdir():
        if path.name == "timings.csv":
            assert path.read_bytes() != (tmp_path / "report" / path.name).read_bytes()
            continue
        if path.name == "report.html":  # its last panel says when the sweep ran, and what runs took
            assert without_times(path) == without_times(tmp_path / "report" / path.name)
            continue
        assert path.read_bytes() == (tmp_path / "report" / path.name).read_bytes(), path.name


def without_times(path: Path) -> tuple[str, dict[str, Any]]:
    """A page and its data without the moments of its sessions and without the sweep's directory."""
    page = path.read_text(encoding="utf-8")
    data = json.loads(unsqueeze(page, "data"))
    del data["panels"]["all_cells"]["directories"]
    page = re.sub(r'(id="data">)[^<]*', r"\1", page)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", "", page), data


def unsqueeze(page: str, name: str) -> str:
    """A part of the page as its script unpacks it."""
    (packed,) = re.findall(rf'<script type="text/plain" id="{name}">(.*?)</script>', page)
    return gzip.decompress(base64.b64decode(packed)).decode()


def test_an_old_report_is_replaced_whole_and_leftovers_are_cleared(tmp_path: Path) -> None:
    fill(tmp_path, HEAD + "[grid]\na = [1, 2]\n", lambda p, _: float(str(p["a"])))
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "surface-old.png").write_text("old")
    (tmp_path / f"report.tmp-{_dead_process()}").mkdir()
    write_report(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("report.")]
    assert not (tmp_path / "report" / "surface-old.png").exists()
    assert (tmp_path / "report" / "surface-a.png").exists()


def test_a_kill_between_the_two_renames_leaves_the_old_report_to_be_found(tmp_path: Path) -> None:
    fill(tmp_path, HEAD + "[grid]\na = [1, 2]\n", lambda p, _: float(str(p["a"])))
    left = tmp_path / f"report.old-{_dead_process()}"
    left.mkdir()
    (left / "note").write_text("old")
    write_report(tmp_path)
    assert not left.exists()
    assert (tmp_path / "report" / "best.csv").exists()


def _dead_process() -> int:
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    return int(done.stdout)


def test_a_disk_that_refuses_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, HEAD + "[grid]\na = [1, 2]\n", lambda p, _: float(str(p["a"])))
    write_report(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device", "report.html")

    monkeypatch.setattr("gridrun.report.write_page", refuse)
    with pytest.raises(EnvironmentFault, match="No space left on device") as caught:
        write_report(tmp_path)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()} == before
    assert sorted(path.name for path in tmp_path.glob("report*")) == ["report"]


def written(directory: Path) -> set[str]:
    return {path.name for path in (directory / "report").iterdir()}


def test_with_no_completed_cell_the_report_says_what_there_is(tmp_path: Path) -> None:
    fill(tmp_path, HEAD + "[grid]\na = [1]\n", lambda *_: 0.0, fail=True)
    result = write_report(tmp_path)
    assert missing(result) == "no completed cell yet (1 failed); nothing is ranked"
    assert written(tmp_path) == {
        "cells.csv", "best.csv", "history.csv", "timings.csv", "effects.csv", "isolation.csv", "summary.json",
        "report.html", "sensitivity.csv",
    }  # fmt: skip
    assert [row[1:] for row in rows(tmp_path / "report" / "cells.csv")] == [
        ["a", "status", "epoch"], ["1", "failed", ""]
    ]  # fmt: skip
    assert rows(tmp_path / "report" / "best.csv") == [["A", "Score", "cell", "failed"]]
    assert rows(tmp_path / "report" / "history.csv") == [["trajectory", "a", "epoch"]]
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "no completed cell yet (1 failed); nothing is ranked." in page
    assert "ValueError: &lt;b&gt;no&lt;/b&gt;" in page


def test_with_no_metric_the_report_says_which_there_are(tmp_path: Path) -> None:
    record(tmp_path, HEAD + "[grid]\na = [1, 2]\n", lambda _: [{"acc": 0.5}, {"acc": 0.75, "loss": 1.0}])
    result = write_report(tmp_path)
    told = "no completed cell has the metric score, found acc, loss; write one of these as [sweep] metric"
    assert missing(result) == told
    assert told in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert [row[2:] for row in rows(tmp_path / "report" / "cells.csv")] == [
        ["status", "epoch", "acc", "loss"], *[["completed", "2", "0.75", "1.0"]] * 2
    ]  # fmt: skip
    assert [row[2:] for row in rows(tmp_path / "report" / "history.csv")] == [
        ["epoch", "acc", "loss"], *[["1", "0.5", ""], ["2", "0.75", "1.0"]] * 2
    ]  # fmt: skip


def test_a_metric_that_a_cell_lacks_is_empty_and_one_that_diverged_is_nan(tmp_path: Path) -> None:
    histories = {1: [{"score": math.nan, "x": 1.0}], 2: [{"x": 1.0}], 3: [{"score": 0.5}]}
    record(tmp_path, HEAD + "[grid]\na = [1, 2, 3]\n", lambda p: histories[p["a"]])  # type: ignore[index]
    result = write_report(tmp_path)
    assert [row[4:] for row in rows(tmp_path / "report" / "cells.csv")] == [
        ["score", "x"], ["nan", "1.0"], ["", "1.0"], ["0.5", ""]
    ]  # fmt: skip
    assert [row[:2] for row in rows(tmp_path / "report" / "best.csv")] == [
        ["A", "Score"], ["3", "0.5"], ["1", "nan"]
    ]  # fmt: skip
    assert state(result) == "3 of 3 cells completed, 1 without score, 1 diverged"


def test_timings_csv_says_for_each_cell_how_long_when_and_where(tmp_path: Path) -> None:
    text = HEAD + 'budget = "epochs"\n[grid]\nepochs = [3, 1]\na = ["=1", "x", "y"]\n'
    grid = Spec.parse(text, "x").grid
    identity = Identity("no_such_module:train", "1", ((None, 3),))
    first, second, _ = list(grid.trajectory_ids(identity))
    history = [{"score": 0.5}] * 3
    with Store.write(tmp_path) as store:
        store.begin(text, identity, {}, {})
        store.save([
            Outcome(first, {}, history, None, 9.0, (1.0, 2.5, 4.0), False, (), "=here 7"),
            Outcome(second, {}, history[:1], Failure("no"), 2.0, (0.75,), False, (), "there 8"),
        ])  # fmt: skip
        (session,) = store.sessions()
    write_report(tmp_path)
    header, *body = rows(tmp_path / "report" / "timings.csv")
    assert header == ["cell", "seconds", "finished_at", "place", "session started", "front"]
    assert [row[0] for row in body] == [row[0] for row in rows(tmp_path / "report" / "cells.csv")[1:]]
    assert [(row[1], row[3]) for row in body] == [
        ("4.0", "'=here 7"), ("", ""), ("", ""), ("1.0", "'=here 7"), ("2.0", "there 8"), ("", ""),
    ]  # fmt: skip
    for row in body:
        assert bool(row[2]) == bool(row[1])
        assert row[4] == (session.started_at if row[1] else "")


TEXTS = st.text(st.sampled_from("=+-@;,\t\r\n'\"1x [tru\uff1d\x1b"), max_size=6) | st.sampled_from(
    ["true", "null", "1", "-1", "1e5", "nan", "[1]", "{}", "=1", "'=1", "''=1", '"1"', "a;=b", "a\n@b", ""]
)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
ONES = (1, True, "1", "true", (1, 0), (True, False), ("1",), None, "null", 0.5, "0.5", {"a": 1}, {"a": True})


@settings(max_examples=300, deadline=None)
@given(st.lists(VALUES | st.sampled_from(ONES), min_size=1, max_size=12, unique_by=encode_value))
@example(list(ONES))
@example(["=1", "'=1", "''=1", "a;=1", "a;'=1", "\n=1", "\n'=1"])
def test_every_value_of_an_axis_is_told_from_every_other_and_none_is_a_formula(values: list[Any]) -> None:
    texts = texts_of(Axis("a", tuple(values)))
    assert len(set(texts)) == len(values)
    for value, text in zip(values, texts, strict=True):
        if isinstance(value, bool) or not isinstance(value, int | float):
            assert not text.startswith(tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"))
            assert not re.search(r"[;\t\r\n]\"*[=+\-@\uff1d\uff0b\uff0d\uff20]", text)
    if not all(isinstance(value, str) for value in values):
        for value, text in zip(values, texts, strict=True):
            if not isinstance(value, str):
                assert json.loads(text) == json.loads(encode_value(value)) or text.count("'")
            elif not text.startswith(("'", '"')):
                for read_as in (float, json.loads):
                    with pytest.raises(ValueError, match=r"."):
                        read_as(text)


def test_values_that_python_holds_equal_keep_their_own_texts_in_every_file(tmp_path: Path) -> None:
    axes = 'a = [[1, 0], [true, false]]\nb = [true, 1, "1", "x\\ry"]\n'
    record(tmp_path, HEAD + "[grid]\n" + axes, lambda p: [{"score": float(len(str(p)))}])
    result = write_report(tmp_path)
    expected = [[a, b] for a in ("[1,0]", "[true,false]") for b in ("true", "1", '"1"', "x\ry")]
    for name, place in (("cells", 1), ("history", 1), ("best", 0)):
        found = [row[place : place + 2] for row in rows(tmp_path / "report" / f"{name}.csv")[1:]]
        assert (found if name != "best" else sorted(found)) == (
            expected if name != "best" else sorted(expected)
        )
    shown = {row[2] for row in rows_of(result, 8)[1]}
    assert shown == {"true", "1", '"1"', "x\\ry"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1", '"1"'), (1, "1"), ("true", '"true"'), (True, "true"), ("adam", "adam"), ("", '""'),
        (None, "null"), (("1", 1, "a, b"), '["1", 1, "a, b"]'),
        ({"lr": 0.5, "kind": "x"}, "{lr = 0.5, kind = x}"),
        ("\x1b[31m", "\\x1b[31m"), (" 1", '" 1"'), (0.123456789, "0.123457"),
    ],
)  # fmt: skip
def test_values_are_shown_so_that_texts_are_no_numbers(value: object, text: str) -> None:
    assert show(value) == text


FAILING = HEAD + 'budget = "epochs"\n[grid]\na = [1, 2, 3]\nepochs = [1, 2]\n'


def test_a_combination_with_a_failed_replicate_is_marked_wherever_it_is_ranked(tmp_path: Path) -> None:
    lengths = {(1, 0): 0, (2, 1): 1}  # the others complete both epochs

    def history(params: Params) -> list[dict[str, float]]:
        key = (params["a"], params["seed"])
        return [{"score": float(str(params["a"]))}] * lengths.get(key, 2)  # type: ignore[arg-type]

    record(tmp_path, FAILING + "[replicate]\nseed = [0, 1, 2]\n", history)
    result = write_report(tmp_path)
    note = "(k of 3): the mean of k seeds, as the others failed;"
    note += " (k failed): k seeds failed on the way to a larger epochs"
    told = ["3.0000 ± 0", "2.0000 ± 0 (1 failed)", "1.0000 ± 0 (2 of 3)"]
    assert [row[2] for row in rows_of(result, 3)[1]] == told
    console = Console(width=100)
    with console.capture() as captured:
        console.print(leaderboard(result, 3))
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    for words in (*told, note):
        assert words in " ".join(captured.get().split())
        assert words in page
    assert [row[-1] for row in rows(tmp_path / "report" / "best.csv")] == ["failed", "0", "1", "1"]
    assert note_on(result, 1) == ""


def test_a_run_that_failed_beyond_its_best_epoch_is_marked_without_replicates_too(tmp_path: Path) -> None:
    record(tmp_path, FAILING, lambda p: [{"score": 0.5}] * (1 if p["a"] == 2 else 2))
    result = read(tmp_path)
    assert [row[2] for row in rows_of(result, 3)[1]] == ["0.5000", "0.5000 (failed later)", "0.5000"]
    assert note_on(result, 3) == "(failed later): it failed on the way to a larger epochs"


NARROW = HEAD + (
    "[grid]\nthe_rate_of_the_first_of_two_optimisers = [1, 2]\n"
    'the_rate_of_the_other_of_two_optimisers = ["one long value, of which what tells it apart is its end, 1",'
    ' "one long value, of which what tells it apart is its end, 2"]\n'
)


@pytest.mark.parametrize("width", [40, 80, 300])
def test_the_leaderboard_breaks_no_value_and_keeps_long_ones_apart(tmp_path: Path, width: int) -> None:
    def history(params: Params) -> list[dict[str, float]]:
        first, other = params.values()
        return [{"score": -1234567.0 - float(str(first)) / 100 - 1000 * str(other).endswith("2")}]

    record(tmp_path, NARROW, history)
    result = read(tmp_path)
    console = Console(width=width)
    with console.capture() as captured:
        console.print(leaderboard(result, 4, width))
    lines = captured.get().splitlines()
    assert all(len(line) <= width for line in lines)
    assert len(lines) < 40  # of 40 columns too: eight a combination
    words = " ".join(captured.get().split())
    for metric in ("-1234567.01", "-1234567.02", "-1235567.01", "-1235567.02"):
        assert metric in words
    told = "".join(captured.get().split())
    assert len({told.count(f"itsend,{end}") for end in "12"} | {2}) == 1


def test_what_is_cut_is_cut_in_the_middle() -> None:
    one, other = (clip("a_long_name_" + "x" * 50 + end, 20) for end in ("_1", "_2"))
    assert one != other
    assert (len(one), one[:4], one[-2:]) == (20, "a_lo", "_1")
    assert clip("short", 5) == "short"


def test_the_leaderboard_has_values_as_they_are_written(tmp_path: Path) -> None:
    fill(tmp_path, HEAD + "[grid]\na = [1, 0.3]\nb = [1, 2]\n", lambda p, _: float(str(p["a"])))
    assert [row[1:3] for row in rows_of(read(tmp_path), 4)[1]] == [
        ["1", "1"], ["1", "2"], ["0.3", "1"], ["0.3", "2"],
    ]  # fmt: skip


def test_metrics_that_differ_never_read_alike() -> None:
    assert show_metrics([0.98123, 0.98121, math.nan]) == ["0.98123", "0.98121", "diverged"]
    assert show_metrics([0.98, 0.98, 0.97]) == ["0.9800", "0.9800", "0.9700"]
    assert show_metrics([-1234567.0, -1235567.0]) == ["-1234567", "-1235567"]
    assert show_metrics([0.97913, 0.979128]) == ["0.979130", "0.979128"]
    assert show_metrics([1e-9, 1.00000001e-9, math.inf]) == ["1e-09", "1.00000001e-09", "inf"]


def test_pending_replicates_are_no_failed_ones(tmp_path: Path) -> None:
    text = HEAD + "[grid]\na = [1]\n[replicate]\nseed = [0, 1]\n"
    record(tmp_path, text, lambda p: [{"score": 0.5}] if p["seed"] else None)
    result = read(tmp_path)
    assert rows_of(result, 1)[1] == [["1", "1", "0.5000 (1 of 2)"]]
    assert note_on(result, 1) == "(k of 2): the mean of k seeds, as the others are pending"


HOSTILE = (
    HEAD.replace('"score"', '"<img src=x onerror=alert(1)>$x$"')
    + "[grid]\n"
    + 'a = ["=HYPERLINK(1)", "</script><script>alert(1)</script>", "+1", "-1", "@x",'
    ' "\\tx", "../../x", "\\u001b[31m$y$", "[red]"]\n' + "b = [-1, 2]\n[fixed]\nc = '<b>c</b>'\n"
)


def test_text_of_strangers_is_never_code(tmp_path: Path) -> None:
    fill(tmp_path, HOSTILE, lambda p, _: float(str(p["b"])), fail=True)
    result = write_report(tmp_path)
    texts = {row[1] for row in rows(tmp_path / "report" / "cells.csv")[1:]}
    assert not [text for text in texts if text[0] in "=+-@\t\r\n"]
    assert "'=HYPERLINK(1)" in texts
    assert {row[2] for row in rows(tmp_path / "report" / "cells.csv")[1:]} == {"-1", "2"}
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    # But for two parentheses, so that it is read once.
    library = (
        unsqueeze(page, "plotly").replace("this, (() => {", "this, () => {").replace("\n})));", "\n}));")
    )
    assert library.split() == get_plotlyjs().split()
    assert not re.search(r"[<&]", re.findall(r'<script type="text/plain" id="data">(.*?)</script>', page)[0])
    assert "\x1b" not in unsqueeze(page, "data")
    for markup in ("<script>alert", "<img src=x", "<b>no</b>", "<b>c</b>", "\x1b"):
        assert markup not in page
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(leaderboard(result, 20))
    shown = console.export_text()
    assert "[red]" in shown
    assert "\x1b" not in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


GRIDS = {
    "one number": "a = [1, 2, 3]\n",
    "one value": "a = [1]\n",
    "one text": 'a = ["x", "y"]\n',
    "texts, truths and lists": 'a = ["x", "y"]\nb = [true, false]\nc = [[6], [6, 16]]\n',
    "four": "a = [1, 2]\nb = [0.1, 0.2, 0.3]\nc = [1, 2]\nd = [5, 6]\n",
    "two and replicates": "a = [1, 2]\nb = [0.1, 0.2, 0.3]\n[replicate]\nseed = [0, 1]\n",
    "two, one of them long": "a = { from = 1, to = 500, num = 500 }\nb = [1, 2]\n",
    "long third": "a = [1, 2, 3, 4, 5]\nb = [1, 2]\nc = { from = 1, to = 40, num = 40 }\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("axes", GRIDS.values(), ids=GRIDS.keys())
def test_any_number_and_kind_of_axes_gives_pictures(tmp_path: Path, axes: str) -> None:
    fill(tmp_path, HEAD + "[grid]\n" + axes, lambda p, _: float(len(str(p))) % 7)
    result = write_report(tmp_path)
    drawn = list(surfaces(result))
    assert 1 <= len(drawn) <= 12
    assert len({surface.name for surface in drawn}) == len(drawn)
    assert sum(surface.best is not None for surface in drawn) == 1
    for surface in drawn:
        assert (tmp_path / "report" / surface.name).stat().st_size > 10_000


EXTREMES = [
    1.7976931348623157e308, -1.7976931348623157e308, 1e308, -1e308, 1e300, 1e155, 1e-155, 1e-308, 1e-320,
    -5e-324, 0.0, 1.0, 1.0000000000000002, 1e16,
]  # fmt: skip
NAMES = ["sco\ud800re", "a\x1b[31mb", "=cmd", "a\nb", "", "$y$", "x;=1", "cell", "trajectory"]


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    axes=st.lists(
        st.lists(st.sampled_from(EXTREMES), min_size=1, max_size=3, unique=True), min_size=1, max_size=2
    ),
    metrics=st.lists(st.sampled_from([*EXTREMES, math.nan, math.inf]), min_size=1, max_size=5),
    other=st.sampled_from(NAMES),
    replicates=st.integers(1, 3),
    mode=st.sampled_from(["max", "min"]),
)
@example([[1.0, 2.0], [1.0, 2.0]], [math.nan], "x", 1, "max")
@example([[1e308, -1e308], [1e-320, 0.0]], [1.7976931348623157e308, -1.7976931348623157e308], "=x", 2, "max")
@example([[1.0, 2.0]], [1e-320, 1e300], "sco\ud800re", 1, "min")
@example([[1.0, 2.0]] * 2, [-1.7e308] * 18 + [1.7e308] * 6, "x", 1, "max")  # one good cell among bad ones
def test_a_report_survives_any_metric_and_any_axis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    axes: list[list[float]], metrics: list[float], other: str, replicates: int, mode: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("gridrun.report.pictures.figures.DPI", 30)
    grid = "".join(f"{name} = {values!r}\n" for name, values in zip("ab", axes, strict=False))
    seeds = list(range(replicates))
    text = HEAD + f'mode = "{mode}"\n[grid]\n{grid}[replicate]\nseed = {seeds}\n'
    found = itertools.cycle(metrics)
    directory = Path(tempfile.mkdtemp(dir=tmp_path))
    record(directory, text, lambda _: [{"score": next(found), other: next(found)} for _ in range(3)])
    result = write_report(directory)
    drawn = {name for name in written(directory) if name.endswith(".png")}
    assert {"table.png", "curves.png", "isolation.png"} < drawn
    assert len([name for name in drawn if name.startswith("surface-")]) == 1
    ends = result.cells["score"][np.isfinite(result.cells["score"])]
    for means in (result.best["score"], *(effect["mean"] for effect in result.main_effects.values())):
        assert means.dropna().between(ends.min(), ends.max()).all()
    assert np.isfinite(result.best["score std"].dropna()).all()
    for name in ("cells", "best", "history"):
        assert len({len(row) for row in rows(directory / "report" / f"{name}.csv")}) == 1


def test_labels_of_the_page_bear_quotes_and_no_escapes_of_them(tmp_path: Path) -> None:
    fill(tmp_path, HEAD + '[grid]\na = [1, "1", "<b>"]\nb = [1, 2]\n', lambda *_: 1.0)
    write_report(tmp_path)
    page = (tmp_path / "report" / "report.html").read_text()
    data = json.loads(unsqueeze(page, "data"))
    assert data["axes"][0]["values"] == ["1", '"1"', "<b>"]  # the script escapes them where it draws
    assert "&quot;" not in page
    assert '<td>"1"</td>' in html.unescape(page)
    assert "&lt;b&gt;" in page


def test_a_picture_says_what_it_could_not_draw_to_scale(tmp_path: Path) -> None:
    text = HEAD + "[grid]\na = [1e308, -1e308, 0.0]\nb = [1, 2]\n"
    record(tmp_path, text, lambda p: [{"score": float(str(p["a"]))}])
    result = read(tmp_path)
    (surface,) = surfaces(result)
    assert surface.x.label == "a (evenly spaced)"
    assert surface.x.positions.tolist() == [0.0, 1.0, 2.0]
    assert clipped(result) == "Metrics beyond ±1e+250 are drawn there"
    assert np.isfinite(surface.drawn).all()
    assert surface.z.max() == 1e308


def test_replicates_add_their_spread_and_their_number(tmp_path: Path) -> None:
    text = HEAD + "[grid]\nmy_rate = [1, 2]\n[replicate]\nseed = [0, 1]\n"
    fill(tmp_path, text, lambda p, _: float(str(p["my_rate"])) + float(str(p["seed"])))
    result = write_report(tmp_path)
    ids = [row[0] for row in rows(tmp_path / "report" / "cells.csv")[1:]]
    assert rows(tmp_path / "report" / "best.csv") == [
        ["My Rate", "Score", "Score Std", "Seeds", "cell", "failed"],
        ["2", "2.5", repr(math.sqrt(0.5)), "2", ids[2], "0"],
        ["1", "1.5", repr(math.sqrt(0.5)), "2", ids[0], "0"],
    ]
    console = Console(width=80)
    with console.capture() as captured:
        console.print(leaderboard(result, 5))
    assert "2.5000 ± 0.7071" in captured.get()


def test_the_page_says_what_was_selected_on(study: Path) -> None:
    page = (study / "report.html").read_text(encoding="utf-8")
    assert "accuracy on split = test, highest first, best over epochs" in page
    assert "160 of 160 cells completed, 8 diverged" in page
    assert "<dt>train_size</dt><dd>600</dd>" in page
    assert "<dt>conv_channels</dt><dd>[6, 16]</dd>" in page
    assert "<script src" not in page
    assert "<link" not in page.partition("</style>")[0]


def test_the_axes_that_matter_span_the_surfaces(study: Path) -> None:
    result = read(study.parent)
    plan = lay_out(result.part, result.part.cube(result.by_combination))
    assert [result.axes[p].name for p in (plan.x, plan.y or 0)] == ["learning_rate", "batch_size"]
    drawn = list(surfaces(result))
    assert drawn[0].x.log
    assert drawn[0].x.positions.tolist() == sorted(drawn[0].x.positions)
    starred = next(surface for surface in drawn if surface.best is not None)
    assert starred.best is not None
    assert starred.z[starred.best] == result.best["accuracy"].iloc[0]


def test_thinning_keeps_the_ends_and_the_best() -> None:
    for always in range(1000):
        kept = thin(range(1000), 10, always)
        assert len(kept) == 10
        assert {0, always, 999} <= set(kept)
        assert kept == sorted(kept)


def test_an_axis_is_logarithmic_from_a_ratio_of_thirty() -> None:
    for values, log in (("1, 29", False), ("1, 30", True), ("0, 100", False), ("-1, 100", False)):
        axis = Spec.parse(f"{HEAD}[grid]\na = [{values}]\n", "x").grid.axes[0]
        assert scale(axis, 10).log is log


def test_a_read_only_directory_is_one_line(tmp_path: Path) -> None:
    fill(tmp_path / "s", HEAD + "[grid]\na = [1]\n", lambda *_: 0.0)
    write_report(tmp_path / "s")
    assert (tmp_path / "s" / "report").is_dir()
    shutil.rmtree(tmp_path / "s")
    with pytest.raises(InputError):
        write_report(tmp_path / "s")


def test_curves_are_means_with_what_their_replicates_span(tmp_path: Path) -> None:
    grid = "[grid]\na = [1, 2]\nepochs = [1, 3]\n"

    head = f'{HEAD}budget = "epochs"\n'

    def score(params: Params, epoch: int) -> float:
        return float(params["a"]) + 10 * float(params.get("seed", 0)) + epoch  # type: ignore[arg-type]

    fill(tmp_path / "s", f"{head}{grid}[replicate]\nseed = [0, 1, 4]\n", score)
    best = read(tmp_path / "s").curves[0]
    assert (best.low["score"], best.high["score"]) == ([3, 4, 5], [43, 44, 45])
    assert best.history["score"] == pytest.approx([2 + 50 / 3 + epoch for epoch in (1, 2, 3)])
    fill(tmp_path / "one", head + grid, score)
    assert read(tmp_path / "one").curves[0].low == {}


def test_a_curves_label_stays_in_its_half_of_the_picture() -> None:
    params: Params = {f"a_rather_long_name_{i}": 0.123456 for i in range(6)}
    lines = fold(Curve(173_498, params, {})).split("\n")
    assert len(lines) == 2
    assert all(len(line) <= WIDTH for line in lines)
    assert lines[0].startswith("#173498  a_rather_long_name_0 0.123456,")
    assert "…" in lines[1]
    assert fold(Curve(1, {"learning_rate": 0.05}, {})) == "#1  learning_rate 0.05"
