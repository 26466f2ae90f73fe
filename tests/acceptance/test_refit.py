"""[refit] and nested selection, by the whole program: what is run once more after a sweep."""

import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    StratifiedShuffleSplit,
    cross_val_score,
)
from sklearn.svm import SVC

import gridrun
from gridrun.errors import InputError
from gridrun.outcome import NOTHING
from gridrun.store import Store
from tests.acceptance.backends import BACKENDS
from tests.acceptance.conftest import Begin, Run
from tests.acceptance.quick import tables_of

pytestmark = pytest.mark.slow

TRAIN = """
import os, time
from pathlib import Path

import numpy as np


def train(*, a, epochs, ledger, seed=0, split="validation", fold=None, outer=None, output_dir=None, nap=0.0,
          resume_from=0, fail=""):
    chance = np.random.default_rng([a, seed, len(split), 9 if fold is None else fold, outer or 0])
    values = chance.random(epochs) / 100
    for epoch in range(resume_from, epochs):
        time.sleep(nap if split == "test" else 0)
        with Path(ledger).open("a") as file:
            print(a, epoch, seed, split, fold, outer, file=file)
        Path(output_dir, "checkpoint").write_text(str(epoch))
        if split == "test" and fail:
            raise ValueError(fail)
        level = 0.5 if split == "test" else 0.6
        yield {"accuracy": level + a / 10 + epoch / 100 + values[epoch], "more": epoch}
"""
GRID = """
[sweep]
name = "again"
train = "train.py:train"
metric = "accuracy"
budget = "epochs"
[fixed]
ledger = "LEDGER"
nap = 0.0
[grid]
a = [1, 2, 3]
epochs = [2, 4]
"""
SEEDS = "[replicate]\nseed = [5, 6]\n"
REFIT = '[refit]\nsplit = "test"\n'
NESTED = "[replicate]\nouter = [0, 1, 2]\nfold = [0, 1]\n"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    (tmp_path / "train.py").write_text(TRAIN)

    def grid(*parts: str, nap: float = 0.0) -> str:
        text = GRID.replace("LEDGER", str(tmp_path / "ledger")).replace("nap = 0.0", f"nap = {nap}")
        (tmp_path / "g.toml").write_text(text + "".join(parts))
        return "g.toml"

    return grid


def take_ledger(folder: Path) -> list[list[str]]:
    """Every epoch that was run since the last look."""
    path = folder / "ledger"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [line.split() for line in lines]


def stored_epochs(folder: Path, trajectory: str) -> int:
    with Store.read(folder) as store:
        return store.progress().get(trajectory, NOTHING).epochs


def summary(folder: Path) -> dict[str, Any]:
    gridrun.load(folder).report()
    found: dict[str, Any] = json.loads((folder / "report" / "summary.json").read_text())
    return found


@pytest.mark.parametrize("backend", [backend.name for backend in BACKENDS if backend.installed])
def test_what_is_chosen_is_run_once_more_and_then_known(
    run: Run, tmp_path: Path, write: Any, backend: str
) -> None:
    grid = write(SEEDS, REFIT)
    ended = run("sweep", grid, "--out", "o", "--backend", backend)
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (
        0, "12 completed, 0 failed; next: gridrun report o",
    )  # fmt: skip
    assert "gridrun: refit of what is chosen: " in ended.stderr
    again = [line for line in take_ledger(tmp_path) if line[3] == "test"]
    # The chosen combination, the first seed, as many epochs as were chosen.
    assert again == [["3", str(epoch), "5", "test", "None", "None"] for epoch in range(4)]
    told = summary(tmp_path / "o")["refit"]
    assert told["params"] | {"ledger": "", "nap": 0} == {
        "a": 3, "epochs": 4, "seed": 5, "split": "test", "ledger": "", "nap": 0,
    }  # fmt: skip
    assert told["status"] == "completed"
    assert told["metric"] == told["metrics"]["accuracy"] == pytest.approx(0.84, abs=0.02)
    assert told["metrics"]["more"] == 3
    assert told["chosen"] == gridrun.load(tmp_path / "o").best["accuracy"].iloc[0]
    files = list((tmp_path / "o" / "cells" / "refit").glob("*/checkpoint"))
    assert [file.read_text() for file in files] == ["3"]
    shown = run("show", "refit", "o").stdout
    assert shown.startswith(f"cell {told['cell']}: completed")
    assert str(files[0].parent.relative_to(tmp_path)) in shown
    assert "Refit with split test: " in run("report", "o").stdout
    ended = run("sweep", grid, "--out", "o", "--backend", backend)
    assert ended.returncode == 0
    assert take_ledger(tmp_path) == []
    assert summary(tmp_path / "o")["refit"] == told


def test_another_choice_is_another_run_and_the_old_one_stays(run: Run, tmp_path: Path, write: Any) -> None:
    run("sweep", write(SEEDS, REFIT), "--out", "o")
    first = summary(tmp_path / "o")["refit"]
    take_ledger(tmp_path)
    write(SEEDS, REFIT, '[select]\nrule = "one_se"\nprefer = ["epochs"]\n')
    text = (tmp_path / "g.toml").read_text().replace("a = [1, 2, 3]", "a = [1, 2, 3, 4]")
    (tmp_path / "g.toml").write_text(text)
    run("sweep", "g.toml", "--out", "o")
    second = summary(tmp_path / "o")["refit"]
    assert second["params"]["a"] == 4
    assert second["cell"] != first["cell"]
    run("sweep", write(SEEDS, REFIT), "--out", "o")  # back: it is found as it was left
    assert [line for line in take_ledger(tmp_path) if line[3] == "test" and line[0] == "3"] == []
    assert summary(tmp_path / "o")["refit"] == first


def test_null_leaves_a_parameter_out_and_a_budget_may_be_set(run: Run, tmp_path: Path, write: Any) -> None:
    run("sweep", write(SEEDS, REFIT, "seed = { null = true }\nepochs = 6\n"), "--out", "o")
    again = [line for line in take_ledger(tmp_path) if line[3] == "test"]
    assert [line[:3] for line in again] == [["3", str(epoch), "0"] for epoch in range(6)]
    assert "seed" not in summary(tmp_path / "o")["refit"]["params"]


def test_a_refit_that_fails_is_told_kept_and_retried_when_asked(run: Run, tmp_path: Path, write: Any) -> None:
    grid = write(SEEDS, REFIT, 'fail = "no luck"\n')
    ended = run("sweep", grid, "--out", "o")
    assert ended.returncode == 1
    assert ended.stderr.endswith("refit failed: ValueError: no luck (train.py:18)\n  gridrun show refit o\n")
    assert "Refit with split test, fail no luck failed: ValueError" in run("report", "o").stdout
    assert summary(tmp_path / "o")["refit"] | {"params": 0, "chosen": 0, "cell": 0} == {
        "params": 0, "metric": None, "metrics": {}, "cell": 0, "status": "failed", "chosen": 0,
    }  # fmt: skip
    assert "ValueError: no luck" in run("show", "refit", "o").stdout
    take_ledger(tmp_path)
    assert run("sweep", grid, "--out", "o").returncode == 1
    assert take_ledger(tmp_path) == []
    text = (tmp_path / "train.py").read_text().replace("raise ValueError(fail)", "pass")
    (tmp_path / "train.py").write_text(text)
    assert run("sweep", grid, "--out", "o", "--retry-failed").returncode == 0
    assert summary(tmp_path / "o")["refit"]["status"] == "completed"


def test_a_refit_that_was_killed_goes_on_from_its_checkpoint(
    run: Run, begin: Begin, tmp_path: Path, write: Any
) -> None:
    grid = write(REFIT, nap=1.2)
    sweep = begin(grid, "--out", "o")
    refits = tmp_path / "o" / "cells" / "refit"
    while not any(stored_epochs(tmp_path / "o", path.name) for path in refits.glob("*")):
        assert sweep.poll() is None
        time.sleep(0.02)
    sweep.send_signal(signal.SIGKILL)
    sweep.wait()
    before = [line for line in take_ledger(tmp_path) if line[3] == "test"]
    assert run("sweep", grid, "--out", "o").returncode == 0
    after = [line for line in take_ledger(tmp_path) if line[3] == "test"]
    assert before[0][1] == "0"
    assert after[0][1] != "0"
    assert run("sweep", grid, "--out", "clean").returncode == 0
    assert tables_of(tmp_path / "o", tmp_path / "x") == tables_of(tmp_path / "clean", tmp_path / "x")
    assert summary(tmp_path / "o")["refit"] == summary(tmp_path / "clean")["refit"]


def test_the_first_interrupt_ends_a_refit_like_a_sweep(begin: Begin, tmp_path: Path, write: Any) -> None:
    grid = write(REFIT, nap=0.4)
    sweep = begin(grid, "--out", "o", "--jobs", "1")
    while not any((tmp_path / "o" / "cells" / "refit").glob("*/checkpoint")):
        assert sweep.poll() is None
        time.sleep(0.02)
    sweep.send_signal(signal.SIGINT)
    sweep.communicate(timeout=60)
    assert sweep.returncode == 0  # the refit, which was in flight, was all that was left
    assert summary(tmp_path / "o")["refit"]["status"] == "completed"


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (['[refit]\nsplits = "test"\n'], "unexpected keyword argument 'splits'"),
        (["[refit]\nseeds = { null = true }\n"], "[refit] seeds = null leaves out a parameter that is not"),
        (["[refit]\nepochs = 0\n"], "[refit] epochs is the budget, a whole number from 1, found 0"),
        (["[refit]\nepochs = { null = true }\n"], "[refit] epochs is the budget, a whole number from 1"),
        (["[refit]\na = { null = true }\n"], "missing a required argument: 'a'"),
    ],
)
def test_a_refit_that_cannot_be_is_refused_before_the_first_cell(
    run: Run, tmp_path: Path, write: Any, parts: Sequence[str], told: str
) -> None:
    ended = run("sweep", write(*parts), "--out", "o")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert told in ended.stderr
    assert not (tmp_path / "o").exists()
    assert take_ledger(tmp_path) == []


def test_nested_selection_needs_a_function_that_does_without_fold(
    run: Run, tmp_path: Path, write: Any
) -> None:
    write(NESTED)
    text = (tmp_path / "train.py").read_text().replace("fold=None, outer=None", "fold, outer=None")
    (tmp_path / "train.py").write_text(text)
    ended = run("sweep", "g.toml", "--out", "o", "--dry-run")
    assert ended.returncode == 2
    assert "missing a required argument: 'fold'" in ended.stderr
    assert "scores a choice on its outer fold: without `fold`" in ended.stderr


def test_each_outer_fold_chooses_by_its_inner_folds_and_is_scored_on_itself(
    run: Run, tmp_path: Path, write: Any
) -> None:
    ended = run("sweep", write(NESTED), "--out", "o")
    assert ended.returncode == 0, ended.stderr
    again = [line for line in take_ledger(tmp_path) if line[4] == "None"]
    assert sorted({line[5] for line in again}) == ["0", "1", "2"]
    cells = gridrun.load(tmp_path / "o").cells
    nested = summary(tmp_path / "o")["nested"]
    for outer, fold in enumerate(nested["folds"]):
        inner = cells[cells["outer"] == outer].groupby(["a", "epochs"])["accuracy"].mean()
        assert (fold["params"]["a"], fold["params"]["epochs"]) == inner.idxmax()
        assert fold["chosen"] == pytest.approx(inner.max())
        with Store.read(tmp_path / "o") as store:
            scored = {name: trajectory for name, trajectory, _ in store.reruns()}
            history = store.history_of(scored[f"outer {outer}"]).metrics
        assert fold["metric"] == history[fold["params"]["epochs"] - 1]["accuracy"]
    scores = [fold["metric"] for fold in nested["folds"]]
    assert nested["metric"] == pytest.approx(np.mean(scores))
    assert nested["std"] == pytest.approx(np.std(scores, ddof=1))
    assert sum(choice["count"] for choice in nested["choices"]) == 3
    assert "Nested: what inner folds choose scores 0." in run("report", "o").stdout
    assert "\n  fold = " not in run("show", "outer 1", "o").stdout


X, Y = load_iris(return_X_y=True)
SVC_GRID = {"C": [0.1, 1, 10], "gamma": [0.001, 0.01, 1.0]}


def split_off() -> tuple[Any, Any]:
    kept, held = next(StratifiedShuffleSplit(1, test_size=0.2, random_state=0).split(X, Y))
    return np.sort(kept), np.sort(held)


def test_of_an_estimator_nested_and_refit_scores_are_those_of_scikit_learn(run: Run, tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(
        '[sweep]\nname = "svc"\nestimator = "sklearn.svm:SVC"\nmetric = "accuracy"\n[grid]\n'
        + "".join(f"{name} = {values}\n" for name, values in SVC_GRID.items())
        + '[data]\nload = "sklearn.datasets:load_iris"\ntest_size = 0.2\n'
        "[cv]\nfolds = 3\nouter = 4\n[refit]\n"
    )
    assert run("sweep", "g.toml", "--out", "o").returncode == 0
    told = summary(tmp_path / "o")
    kept, held = split_off()
    search = GridSearchCV(SVC(), SVC_GRID, cv=3)
    assert [fold["metric"] for fold in told["nested"]["folds"]] == list(
        cross_val_score(search, X[kept], Y[kept], cv=4)
    )
    best = SVC(**{name: told["chosen"]["params"][name] for name in SVC_GRID}).fit(X[kept], Y[kept])
    assert told["refit"]["metric"] == best.score(X[held], Y[held])
    (file,) = (tmp_path / "o" / "cells" / "refit").glob("*/estimator.joblib")
    assert (joblib.load(file).predict(X) == best.predict(X)).all()


def test_from_python_the_same(tmp_path: Path) -> None:
    found = gridrun.sweep(
        SVC(), SVC_GRID, metric="accuracy", data=(X, Y), cv=3, outer=4, test_size=0.2, refit={},
        out=tmp_path / "o", jobs=1, quiet=True,
    ).summary  # fmt: skip
    kept, held = split_off()
    search = GridSearchCV(SVC(), SVC_GRID, cv=3)
    assert [fold["metric"] for fold in found["nested"]["folds"]] == list(
        cross_val_score(search, X[kept], Y[kept], cv=4)
    )
    best = SVC(**{name: found["chosen"]["params"][name] for name in SVC_GRID}).fit(X[kept], Y[kept])
    assert found["refit"]["metric"] == best.score(X[held], Y[held])


def test_outer_folds_keep_groups_together(tmp_path: Path) -> None:
    groups = np.arange(150) % 11
    found = gridrun.sweep(
        SVC(), {"C": [0.1, 10]}, metric="accuracy", data=(X, Y, groups), cv=GroupKFold(3), outer=4,
        out=tmp_path / "o", backend="sequential", quiet=True,
    ).summary["nested"]  # fmt: skip
    for (train, test), fold in zip(GroupKFold(4).split(X, Y, groups), found["folds"], strict=True):
        search = GridSearchCV(SVC(), {"C": [0.1, 10]}, cv=GroupKFold(3)).fit(
            X[train], Y[train], groups=groups[train]
        )
        assert fold["params"]["C"] == search.best_params_["C"]
        assert fold["metric"] == search.score(X[test], Y[test])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"refit": {}}, "gridrun.sweep: refit needs data that took no part"),
        ({"outer": 1}, "gridrun.sweep: outer must be a number of folds from 2, found 1"),
        ({"test_size": 2.5}, "gridrun.sweep: test_size must be a share or a number of examples, found 2.5"),
        ({"replicate": {"outer": [1]}, "outer": 2}, "replicate['outer'] is what outer makes"),
    ],
)
def test_of_an_estimator_in_hand_what_can_not_be_is_refused(
    tmp_path: Path, more: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError) as error:
        gridrun.sweep(
            SVC(), {"C": [1]}, metric="accuracy", data=(X, Y), cv=3, out=tmp_path / "o", quiet=True, **more
        )
    assert told in str(error.value)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[cv]\nfolds = 3\n[refit]\n", "[refit] needs data that took no part, found none; write [data] test"),
        ("[cv]\nfolds = 3\nouter = 1\n", "[cv] outer must be a whole number from 2, found 1"),
        ('[cv]\nsplitter = "TimeSeriesSplit"\nouter = 3\n', "[cv] outer folds know no time"),
        ("[cv]\nfolds = 3\n[replicate]\nouter = [0, 1]\n", "[replicate] outer is what [cv] makes"),
    ],
)
def test_of_an_estimator_what_can_not_be_is_refused(run: Run, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "g.toml").write_text(
        '[sweep]\nname = "svc"\nestimator = "sklearn.svm:SVC"\nmetric = "accuracy"\n[grid]\nC = [1]\n'
        f'[data]\nload = "sklearn.datasets:load_iris"\n{text}'
    )
    ended = run("sweep", "g.toml", "--out", "o")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert told in ended.stderr
