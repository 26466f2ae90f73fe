"""What was made by other code, or with another default, is told and kept apart from what is new."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run

Write = Callable[..., str]
BACKENDS = ["loky", "sequential", "dask"]


def change(tmp_path: Path, *pair: str) -> None:
    toy = tmp_path / "toy.py"
    assert pair[0] in toy.read_text()
    toy.write_text(toy.read_text().replace(*pair))


def told(text: str, words: str) -> list[str]:
    return [line for line in text.splitlines() if words in line]


@pytest.mark.parametrize("backend", BACKENDS)
def test_changed_code_is_told_once_on_resume_and_the_report_says_what_is_mixed(
    run: Run, write_grid: Write, tmp_path: Path, backend: str
) -> None:
    extra = f'backend = "{backend}"'
    first = run("sweep", write_grid(a="[1, 2]", run=extra))
    assert first.returncode == 0, first.stderr
    assert not told(first.stderr, "changed")
    assert not told(run("report").stdout, "Mixed")
    change(tmp_path, "a * b / (epoch + 1)", "a * b / (epoch + 2)")
    again = run("sweep", write_grid(a="[1, 2, 3]", run=extra))
    assert "12 cells, 8 cached, 0 failed, 4 new" in again.stdout.replace(", 4 new", ", 0 failed, 4 new")
    assert told(again.stderr, "toy changed since") == [
        "gridrun: toy changed since 4 of the trajectories here were run; they are kept as they are, as"
        " toy:train.version has not changed: raise it, and they are run anew"
    ]
    report = run("report")
    assert told(report.stdout, "Mixed") == [
        "Mixed: 2 versions of the code are mixed, by which 4 and 2 trajectories were run:"
        " toy changed meanwhile"
    ]
    page = (tmp_path / "results/toy/report/report.html").read_text()
    assert "2 versions of the code are mixed" in page


def test_a_finished_sweep_whose_code_has_changed_says_that_nothing_was_run_anew(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    run("sweep", write_grid())
    change(tmp_path, "a * b / (epoch + 1)", "0.0")
    again = run("sweep", write_grid())
    assert again.returncode == 0
    assert "12 cached, 0 new" in again.stdout
    assert told(again.stderr, "toy changed since 6 of the trajectories")


def test_a_raised_version_runs_everything_anew_and_warns_of_nothing(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    run("sweep", write_grid())
    change(tmp_path, "train.validate = validate", 'train.validate = validate\ntrain.version = "2"')
    again = run("sweep", write_grid())
    assert "12 new" in again.stdout
    assert not told(again.stderr, "changed")
    assert not told(run("report").stdout, "Mixed")


def test_a_module_that_the_trainer_imports_counts_as_its_code(
    run: Run, write_grid: Write, tmp_path: Path
) -> None:
    (tmp_path / "beside.py").write_text("factor = 1\n")
    change(tmp_path, "import asyncio", "import asyncio\nimport beside")
    run("sweep", write_grid())
    (tmp_path / "beside.py").write_text("factor = 2\n")
    assert told(run("sweep", write_grid()).stderr, "beside changed since 6 of the trajectories")


def test_a_changed_default_is_told_and_old_results_keep_theirs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def train(a, momentum=0.9, seed=1):\n    return {'score': a}\n")
    grid = tmp_path / "m.toml"
    grid.write_text('[sweep]\nname = "m"\ntrain = "mine:train"\nmetric = "score"\n[grid]\na = [1, 2]\n')
    run("sweep", "m.toml")
    (tmp_path / "mine.py").write_text("def train(a, momentum=0.5, seed=1):\n    return {'score': a}\n")
    run("sweep", "m.toml")
    report = run("report", "results/m")
    assert not told(report.stdout, "Mixed")
    page = (tmp_path / "results/m/report/report.html").read_text()
    assert "<dt>momentum</dt><dd>0.9</dd>" in page  # not that of the file as it is now
    grid.write_text(grid.read_text().replace("[1, 2]", "[1, 2, 3]"))
    run("sweep", "m.toml")
    (line,) = told(run("report", "results/m").stdout, "Mixed")
    assert "the default of momentum was 0.9 for 2 trajectories and 0.5 for 1 trajectory" in line
    page = (tmp_path / "results/m/report/report.html").read_text()
    assert "<dt>momentum</dt>" not in page
    assert "<dt>seed</dt><dd>1</dd>" in page
