"""Estimators under the real program: init, failures, and who needs scikit-learn."""

import csv
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run

GRID = """
[sweep]
name = "tree"
estimator = "sklearn.tree:DecisionTreeClassifier"
metric = "accuracy"
[data]
load = "sklearn.datasets:load_iris"
[cv]
folds = 3
[grid]
max_depth = [1, -1, 2]
[fixed]
random_state = 0
[run]
jobs = 1
"""


def test_init_writes_a_grid_toml_whose_first_cell_runs(run: Run) -> None:
    assert run("init", "--kind", "estimator").returncode == 0
    tried = run("try", "grid.toml")
    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.splitlines()[0] == "my-study: C 0.1, gamma 0.0001, fold 0"
    assert "epoch 1: accuracy 0.877778, f1_macro 0.879678" in tried.stdout


def test_a_fit_that_raises_fails_its_cells_and_the_others_go_on(run: Run, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text(GRID)
    sweep = run("sweep", "grid.toml")
    assert sweep.returncode == 1
    assert "6 completed, 3 failed" in sweep.stdout
    assert (
        "InvalidParameterError: The 'max_depth' parameter of DecisionTreeClassifier must be" in sweep.stderr
    )
    assert run("report").returncode == 0
    with (tmp_path / "results/tree/report/cells.csv").open(newline="") as rows:
        found = [(row["max_depth"], row["fold"], row["accuracy"] != "") for row in csv.DictReader(rows)]
    assert found == [(d, f, d != "-1") for d in ("1", "-1", "2") for f in "012"]


def test_without_scikit_learn_one_line_says_what_to_install_and_what_was_run_is_shown(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "grid.toml").write_text(GRID.replace("-1, ", ""))
    assert run("sweep", "grid.toml").returncode == 0
    (tmp_path / "without").mkdir()
    (tmp_path / "without/sklearn.py").write_text("raise ModuleNotFoundError(name='sklearn')")
    without = {"PYTHONPATH": str(tmp_path / "without")}
    for words in (("status",), ("report",), ("show", "best")):
        shown = run(*words, **without)
        assert shown.returncode == 0, shown.stderr
    refused = run("sweep", "grid.toml", **without)
    assert refused.returncode == 3
    assert refused.stderr == (
        "gridrun: an estimator needs scikit-learn, which is not installed; pip install 'gridrun[sklearn]'\n"
    )


@pytest.mark.slow
def test_the_classifier_of_cnn_core_is_swept_as_any_estimator(run: Run, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text("""
[sweep]
name = "cnn"
estimator = "cnn_core:CNNClassifier"
metric = "accuracy"
[data]
load = "sklearn.datasets:load_digits"
[cv]
folds = 3
[grid]
conv_channels = [[2], [2, 4]]
[fixed]
kernel_size = 3
epochs = 1
padding = 1
[run]
jobs = 1
""")
    sweep = run("sweep", "grid.toml")
    assert sweep.returncode == 0, sweep.stderr
    assert "6 completed" in sweep.stdout
