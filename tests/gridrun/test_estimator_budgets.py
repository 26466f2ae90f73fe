"""The budget axis of estimators: stage k of a long fit is a fit of k, to the last digit, or refused."""

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from gridrun.errors import InputError
from gridrun.trainers.staged import STAGED
from tests.gridrun.estimators import Read, scores, searched, studies

MOST = 5
CLASSIFIED = ["accuracy", "f1_macro", "neg_log_loss", "roc_auc_ovr"]
REGRESSED = ["r2", "neg_mean_absolute_error"]
FIXED = {
    "Hist": "max_leaf_nodes = 4",
    "Grad": "subsample = 0.7\nmax_depth = 2\nmax_features = 2",
    "AdaB": "learning_rate = 0.5",
    "Rand": "max_depth = 3\nmax_samples = 0.6",
    "Extr": "max_depth = 3",
    "XGBC": "n_jobs = 1\nsubsample = 0.7\ncolsample_bytree = 0.5",
    "XGBR": "n_jobs = 1\nsubsample = 0.7\ncolsample_bytree = 0.5",
    "LGBM": "n_jobs = 1\nverbose = -1\nmin_child_samples = 3\nsubsample = 0.7\nsubsample_freq = 1",
}


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Read]:
    with threadpool_limits(1):
        yield from studies(tmp_path)


def make(kind: str) -> tuple[Any, str]:
    """An estimator of a kind in STAGED, and its import string."""
    package, _, name = kind.partition(".")
    module = "sklearn.ensemble" if package == "sklearn" else package
    pytest.importorskip(package)
    return getattr(importlib.import_module(module), name)(), f"{module}:{name}"


def fixed(kind: str) -> str:
    return f"random_state = 0\n{FIXED[kind.partition('.')[2][:4]]}"


@pytest.mark.parametrize("kind", STAGED)
def test_a_stage_scores_as_a_fit_with_that_budget(read: Read, tmp_path: Path, kind: str) -> None:
    estimator, reference = make(kind)
    budget, classifies = STAGED[kind].parameter, is_classifier(estimator)
    scoring = CLASSIFIED if classifies else REGRESSED
    load = load_iris if classifies else load_diabetes
    if kind == "sklearn.AdaBoostClassifier":
        scoring = CLASSIFIED[:3]
    spec = read(
        reference, f"{budget} = [2, {MOST}]\n[fixed]\n{fixed(kind)}", metric=scoring[0],
        data=f'load = "sklearn.datasets:{load.__name__}"', cv=f"folds = 3\nscoring = {scoring}",
        more=f'budget = "{budget}"',
    )  # fmt: skip
    given = {**spec.grid.fixed}
    grid = {budget: list(range(1, MOST + 1))}
    x, y = load(return_X_y=True)
    expected = searched(estimator.set_params(**given), grid, scoring, 3, x, y)
    runs = [run for _, run in scores(spec, tmp_path)]
    assert [len(run) for run in runs] == [MOST] * 3
    for name in scoring:
        found = np.array([[metrics[name] for metrics in run] for run in runs]).T.ravel().tolist()
        assert found == expected[name], name
    assert len({score for values in expected.values() for score in values}) > MOST


def test_a_pipeline_transforms_and_its_last_step_has_the_budget(read: Read, tmp_path: Path) -> None:
    (tmp_path / "my_stages.py").write_text(
        "from sklearn.ensemble import GradientBoostingClassifier as Boosting\n"
        "from sklearn.pipeline import make_pipeline\nfrom sklearn.preprocessing import StandardScaler\n"
        "def make(): return make_pipeline(StandardScaler(), make_pipeline(Boosting(random_state=0)))\n"
    )
    budget = "pipeline__gradientboostingclassifier__n_estimators"
    spec = read("my_stages.py:make", f"{budget} = [2, 5]", more=f'budget = "{budget}"')
    boosting = importlib.import_module("sklearn.ensemble").GradientBoostingClassifier(random_state=0)
    model = make_pipeline(StandardScaler(), make_pipeline(boosting))
    expected = searched(model, {budget: [1, 2, 3, 4, 5]}, ["accuracy"], 3)["accuracy"]
    found = [[metrics["accuracy"] for metrics in run] for _, run in scores(spec, tmp_path)]
    assert np.array(found).T.ravel().tolist() == expected


@pytest.mark.parametrize(
    ("reference", "budget", "stopping"),
    [
        ("sklearn.ensemble:GradientBoostingClassifier", "n_estimators", "n_iter_no_change = 2\ntol = 0.05"),
        (
            "sklearn.ensemble:HistGradientBoostingClassifier",
            "max_iter",
            "early_stopping = true\nn_iter_no_change = 2\ntol = 0.05",
        ),
    ],
)
def test_a_fit_that_stops_early_has_the_stages_that_it_made(
    read: Read, tmp_path: Path, reference: str, budget: str, stopping: str
) -> None:
    spec = read(
        reference, f"{budget} = [100]\n[fixed]\nrandom_state = 0\n{stopping}", more=f'budget = "{budget}"'
    )
    module, _, name = reference.partition(":")
    estimator = getattr(importlib.import_module(module), name)().set_params(**spec.grid.fixed)
    runs = [run for _, run in scores(spec, tmp_path)]
    assert all(len(run) < 100 for run in runs)
    # A larger budget changes nothing: the last stage is its outcome.
    expected = searched(estimator, {budget: [100, 200]}, ["accuracy"], 3)["accuracy"]
    assert [run[-1]["accuracy"] for run in runs] * 2 == expected


REFUSED = [
    (
        "sklearn.linear_model:SGDClassifier",
        "max_iter",
        "",
        "k calls of its partial_fit are no fit of",
    ),
    (
        "sklearn.neural_network:MLPClassifier",
        "max_iter",
        "",
        "k calls of its partial_fit are no fit of",
    ),
    (
        "sklearn.ensemble:BaggingClassifier",
        "n_estimators",
        "",
        "a fit that goes on is not known to be",
    ),
    ("sklearn.svm:SVC", "max_iter", "", "SVC has no budget axis: a longer fit of it does not contain the"),
    (
        "sklearn.ensemble:GradientBoostingClassifier",
        "max_depth",
        "",
        "the budget axis of GradientBoostingClassifier is n_estimators; leave budget out",
    ),
    (
        "xgboost:XGBClassifier",
        "n_estimators",
        "booster = ['gbtree', 'dart']",
        "with booster 'dart': later members",
    ),
    ("xgboost:XGBClassifier", "n_estimators", "[fixed]\nbooster = 'gblinear'", "with booster 'gblinear'"),
    (
        "lightgbm:LGBMClassifier",
        "n_estimators",
        "[fixed]\nboosting_type = 'dart'",
        "with boosting_type 'dart'",
    ),
]


@pytest.mark.parametrize(("reference", "budget", "more", "told"), REFUSED)
def test_where_no_longer_fit_is_known_to_contain_the_shorter_there_is_no_budget_axis(
    read: Read, tmp_path: Path, reference: str, budget: str, more: str, told: str
) -> None:
    pytest.importorskip(reference.partition(":")[0])
    spec = read(reference, f"{budget} = [2, 5]\n{more}", more=f'budget = "{budget}"')
    with pytest.raises(InputError) as refused:
        scores(spec, tmp_path)
    assert told in str(refused.value)
    assert str(refused.value).endswith("; leave budget out, and it is an axis like the others")


def test_partial_fit_called_k_times_is_not_a_fit_of_k_epochs() -> None:
    """Why SGD and MLP are refused."""
    x, y = load_iris(return_X_y=True)
    x = StandardScaler().fit_transform(x)
    for estimator, response in (
        (SGDClassifier(max_iter=3, tol=None, random_state=0), "decision_function"),
        (
            MLPClassifier((5,), batch_size=32, learning_rate_init=0.1, max_iter=3, random_state=0),
            "predict_proba",
        ),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # three epochs do not converge
            whole = getattr(estimator.fit(x, y), response)(x)
        parts = type(estimator)(**estimator.get_params())
        for _ in range(3):
            parts.partial_fit(x, y, classes=np.unique(y))
        assert np.abs(whole - getattr(parts, response)(x)).max() > 0.01
