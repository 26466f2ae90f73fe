"""How long does a sweep of an estimator take, beside GridSearchCV? `python -m benchmarks estimator`.

64 candidates x 5 folds of SVC on digits, two workers: the whole program of each, from start to end, in
turns. GridSearchCV keeps nothing before it is done; gridrun keeps every fold on disk. All 320 scores are
compared, to the last digit. CPU seconds are those of all processes of a program: what else the machine runs
changes them less.
"""

import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
GRIDRUN = str(Path(sys.executable).with_name("gridrun"))
ROUNDS = 5
KEPT = {"GridSearchCV": "nothing before its end", "gridrun": "every fold as it is done"}

GRID = """
[sweep]
name = "svc"
estimator = "sklearn.svm:SVC"
metric = "accuracy"
[data]
load = "sklearn.datasets:load_digits"
[cv]
folds = 5
[grid]
C = { from = 0.01, to = 100000, num = 8, scale = "log" }
gamma = { from = 1e-6, to = 0.01, num = 8, scale = "log" }
[run]
jobs = 2
"""

SEARCH = """
import json, sys, tomllib
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC
x, y = load_digits(return_X_y=True)
grid = json.loads(sys.argv[1])
found = GridSearchCV(SVC(), grid, cv=5, n_jobs=2, refit=False).fit(x, y).cv_results_
json.dump([[found[f"split{k}_test_score"][i] for k in range(5)] for i in range(64)], sys.stdout)
"""


def main() -> None:
    """Measure and print: about three minutes."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as folder:
        grid = Path(folder) / "grid.toml"
        grid.write_text(GRID)
        wall: dict[str, list[float]] = {name: [] for name in KEPT}
        cpu: dict[str, list[float]] = {name: [] for name in KEPT}
        for number in range(ROUNDS):
            directory = Path(folder) / str(number)
            scores: list[list[float]] = []
            for name in KEPT if number % 2 else reversed(KEPT):
                began, used = time.perf_counter(), _cpu_s()
                if name == "gridrun":
                    _run([GRIDRUN, "sweep", str(grid), "--out", str(directory), "--quiet"])
                else:
                    scores = json.loads(_run([sys.executable, "-c", SEARCH, json.dumps(_axes(grid))]))
                wall[name].append(time.perf_counter() - began)
                cpu[name].append(_cpu_s() - used)
            _run([GRIDRUN, "report", str(directory)])
            if _kept(directory) != [score for folds in scores for score in folds]:
                sys.exit("the scores differ")
    print("## An estimator: 64 candidates x 5 folds of SVC on digits, two workers\n")
    print("| whole program | keeps | seconds | CPU seconds |\n|---|---|---|---|")
    for name, kept in KEPT.items():
        print(f"| {name} | {kept} | {_tell(wall[name], 1)} | {_tell(cpu[name], 1)} |")
    print(f"| gridrun by GridSearchCV | | {_tell(_ratios(wall), 3)} | {_tell(_ratios(cpu), 3)} |")
    print(f"\nMedians of {ROUNDS} pairs, and extremes. All 320 scores are the same to the last digit.\n")


def _tell(values: list[float], digits: int) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _ratios(times: dict[str, list[float]]) -> list[float]:
    return [ours / theirs for ours, theirs in zip(times["gridrun"], times["GridSearchCV"], strict=True)]


def _cpu_s() -> float:
    """Seconds that processes which have ended have used, with what they had started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _axes(grid: Path) -> dict[str, list[float]]:
    """The axes as gridrun reads them: the same numbers for both."""
    from gridrun.spec import Spec

    return {axis.name: [float(str(value)) for value in axis.values] for axis in Spec.read(grid).grid.axes}


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(command[:3])}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def _kept(directory: Path) -> list[float]:
    with (directory / "report" / "cells.csv").open(newline="") as rows:
        return [float(row["accuracy"]) for row in csv.DictReader(rows)]


if __name__ == "__main__":
    main()
