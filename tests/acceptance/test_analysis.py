"""What a grid proves, by the whole program: the same bytes however the sweep was run."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest

import gridrun
from tests.acceptance.conftest import Begin, Run

TRAIN = """
import time
from pathlib import Path

import numpy as np

def train(*, a, norm, seed, epochs, ledger):
    chance = np.random.default_rng([a, len(norm), seed])
    for epoch in range(epochs):
        time.sleep(0.02)
        with Path(ledger).open("a") as file:
            print(a, file=file)
        correct = chance.random(150) < 0.5 + 0.02 * a + 0.05 * epoch
        yield {"accuracy": correct.mean(), "correct": correct}
"""
GRID = """
[sweep]
name = "proof"
train = "train.py:train"
metric = "accuracy"
budget = "epochs"
[fixed]
ledger = "LEDGER"
[grid]
a = [1, 2, 3, 4]
norm = ["batch", "layer"]
epochs = [1, 3]
[replicate]
seed = [0, 1, 2]
[select]
rule = "one_se"
prefer = ["a", "epochs"]
[refit]
seed = 9
[run]
"""


@pytest.mark.slow
def test_every_file_is_the_same_for_any_number_of_workers_order_and_interruption(
    run: Run, begin: Begin, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    text = GRID.replace("LEDGER", str(tmp_path / "ledger"))
    (tmp_path / "one.toml").write_text(f"{text}jobs = 1\n")
    (tmp_path / "many.toml").write_text(f'{text}jobs = 4\norder = "random"\n')
    assert run("sweep", "one.toml", "--out", "one").returncode == 0
    (tmp_path / "ledger").unlink()
    sweep = begin("many.toml", "--out", "many")
    while not (tmp_path / "ledger").exists() or len((tmp_path / "ledger").read_text()) < 40:  # of 144 epochs
        assert sweep.poll() is None
        time.sleep(0.02)
    sweep.send_signal(signal.SIGKILL)
    sweep.wait()
    assert run("sweep", "many.toml", "--out", "many").returncode == 0
    for name, threads in (("one", "1"), ("many", "2")):
        done = run("report", name, OPENBLAS_NUM_THREADS=threads, OMP_NUM_THREADS=threads)
        assert done.returncode == 0, done.stderr
    files = {path.name for path in (tmp_path / "one" / "report").iterdir()}
    assert {"summary.json", "effects.csv", "isolation.csv", "sensitivity.csv", "report.html"} < files
    assert files == {path.name for path in (tmp_path / "many" / "report").iterdir()}
    for name in files - {"timings.csv", "report.html"}:  # the page says when and where
        one, many = ((tmp_path / out / "report" / name).read_bytes() for out in ("one", "many"))
        assert one == many, name


@pytest.mark.slow
def test_one_standard_error_and_ties_of_an_estimator_are_those_of_gridsearchcvs_scores(
    tmp_path: Path,
) -> None:
    """As in scikit-learn's examples of balancing complexity and of comparing models, recomputed."""
    pytest.importorskip("sklearn", reason="scikit-learn comes with [test]")
    from scipy import stats
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import GridSearchCV
    from sklearn.tree import DecisionTreeClassifier

    depths, data = [1, 2, 3, 4, 6, 8], load_breast_cancer(return_X_y=True)
    results = gridrun.sweep(
        DecisionTreeClassifier(random_state=0),
        {"max_depth": depths},
        data=data,
        cv=10,
        metric="accuracy",
        select={"rule": "one_se", "prefer": ["max_depth"]},
        out=tmp_path / "out",
        backend="sequential",
        quiet=True,
    )
    search = GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": depths}, cv=10).fit(*data)
    folds = np.array([search.cv_results_[f"split{k}_test_score"] for k in range(10)])
    mean, error = folds.mean(axis=0), folds.std(axis=0, ddof=1) / np.sqrt(10)
    best = int(mean.argmax())
    within = np.flatnonzero(mean >= mean[best] - error[best])
    assert len(within) > 1
    assert results.best_params["max_depth"] == depths[best]
    assert results.chosen_params["max_depth"] == depths[within[0]] != depths[best]
    summary = results.summary
    raw = []
    for other in (other for other in range(len(depths)) if other != best):
        difference = folds[:, best] - folds[:, other]
        t = difference.mean() / np.sqrt(difference.var(ddof=1) * (1 / 10 + 1 / 9))
        raw.append(2 * stats.t.sf(abs(t), 9))
    # Holm over all fifteen pairs: the k-th smallest is multiplied by fifteen less what came before it.
    adjusted = np.minimum(np.maximum.accumulate(np.sort(raw) * (15 - np.arange(5))), 1)
    assert summary["tied_count"] == (adjusted > 0.05).sum()
    assert sorted(pick["p"] for pick in summary["tied"]) == pytest.approx(list(adjusted[adjusted > 0.05]))
    low, high = stats.t.interval(0.95, 9, mean[best], error[best] * np.sqrt(1 + 10 / 9))
    assert (summary["best"]["low"], summary["best"]["high"]) == pytest.approx((low, high))
