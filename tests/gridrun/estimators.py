"""A study of an estimator within the test's own process, and what GridSearchCV makes of the same."""

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, ParameterGrid

from gridrun.cell import as_given
from gridrun.spec import Spec
from gridrun.trainers import Running
from gridrun.trainers.estimator import EstimatorTrainer

Read = Callable[..., Spec]
X, Y = load_iris(return_X_y=True)
NAMES = load_iris().target_names[Y]
GROUPS = np.arange(len(Y)) * 7 % 11
WEIGHTS = 1.0 + np.arange(len(Y)) % 3
IRIS = 'load = "sklearn.datasets:load_iris"'

# What tests name in a grid.toml: a file beside it.
MODEL = """
import numpy as np
from sklearn.datasets import load_iris
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
X, Y = load_iris(return_X_y=True)
NAMES = load_iris().target_names[Y]
GROUPS = np.arange(len(Y)) * 7 % 11
WEIGHTS = 1.0 + np.arange(len(Y)) % 3
def scaled(): return make_pipeline(StandardScaler(), SVC())
ready = SVC(C=3.0)
def words(): return X, NAMES
def objects(): return X, NAMES.astype(object)
def booleans(): return X, Y == 1
def floats(): return X, Y.astype(float)
def grouped(): return X, Y, GROUPS
def weighted(): return X, Y, None, WEIGHTS
def alike(): return {"X": X.copy(), "y": list(Y)}
def alone(): return {"X": X}
def random(): return np.random.default_rng().random((20, 2)), [0, 1] * 10
def texts(): return ["a b", "b c", "c d", "a d"] * 10, [0, 1, 1, 0] * 10
def margin(estimator, X, y): return float(np.abs(estimator.decision_function(X)).min())
class Halves:
    def __init__(self, gap=0): self.gap = gap
    def split(self, X, y=None, groups=None):
        half = len(X) // 2
        yield np.arange(half - self.gap), np.arange(half, len(X))
        yield np.arange(half + self.gap, len(X)), np.arange(half)
"""


def studies(tmp_path: Path) -> Iterator[Read]:
    """A function that writes a grid.toml, beside my_model.py, and reads it."""
    (tmp_path / "my_model.py").write_text(MODEL)
    sys.modules.pop("my_model", None)

    def make(
        estimator: str,
        grid: str,
        *,
        metric: str = "accuracy",
        data: str = IRIS,
        cv: str = "folds = 3",
        more: str = "",
    ) -> Spec:
        file = tmp_path / "grid.toml"
        file.write_text(
            f'[sweep]\nname = "t"\nestimator = "{estimator}"\nmetric = "{metric}"\n{more}\n'
            f"[data]\n{data}\n[cv]\n{cv}\n[grid]\n{grid}\n"
        )
        return Spec.read(file)

    yield make
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]
    sys.modules.pop("my_model", None)


def find(spec: Spec, tmp_path: Path) -> EstimatorTrainer:
    trainer = spec.trainer.find(spec.grid, tmp_path / "grid.toml")
    assert isinstance(trainer, EstimatorTrainer)
    return trainer


def scores(spec: Spec, tmp_path: Path) -> list[tuple[dict[str, Any], Any]]:
    """Parameters and metrics of each trajectory, in grid order."""
    find(spec, tmp_path).validate(spec.grid)
    runner = spec.trainer.load([str(tmp_path)])
    found = []
    for number in range(spec.grid.trajectory_count):
        params = {name: as_given(value) for name, value in spec.grid.trajectory_params(number).items()}
        if spec.grid.budget is None:
            found.append((params, runner.run(dict(params), Running("t"))))
        else:
            most = max(spec.grid.budgets)
            given = {**params, spec.grid.budget: most}
            found.append((params, list(runner.run(given, Running("t", most)))))
    return found


def searched(
    estimator: Any,
    grid: Mapping[str, list[Any]],
    scoring: list[str],
    cv: Any,
    x: Any = X,
    y: Any = Y,
    **fit: Any,
) -> dict[str, list[float]]:
    """What GridSearchCV finds, by scorer: the folds of the first combination, those of the second, ..."""
    search = GridSearchCV(estimator, grid, scoring=scoring, cv=cv, refit=False, error_score="raise")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a scorer takes no weights
        search.fit(x, y, **fit)
    found = search.cv_results_
    folds = [[found[f"split{k}_test_{name}"] for k in range(search.n_splits_)] for name in scoring]
    return {name: np.array(values).T.ravel().tolist() for name, values in zip(scoring, folds, strict=True)}


# Older ones hand weights to the fit alone.
SEARCH_WEIGHS_SCORES = hasattr(GridSearchCV, "_check_scorers_accept_sample_weight")


def weighed(
    estimator: Any, grid: Mapping[str, list[Any]], scoring: list[str], splits: list[Any], y: Any = Y
) -> dict[str, list[float]]:
    """Scores of an estimator fitted and scored with WEIGHTS, by hand, in the order of `searched`."""
    found: dict[str, list[float]] = {name: [] for name in scoring}
    for params in ParameterGrid(grid):
        for train, test in splits:
            model = clone(estimator).set_params(**params)
            model.fit(X[train], y[train], sample_weight=WEIGHTS[train])
            for name in scoring:
                weights = {} if name == "adjusted_rand_score" else {"sample_weight": WEIGHTS[test]}
                found[name].append(float(get_scorer(name)(model, X[test], y[test], **weights)))
    return found


def by_scorer(found: list[tuple[dict[str, Any], Any]], scoring: list[str]) -> dict[str, list[float]]:
    return {name: [metrics[name] for _, metrics in found] for name in scoring}
