"""Estimators: what can't be is refused in one line before the first cell."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from gridrun.errors import InputError
from gridrun.spec import Spec
from tests.gridrun.estimators import IRIS, Read, scores, studies


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Read]:
    yield from studies(tmp_path)


SCALED = {"estimator": "my_model.py:scaled"}

REFUSED: list[tuple[dict[str, str], str]] = [
    ({"estimator": "sklearn.svm:SCV"}, "[sweep] estimator 'sklearn.svm:SCV': module 'sklearn.svm' is "),
    (
        {"estimator": "my_model.py:X"},
        "it is ndarray, which has no fit and get_params; write",
    ),
    ({"estimator": "sklearn.pipeline:Pipeline"}, "making it raised TypeError: "),
    ({"grid": "D = [1]"}, "has no parameter 'D'; write "),
    ({"grid": "gama = [1]"}, "has no parameter 'gama'; write gamma"),
    ({**SCALED, "grid": "svc__c = [1]"}, "has no parameter 'svc__c'; write svc__C"),
    ({**SCALED, "grid": "C = [1]"}, "has no parameter 'C'; write "),
    (
        {
            **SCALED,
            "grid": 'standardscaler = ["sklearn.preprocessing:MinMaxScaler"]\n'
            "standardscaler__with_mean = [true]",
        },
        "has no parameter 'standardscaler__with_mean'; write ",
    ),
    ({**SCALED, "grid": 'standardscaler = ["sklearn.preprocessing:Min"]'}, "has no attribute 'Min'"),
    ({"grid": "fold = [1]"}, "fold stands in two tables"),
    ({"grid": "C = [1]\n[replicate]\nfold = [1]"}, "[replicate] fold is what [cv] makes"),
    ({"more": 'mode = "min"'}, "[sweep] mode must be 'max', as of every score more is better, found 'min'"),
    ({"more": 'budget = "C"'}, "[sweep] budget: SVC has no budget axis: a longer fit of it does not contain"),
    ({"metric": "acuracy"}, "no scorer 'acuracy'; write accuracy"),
    ({"metric": "mean_squared_error"}, "no scorer 'mean_squared_error'; write neg_mean_squared_error"),
    (
        {"cv": 'folds = 3\nscoring = ["f1_macro"]'},
        "metric must be one of [cv] scoring, found 'accuracy'",
    ),
    ({"cv": 'folds = 3\nscoring = ["accuracy", "accuracy"]'}, "[cv] scoring holds the same name twice"),
    ({"cv": "folds = 3\nscoring = [1]"}, "[cv] scoring must be a list of scorers' names"),
    ({"cv": 'folds = 3\nscoring = ["accuracy", "my_model.py:X"]'}, "it cannot be called"),
    ({"cv": "folds = 1"}, "[cv] folds must be a whole number from 2, found 1; write folds = 5"),
    ({"cv": "folds = 51"}, "[cv]: n_splits=51 cannot be greater than the number of members in each class."),
    ({"cv": "scoring = ['accuracy']"}, "[cv] folds must be a whole number from 2, found none"),
    ({"cv": "folds = 3\nshuffle = true"}, "[cv] shuffle goes with a splitter, found True; write splitter = "),
    ({"cv": 'splitter = "KFolds"\nfolds = 3'}, "[cv]: no splitter 'KFolds'; write "),
    ({"cv": 'splitter = "KFold"\nfolds = 3'}, "[cv] KFold has n_splits, found folds; write n_splits = 3"),
    ({"cv": 'splitter = "KFold"\nn_split = 3'}, "unexpected keyword argument 'n_split'"),
    (
        {"cv": 'splitter = "KFold"\nshuffle = true'},
        "KFold splits anew each time it is asked; write",
    ),
    ({"cv": 'splitter = "LeaveOneGroupOut"'}, "needs folds, as many as it makes of these data"),
    (
        {"cv": 'splitter = "LeaveOneGroupOut"\nfolds = 5', "data": 'load = "my_model.py:grouped"'},
        "LeaveOneGroupOut makes 11 splits of these data; write folds = 11",
    ),
    ({"cv": 'splitter = "GroupKFold"'}, "[cv]: The 'groups' parameter should not be None."),
    (
        {"data": 'load = "my_model.py:grouped"'},
        "StratifiedKFold ignores groups: one would be on both sides; write splitter = ",
    ),
    ({"data": 'load = "sklearn.datasets:load_iri"'}, "has no attribute 'load_iri'; write load_iris"),
    (
        {"data": 'load = "my_model.py:random"'},
        "gives other data each time it is called; write",
    ),
    ({"data": 'load = "my_model.py:scaled"'}, "load gave Pipeline; return X, y"),
    (
        {"data": 'load = "my_model.py:X"'},
        "[data]: loading raised TypeError: 'numpy.ndarray' object",
    ),
    ({"data": f'{IRIS}\ntarget = "y"'}, "[data] target goes with file"),
    ({"data": f'{IRIS}\nfile = "x.csv"'}, "[data] needs load or file, found both"),
    ({"data": 'target = "y"'}, "[data] needs load or file, found neither"),
    ({"data": 'file = "x.txt"'}, "[data] file must end with .csv, .csv.gz or .parquet"),
    ({"data": 'file = "y.csv"'}, "[data]: no file 'y.csv'; write one that lies beside grid.toml"),
    ({"data": 'file = "x.csv"\ntarget = "c"'}, "[data]: x.csv has no column 'c'; write one of a, b"),
    ({"data": 'file = "x.csv"\ntarget = "a"\ngroups = "a"'}, "[data] names one column twice"),
    ({"data": f"{IRIS}\ntest_size = 1.5"}, "[data] test_size must be a share or a number of examples"),
    ({"data": f"{IRIS}\ntest_size = 150"}, "[data] test_size: "),
    ({"data": f"{IRIS}\nlod = 1"}, "[data] has no key 'lod'"),
    (
        {
            "estimator": "sklearn.neighbors:KNeighborsClassifier",
            "grid": "n_neighbors = [1]",
            "data": 'load = "my_model.py:weighted"',
        },
        "its fit takes no sample weights; leave them out of [data]",
    ),
]


@pytest.mark.parametrize(
    ("how", "told"), REFUSED, ids=lambda each: json.dumps(each) if isinstance(each, dict) else ""
)
def test_what_can_not_be_is_refused_in_one_line_before_the_first_cell(
    read: Read, tmp_path: Path, how: dict[str, str], told: str
) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError) as refused:
        scores(read(how.pop("estimator", "sklearn.svm:SVC"), how.pop("grid", "C = [1]"), **how), tmp_path)
    assert told in str(refused.value)
    assert "grid.toml: " in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_parquet_file_is_a_table_like_another_and_the_package_that_it_needs_is_named(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a", "b", "c", "d", "label"]
    table = pd.DataFrame(np.column_stack(load_iris(return_X_y=True)), columns=names)
    table.to_csv(tmp_path / "x.csv", index=False)
    table.to_csv(tmp_path / "x.parquet", index=False)  # as what stands in for pyarrow reads it
    found = []
    for ending in ("csv", "parquet"):
        spec = read("sklearn.svm:SVC", "C = [1]", data=f'file = "x.{ending}"\ntarget = "label"')
        if ending == "parquet":
            monkeypatch.setattr(pd, "read_parquet", missing)
            with pytest.raises(InputError, match=r"x.parquet: reading it needs a package; write pip install"):
                scores(spec, tmp_path)
            monkeypatch.setattr(pd, "read_parquet", pd.read_csv)
        found.append(scores(spec, tmp_path))
    assert found[0] == found[1]


def missing(_: Path) -> None:
    raise ImportError("no engine,\ntold at length")


@pytest.mark.parametrize("table", ["data", "cv"])
def test_an_estimator_needs_data_and_cv_and_other_trainers_have_none(table: str) -> None:
    tables = {"data": IRIS, "cv": "folds = 3"}
    text = '[sweep]\nname = "t"\nmetric = "accuracy"\n{}\n[grid]\nC = [1]\n'
    own = "".join(f"[{name}]\n{keys}\n" for name, keys in tables.items() if name != table)
    with pytest.raises(
        InputError, match=rf"an estimator needs \[{table}\], found none; write \[{table}\] and "
    ):
        Spec.parse(text.format('estimator = "sklearn.svm:SVC"') + own, "grid.toml")
    with pytest.raises(InputError, match=rf"\[{table}\] goes with estimator, found train under \[sweep\]"):
        Spec.parse(text.format('train = "m:f"') + f"[{table}]\n{tables[table]}\n", "grid.toml")
