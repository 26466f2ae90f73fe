"""Estimators: the scores are GridSearchCV's, to the last digit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GroupKFold,
    LeaveOneGroupOut,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from gridrun.trainers.data import Data
from tests.gridrun.estimators import (
    GROUPS,
    IRIS,
    NAMES,
    SEARCH_WEIGHS_SCORES,
    WEIGHTS,
    Read,
    X,
    Y,
    by_scorer,
    find,
    scores,
    searched,
    studies,
    weighed,
)


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Read]:
    yield from studies(tmp_path)


SVC_GRID = "C = [0.1, 1, 10]\ngamma = [0.01, 1.0]"
SVC_DICT = {"C": [0.1, 1, 10], "gamma": [0.01, 1.0]}


@pytest.mark.parametrize(
    ("load", "y"),
    [
        ("sklearn.datasets:load_iris", Y),
        ("my_model.py:words", NAMES),
        ("my_model.py:objects", NAMES.astype(object)),
        ("my_model.py:booleans", Y == 1),
        ("my_model.py:floats", Y.astype(float)),
    ],
)
def test_scores_of_a_classifier_are_grid_searchs_whatever_its_labels_are(
    read: Read, tmp_path: Path, load: str, y: Any
) -> None:
    scoring = ["accuracy", "f1_macro", "balanced_accuracy"]
    spec = read("sklearn.svm:SVC", SVC_GRID, data=f'load = "{load}"', cv=f"folds = 5\nscoring = {scoring}")
    expected = searched(SVC(), SVC_DICT, scoring, 5, y=y)
    assert by_scorer(scores(spec, tmp_path), scoring) == expected
    assert len(set(expected["f1_macro"])) > 5


@pytest.mark.parametrize(
    ("cv", "splitter"),
    [
        ('splitter = "RepeatedStratifiedKFold"\nn_splits = 2\nn_repeats = 2\nrandom_state = 3',
         RepeatedStratifiedKFold(n_splits=2, n_repeats=2, random_state=3)),
        ('splitter = "StratifiedKFold"\nshuffle = true\nrandom_state = 0',
         StratifiedKFold(shuffle=True, random_state=0)),
        ('splitter = "ShuffleSplit"\nn_splits = 3\ntest_size = 0.3\nrandom_state = 1',
         ShuffleSplit(3, test_size=0.3, random_state=1)),
        ('splitter = "GroupKFold"\nn_splits = 4', GroupKFold(4)),
        ('splitter = "LeaveOneGroupOut"\nfolds = 11', LeaveOneGroupOut()),
    ],
)  # fmt: skip
def test_scores_are_grid_searchs_with_any_splitter(
    read: Read, tmp_path: Path, cv: str, splitter: Any
) -> None:
    groups = GROUPS if "Group" in cv else None
    data = IRIS if groups is None else 'load = "my_model.py:grouped"'
    spec = read("my_model.py:scaled", "svc__C = [0.1, 10]", data=data, cv=cv)
    pipeline = make_pipeline(StandardScaler(), SVC())
    expected = searched(pipeline, {"svc__C": [0.1, 10]}, ["accuracy"], splitter, groups=groups)
    assert by_scorer(scores(spec, tmp_path), ["accuracy"]) == expected


def test_scores_of_a_regressor_are_grid_searchs_and_more_of_a_negated_error_is_better(
    read: Read, tmp_path: Path
) -> None:
    scoring = ["neg_mean_squared_error", "r2"]
    spec = read(
        "sklearn.linear_model:Ridge", "alpha = [0.01, 1, 100]", metric="neg_mean_squared_error",
        data='load = "sklearn.datasets:load_diabetes"', cv=f"folds = 5\nscoring = {scoring}",
    )  # fmt: skip
    x, y = load_diabetes(return_X_y=True)
    expected = searched(Ridge(), {"alpha": [0.01, 1, 100]}, scoring, 5, x, y)
    assert by_scorer(scores(spec, tmp_path), scoring) == expected
    assert spec.mode == "max"
    # Its name says error, and no mode is asked for.
    assert read("sklearn.linear_model:Ridge", "alpha = [1]", metric="d2_absolute_error_score").mode == "max"


@pytest.mark.parametrize(
    ("cv", "overlap"),
    [
        ("folds = 5", None),
        ('splitter = "GroupKFold"\nn_splits = 4', None),
        ('splitter = "RepeatedKFold"\nn_splits = 4', 1 / 3),
        ('splitter = "ShuffleSplit"', 0.1 / 0.9),
        ('splitter = "GroupShuffleSplit"', 0.25),
        ('splitter = "StratifiedShuffleSplit"\ntest_size = 0.5', 1.0),
    ],
)
def test_splits_that_are_drawn_or_repeated_tell_how_much_they_overlap(
    read: Read, cv: str, overlap: float | None
) -> None:
    told = read("sklearn.svm:SVC", "C = [1]", cv=cv).trainer.overlap
    assert told == pytest.approx(overlap) if overlap else told is None


def test_seeds_are_replicates_beside_the_folds(read: Read, tmp_path: Path) -> None:
    spec = read(
        "sklearn.ensemble:RandomForestClassifier", "n_estimators = [3]\n[replicate]\nrandom_state = [0, 1]"
    )
    grid = {"n_estimators": [3], "random_state": [0, 1]}
    found = scores(spec, tmp_path)
    assert by_scorer(found, ["accuracy"]) == searched(RandomForestClassifier(), grid, ["accuracy"], 3)
    assert [axis.name for axis in spec.grid.replicates] == ["random_state", "fold"]
    assert [params["fold"] for params, _ in found] == [0, 1, 2, 0, 1, 2]


def test_a_value_may_be_an_import_string_and_a_parameter_below_it_is_its_own(
    read: Read, tmp_path: Path
) -> None:
    spec = read(
        "my_model.py:scaled",
        'standardscaler = ["sklearn.preprocessing:StandardScaler", "sklearn.preprocessing:MinMaxScaler",'
        ' "passthrough"]\n[fixed]\nsvc__C = 3',
    )
    grid = {"standardscaler": [StandardScaler(), MinMaxScaler(), "passthrough"], "svc__C": [3]}
    expected = searched(make_pipeline(StandardScaler(), SVC()), grid, ["accuracy"], 3)
    # The axes of GridSearchCV are sorted by name, with the same order here.
    assert by_scorer(scores(spec, tmp_path), ["accuracy"]) == expected
    assert len(set(expected["accuracy"])) > 3


def test_a_list_is_a_tuple_where_the_default_is_one(read: Read, tmp_path: Path) -> None:
    spec = read(
        "my_text.py:make", "words__ngram_range = [[1, 1], [1, 2]]\nwords__stop_words = [['a'], ['b', 'c']]",
        data='load = "my_model.py:texts"',
    )  # fmt: skip
    (tmp_path / "my_text.py").write_text(
        "from sklearn.feature_extraction.text import CountVectorizer\nfrom sklearn.pipeline import Pipeline\n"
        "from sklearn.naive_bayes import MultinomialNB\n"
        "words = CountVectorizer(token_pattern=r'\\w')\n"
        "def make(): return Pipeline([('words', words), ('nb', MultinomialNB())])\n"
    )
    found = by_scorer(scores(spec, tmp_path), ["accuracy"])["accuracy"]
    assert len(found) == 12
    assert len(set(found)) > 1


def test_estimators_may_be_objects_scorers_and_splitters_ones_own(read: Read, tmp_path: Path) -> None:
    spec = read(
        "my_model.py:ready", "gamma = [0.1]", metric="margin",
        cv='splitter = "my_model.py:Halves"\nfolds = 2\ngap = 5\nscoring = ["my_model.py:margin", "score"]',
    )  # fmt: skip
    found = [metrics for _, metrics in scores(spec, tmp_path)]
    for metrics, train, test in zip(
        found, (np.arange(70), np.arange(80, 150)), (np.arange(75, 150), np.arange(75)), strict=True
    ):
        model = SVC(C=3.0, gamma=0.1).fit(X[train], Y[train])
        margin = float(np.abs(model.decision_function(X[test])).min())
        assert metrics == {"margin": margin, "score": model.score(X[test], Y[test])}


def test_sample_weights_go_to_the_fit_and_to_scorers_that_take_them(read: Read, tmp_path: Path) -> None:
    scoring = ["accuracy", "roc_auc_ovr", "adjusted_rand_score"]  # the last takes none
    spec = read(
        "sklearn.tree:DecisionTreeClassifier", "max_depth = [1, 3]\n[fixed]\nrandom_state = 0",
        data='load = "my_model.py:weighted"', cv=f"folds = 3\nscoring = {scoring}",
    )  # fmt: skip
    found = by_scorer(scores(spec, tmp_path), scoring)
    tree, grid = DecisionTreeClassifier(random_state=0), {"max_depth": [1, 3]}
    assert found == weighed(tree, grid, scoring, list(StratifiedKFold(3).split(X, Y)))
    assert found != searched(tree, grid, scoring, 3)
    if SEARCH_WEIGHS_SCORES:
        assert found == searched(tree, grid, scoring, 3, sample_weight=WEIGHTS)


def test_a_pipeline_hands_sample_weights_to_its_last_step(read: Read, tmp_path: Path) -> None:
    spec = read("my_model.py:scaled", "svc__C = [0.01]", data='load = "my_model.py:weighted"')
    found = [metrics["accuracy"] for _, metrics in scores(spec, tmp_path)]
    expected = []
    for train, test in StratifiedKFold(3).split(X, Y):
        model = make_pipeline(StandardScaler(), SVC(C=0.01))
        model.fit(X[train], Y[train], svc__sample_weight=WEIGHTS[train])
        expected.append(model.score(X[test], Y[test], sample_weight=WEIGHTS[test]))
    assert found == expected


def test_a_kernel_matrix_is_split_along_both_of_its_axes(read: Read, tmp_path: Path) -> None:
    kernel = X @ X.T
    (tmp_path / "my_kernel.py").write_text("from my_model import X, Y\ndef load(): return X @ X.T, Y\n")
    spec = read(
        "sklearn.svm:SVC", "C = [0.1, 1]\n[fixed]\nkernel = 'precomputed'", data='load = "my_kernel.py:load"'
    )
    expected = searched(SVC(kernel="precomputed"), {"C": [0.1, 1]}, ["accuracy"], 3, kernel, Y)
    assert by_scorer(scores(spec, tmp_path), ["accuracy"]) == expected


def test_without_y_an_estimator_scores_itself(read: Read, tmp_path: Path) -> None:
    spec = read(
        "sklearn.cluster:KMeans", "n_clusters = [2, 3]\n[fixed]\nrandom_state = 0\nn_init = 1",
        metric="score", data='load = "my_model.py:alone"',
    )  # fmt: skip
    found = by_scorer(scores(spec, tmp_path), ["score"])["score"]
    assert all(score < 0 for score in found)
    assert found[3] > found[0]


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz"])
def test_a_table_beside_grid_toml_has_its_columns_by_name(read: Read, tmp_path: Path, name: str) -> None:
    frame = (
        load_iris(as_frame=True).frame.assign(kind=NAMES, patient=GROUPS, w=WEIGHTS).drop(columns="target")
    )
    frame.to_csv(tmp_path / name, index=False)
    spec = read(
        "sklearn.svm:SVC", "C = [0.01, 1]",
        data=f'file = "{name}"\ntarget = "kind"\ngroups = "patient"\nsample_weight = "w"',
        cv='splitter = "GroupKFold"\nn_splits = 3',
    )  # fmt: skip
    splits = list(GroupKFold(3).split(X, NAMES, GROUPS))
    expected = weighed(SVC(), {"C": [0.01, 1]}, ["accuracy"], splits, NAMES)
    assert by_scorer(scores(spec, tmp_path), ["accuracy"]) == expected


def used(runner: Any) -> set[int]:
    """The examples that any cell is trained or scored on."""
    splits = [split for place, split in runner.splits.items() if place != (None, None)]
    return {int(index) for split in splits for part in split for index in part}


def test_what_is_held_out_takes_no_part(read: Read, tmp_path: Path) -> None:
    whole = read("sklearn.svm:SVC", "C = [1]").trainer.load([str(tmp_path)])
    part = read("sklearn.svm:SVC", "C = [1]", data=f"{IRIS}\ntest_size = 0.2").trainer.load([str(tmp_path)])
    assert used(whole) == set(range(150))
    assert np.bincount(Y[sorted(used(part))]).tolist() == [40, 40, 40]
    assert set(part.splits[None, None][1]) == set(range(150)) - used(part)


def test_whole_groups_are_held_out(read: Read, tmp_path: Path) -> None:
    data = 'load = "my_model.py:grouped"\ntest_size = 0.3'
    runner = read("sklearn.svm:SVC", "C = [1]", data=data, cv='splitter = "GroupKFold"').trainer.load(
        [str(tmp_path)]
    )
    left = set(GROUPS[sorted(used(runner))])
    assert len(left) < 11
    assert len(used(runner)) == sum(np.isin(GROUPS, list(left)))


def test_cells_are_named_by_the_content_of_their_data_and_splits(read: Read, tmp_path: Path) -> None:
    def name(**how: str) -> str:
        return find(read("sklearn.svm:SVC", "C = [1]", **how), tmp_path).fingerprint

    load_iris(as_frame=True).frame.to_csv(tmp_path / "x.csv", index=False)
    same = name()
    assert name(data='load = "my_model.py:alike"') == same
    assert name(cv='splitter = "StratifiedKFold"\nn_splits = 3') == same
    assert name(cv='folds = 3\nscoring = ["f1_macro", "accuracy"]') == name(
        cv='folds = 3\nscoring = ["accuracy", "f1_macro"]'
    )
    different = [
        same,
        name(cv="folds = 4"),
        name(cv='splitter = "KFold"\nn_splits = 3'),
        name(cv='folds = 3\nscoring = ["accuracy", "f1_macro"]'),
        name(data=f"{IRIS}\ntest_size = 0.2"),
        name(data='load = "my_model.py:words"'),
        name(data='file = "x.csv"\ntarget = "target"'),
    ]
    assert len(set(different)) == len(different)
    (tmp_path / "x.csv").write_text((tmp_path / "x.csv").read_text().replace("5.1", "5.2", 1))
    assert name(data='file = "x.csv"\ntarget = "target"') not in different


@pytest.mark.parametrize(
    "one",
    [
        np.arange(6.0),
        np.arange(6),
        np.arange(6.0).reshape(2, 3),
        np.array(["a", "b"]),
        np.array(["a", "b"], object),
        ["a", "c"],
        sparse.csr_matrix(np.eye(3)),
        sparse.csr_matrix(np.eye(4)),
        pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
        pd.DataFrame({"a": [1, 2], "c": ["x", "y"]}),
        pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}),
        pd.Series([1, 2]),
        pd.Series(["a", "b"], dtype="category"),
    ],
    ids=str,
)
def test_a_digest_of_data_names_content_and_type(one: Any) -> None:
    again = Data(one.copy() if hasattr(one, "copy") else list(one))
    assert again.digest() == Data(one).digest()
    other = np.arange(7.0)
    assert len({Data(one).digest(), Data(other).digest(), Data(other, one).digest()}) == 3
