"""The same cell that does nothing, under the peers: what does each cost a cell, and does it keep anything?"""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import joblib
import sklearn
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV

from benchmarks.cells import nothing

WORKERS = 2


@dataclass(frozen=True)
class Peer:
    """One way to run a grid. `cells` is as many as keep it to some seconds."""

    name: str
    kept: str
    cells: tuple[int, int, int]
    run: Callable[[dict[str, list[int]], Path], float]

    def rate(self, folder: Path) -> tuple[int, float]:
        """How many cells were run, and cells a second, workers started beforehand where that can be done."""
        space = {name: list(range(count)) for name, count in zip("abc", self.cells, strict=True)}
        count = self.cells[0] * self.cells[1] * self.cells[2]
        return count, count / self.run(space, folder)


def run_optuna(space: dict[str, list[int]], folder: Path) -> float:
    """Optuna's GridSampler on SQLite, in two processes: 35 cells a second, where one process made 26."""
    storage = f"sqlite:///{folder / 'optuna.db'}"
    _optimize(storage, space, 1)
    pool = joblib.Parallel(n_jobs=WORKERS, batch_size=1)
    pool(joblib.delayed(_optimize)(storage, space, 1) for _ in range(WORKERS))
    share = math.prod(map(len, space.values())) // WORKERS
    began = time.perf_counter()
    pool(joblib.delayed(_optimize)(storage, space, share) for _ in range(WORKERS))
    return time.perf_counter() - began


def _optimize(storage: str, space: dict[str, list[int]], trials: int) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # A seed of its own each: two samplers in step would pick the same cells.
    sampler = optuna.samplers.GridSampler(space, seed=os.getpid())
    study = optuna.create_study(study_name="s", storage=storage, sampler=sampler, load_if_exists=True)

    def objective(trial: Any) -> float:
        return nothing(**{name: trial.suggest_int(name, 0, len(space[name]) - 1) for name in space})["score"]

    study.optimize(objective, n_trials=trials)


class Nothing(BaseEstimator):  # type: ignore[misc]
    """An estimator that does nothing."""

    def __init__(self, a: int = 0, b: int = 0, c: int = 0) -> None:
        self.a, self.b, self.c = a, b, c

    def fit(self, x: Any, y: Any = None) -> "Nothing":  # noqa: ARG002
        return self

    def score(self, x: Any, y: Any = None) -> float:  # noqa: ARG002
        return nothing()["score"]


def run_grid_search(space: dict[str, list[int]], folder: Path) -> float:  # noqa: ARG001
    """scikit-learn's GridSearchCV with one split, so that a cell is one fit."""
    search = GridSearchCV(Nothing(), space, cv=[([0], [1])], n_jobs=WORKERS, refit=False)
    _start_workers()
    began = time.perf_counter()
    search.fit([[0.0], [1.0]], [0, 1])
    return time.perf_counter() - began


def run_joblib(space: dict[str, list[int]], folder: Path) -> float:  # noqa: ARG001
    """A plain loop of joblib's over the product, its results in a list."""
    cells = [dict(zip(space, values, strict=True)) for values in product(*space.values())]
    _start_workers()
    began = time.perf_counter()
    found = joblib.Parallel(n_jobs=WORKERS)(joblib.delayed(nothing)(**cell) for cell in cells)
    assert len(found) == len(cells)
    return time.perf_counter() - began


def _start_workers() -> None:
    joblib.Parallel(n_jobs=WORKERS)(joblib.delayed(nothing)() for _ in range(100))


def peers() -> list[Peer]:
    """What is installed of them."""
    found = [
        Peer(f"scikit-learn {sklearn.__version__} GridSearchCV", "nothing", (20, 20, 10), run_grid_search),
        Peer(f"joblib {joblib.__version__} Parallel", "nothing", (100, 100, 10), run_joblib),
    ]
    try:
        name = f"Optuna {version('optuna')} GridSampler, SQLite"
    except ModuleNotFoundError:
        print("Optuna is not installed and left out; `pip install -e '.[bench]'` installs it")
        return found
    return [Peer(name, "every cell", (10, 10, 3), run_optuna), *found]
