"""gridrun.sweep of an estimator: GridSearchCV's scores, found again, run anew when anything in it changes."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, LeaveOneGroupOut, RepeatedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import gridrun
from gridrun.errors import InputError
from gridrun.results.picks import overlap_of

X, Y = (part[:200] for part in load_digits(return_X_y=True))
GROUPS = np.arange(200) // 5


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def sweep(estimator: Any, grid: Mapping[str, Any], **more: Any) -> gridrun.Results:
    given = {"metric": "accuracy", "data": (X, Y), "cv": 3, "backend": "sequential", "quiet": True}
    return gridrun.sweep(estimator, grid, **{**given, **more})


CASES: dict[str, tuple[Any, dict[str, list[Any]], Any, Any, str]] = {
    "svc": (SVC(kernel="rbf"), {"C": [0.1, 1.0], "gamma": [0.001, 0.1]}, (X, Y), 4, "accuracy"),
    "pipeline": (
        make_pipeline(StandardScaler(), SVC()),
        {"svc__C": [0.1, 1.0]},
        load_breast_cancer(),
        KFold(3, shuffle=True, random_state=0),
        "roc_auc",
    ),
    "regression": (
        Ridge(),
        {"alpha": [0.1, 10.0]},
        (X, Y * 1.5),
        RepeatedKFold(n_splits=2, n_repeats=2, random_state=1),
        "neg_mean_squared_error",
    ),
    "groups": (
        SVC(),
        {"C": [0.1, 1.0]},
        (X, np.array(list("abcdefghij"))[Y], GROUPS),
        GroupKFold(4),
        "f1_macro",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_scores_are_those_of_grid_search_cv(case: str) -> None:
    estimator, grid, data, cv, metric = CASES[case]
    found = sweep(estimator, grid, data=data, cv=cv, metric=metric)
    x, y, *groups = (data.data, data.target) if hasattr(data, "data") else data
    search = GridSearchCV(estimator, grid, cv=cv, scoring=metric).fit(
        x, y, groups=groups[0] if groups else None
    )
    folds = int(found.cells["fold"].max()) + 1
    expected = [search.cv_results_[f"split{fold}_test_score"] for fold in range(folds)]
    assert found.complete
    assert found.cells[metric].to_numpy().reshape(-1, folds).T.tolist() == [list(row) for row in expected]
    assert found.best_params == search.best_params_


def test_stages_of_an_ensemble_may_be_the_budget() -> None:
    boosting, grid = GradientBoostingClassifier(random_state=0, max_depth=1), {"n_estimators": [1, 3]}
    found = sweep(boosting, grid, budget="n_estimators")
    plain = sweep(boosting, grid, name="plain")
    assert found.cells["accuracy"].tolist() == plain.cells["accuracy"].tolist()


def new_cells(capfd: pytest.CaptureFixture[str], *given: Any, **more: Any) -> str:
    """How many cells a call runs, by its first line."""
    sweep(*given, quiet=False, **more)
    return capfd.readouterr().err.split(", ")[2]


def test_it_is_found_again_and_runs_anew_when_it_changes(capfd: pytest.CaptureFixture[str]) -> None:
    grid = {"C": [1.0]}
    assert new_cells(capfd, SVC(), grid) == "3 new"
    fitted = SVC().fit(X, Y)  # what it has learned is no part of it
    assert new_cells(capfd, fitted, grid) == "0 new"
    assert new_cells(capfd, SVC(), {"C": [1.0, 2.0]}) == "3 new"
    assert new_cells(capfd, SVC(gamma=0.01), grid) == "3 new"
    assert new_cells(capfd, SVC(), grid, data=(X, Y[::-1])) == "3 new"
    assert new_cells(capfd, SVC(), grid, data=(pd.DataFrame(X), Y)) == "3 new"
    assert new_cells(capfd, SVC(), grid, cv=KFold(3)) == "3 new"
    assert new_cells(capfd, SVC(), grid) == "0 new"


SCRIPT = """
import gridrun
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits

class Majority(ClassifierMixin, BaseEstimator):
    def __init__(self, share=0.5):
        self.share = share
    def fit(self, X, y):
        self.classes_ = sorted(set(y))
        return self
    def predict(self, X):
        return [self.classes_[int(self.share * 9)]] * len(X)

grid = {"share": [0.1, 0.9]}
found = gridrun.sweep(Majority(), grid, metric="accuracy", data=load_digits(), jobs=2)
print(len(found.cells), found.complete, found.best_params)
"""


@pytest.mark.slow
def test_in_a_script_workers_get_its_own_class_and_data_and_a_second_run_finds_all(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(SCRIPT)
    run = [sys.executable, "s.py"]
    first, second = (subprocess.run(run, capture_output=True, text=True, timeout=120) for _ in range(2))
    assert first.stdout == second.stdout == "10 True {'share': 0.1}\n", first.stderr
    assert "10 new" in first.stderr
    assert "0 new" in second.stderr


def test_what_is_swept_is_read_and_told_by_load_and_folds_that_are_drawn_overlap() -> None:
    sweep(SVC(), {"C": [0.1, 1.0]}, cv=RepeatedKFold(n_splits=2, n_repeats=3, random_state=0))
    found = gridrun.load("results/SVC")
    assert len(found.cells) == 12
    assert overlap_of(found._found) == 1.0  # half of the data for the other half


@pytest.mark.parametrize(
    ("estimator", "more", "message"),
    [
        (SVC(), {"data": None}, "SVC is an estimator and needs data; write data=(X, y)"),
        (SVC(), {"data": X}, "data: found ndarray; write X, y (and groups, and sample weights)"),
        (SVC(), {"data": (X, Y[:10])}, "data: Found input variables with inconsistent numbers of samples"),
        (SVC(), {"cv": 1}, "cv must be a number of folds from 2 or a splitter, found int; write cv=5 or"),
        (SVC(), {"cv": LeaveOneGroupOut()}, "cv: The 'groups' parameter should not be None"),
        (SVC(), {"cv": GroupKFold(3)}, "groups"),
        (SVC(), {"data": (X, Y, GROUPS)}, "StratifiedKFold ignores groups"),
        (SVC(), {"mode": "min"}, "of every scorer more is better, found mode='min'; leave it out"),
        (SVC(), {"metric": "acuracy"}, "no scorer 'acuracy'; write accuracy"),
        (SVC(), {"scoring": ["f1_macro"]}, "metric must be one of [cv] scoring, found 'accuracy'"),
        (SVC(), {"replicate": {"fold": [0]}}, "replicate['fold'] is what cv makes; leave it out"),
        (SVC(), {"fixed": {"c": 1}}, "has no parameter 'c'; write one of C, "),
        (lambda x: x, {}, "data and cv go with an estimator; leave them out"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(
    estimator: Any, more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as refused:
        sweep(estimator, {"C": [1.0]}, **more)
    assert message in str(refused.value)
    assert str(refused.value).startswith("gridrun.sweep: ")
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []
