"""What a report writes: whole or not at all, the same bytes again, and nobody's text as code."""

import csv
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from gridrun.aggregate import Aggregate, Curve, aggregate
from gridrun.cell import Identity, Params
from gridrun.errors import EnvironmentFault, InputError
from gridrun.report import write_report
from gridrun.report.curves import WIDTH, fold
from gridrun.report.figures import scale, thin
from gridrun.report.surfaces import lay_out, surfaces
from gridrun.report.tables import leaderboard
from gridrun.spec import Spec
from gridrun.store import Failure, Outcome, Store

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
    identity = Identity(spec.train, "1", ((None, grid.trajectory_count),))
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
        "best.csv", "cells.csv", "curves.png", "report.html",
        *sorted(f"surface-dropout_rate-{value}.png" for value in (0.2, 0.3, 0.4, 0.6)), "table.png",
    ]  # fmt: skip
    for picture in study.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert b"Software" not in picture.read_bytes()


def test_best_csv_of_the_study_has_its_columns_best_first(study: Path) -> None:
    header, *body = rows(study / "best.csv")
    assert header == ["Learning Rate", "Dropout Rate", "Batch Size", "Accuracy"]
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
        "accuracy",
        "train_loss",
    ]
    assert header == names
    assert len(body) == 160
    for row in body:
        params = dict(zip(names, row, strict=True))
        expected = accuracy({k: float(params[k]) for k in names[1:5]}, int(params["epochs"]))
        assert params["accuracy"] == repr(expected)


def test_every_file_is_the_same_in_another_process_and_another_order_of_arrival(
    study: Path, tmp_path: Path
) -> None:
    fill(tmp_path, STUDY, accuracy, backwards=True)
    code = "import sys; from pathlib import Path; from gridrun.report import write_report;"
    code += "write_report(Path(sys.argv[1])); assert 'cnn_core' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    for path in study.iterdir():
        assert path.read_bytes() == (tmp_path / "report" / path.name).read_bytes(), path.name


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


def test_nothing_completed_writes_nothing(tmp_path: Path) -> None:
    fill(tmp_path, HEAD + "[grid]\na = [1]\n", lambda *_: 0.0, fail=True)
    with pytest.raises(InputError, match="no completed cell yet"):
        write_report(tmp_path)
    assert not list(tmp_path.glob("report*"))


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
    assert not [text for text in texts if text[0] in "=+-@\t\r"]
    assert "'=HYPERLINK(1)" in texts
    assert {row[2] for row in rows(tmp_path / "report" / "cells.csv")[1:]} == {"-1", "2"}
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
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
    "two, one of them long": "a = { from = 1, to = 500, num = 500 }\nb = [1, 2]\n",
    "long third": "a = [1, 2, 3, 4, 5]\nb = [1, 2]\nc = { from = 1, to = 40, num = 40 }\n",
}


@pytest.mark.parametrize("axes", GRIDS.values(), ids=GRIDS.keys())
@pytest.mark.parametrize("replicate", ["", "[replicate]\nseed = [0, 1]\n"])
def test_any_number_and_kind_of_axes_gives_pictures(tmp_path: Path, axes: str, replicate: str) -> None:
    fill(tmp_path, HEAD + "[grid]\n" + axes + replicate, lambda p, _: float(len(str(p))) % 7)
    result = write_report(tmp_path)
    drawn = list(surfaces(result))
    assert 1 <= len(drawn) <= 12
    assert len({surface.name for surface in drawn}) == len(drawn)
    assert sum(surface.best is not None for surface in drawn) == 1
    for surface in drawn:
        assert (tmp_path / "report" / surface.name).stat().st_size > 10_000


@pytest.mark.parametrize("bad", [math.nan, 1e300, -1e-300, 0.0])
def test_pictures_survive_any_metric(tmp_path: Path, bad: float) -> None:
    fill(tmp_path, HEAD + "[grid]\na = [1, 2]\nb = [1, 2]\n", lambda *_: bad)
    write_report(tmp_path)
    assert (tmp_path / "report" / "surface-a-b.png").exists()


def test_replicates_add_their_spread_and_their_number(tmp_path: Path) -> None:
    text = HEAD + "[grid]\nmy_rate = [1, 2]\n[replicate]\nseed = [0, 1]\n"
    fill(tmp_path, text, lambda p, _: float(str(p["my_rate"])) + float(str(p["seed"])))
    result = write_report(tmp_path)
    assert rows(tmp_path / "report" / "best.csv") == [
        ["My Rate", "Score", "Score Std", "Seeds"],
        ["2", "2.5", repr(math.sqrt(0.5)), "2"],
        ["1", "1.5", repr(math.sqrt(0.5)), "2"],
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
    layout = lay_out(result)
    assert [result.axes[p].name for p in (layout.x, layout.y or 0)] == ["learning_rate", "batch_size"]
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
    (tmp_path / "s" / "report").write_text("a file, not a directory")
    write_report(tmp_path / "s")
    assert (tmp_path / "s" / "report").is_dir()
    shutil.rmtree(tmp_path / "s")
    with pytest.raises(InputError):
        write_report(tmp_path / "s")


def test_a_curves_label_stays_in_its_half_of_the_picture() -> None:
    params: Params = {f"a_rather_long_name_{i}": 0.123456 for i in range(6)}
    lines = fold(Curve(173_498, params, {})).split("\n")
    assert len(lines) == 2
    assert all(len(line) <= WIDTH for line in lines)
    assert lines[0].startswith("#173498  a_rather_long_name_0 0.123456,")
    assert lines[1].endswith("…")
    assert fold(Curve(1, {"learning_rate": 0.05}, {})) == "#1  learning_rate 0.05"
