"""By how much does the score flatter that a configuration was chosen by?

`python -m benchmarks.selection [DATA_DIR]` writes results/selection/flattery.csv and flattery.png: the
study's grid on 20 draws of 600 training and 1,000 test images, of the embedded digits, and of MNIST if the
folder that holds `mnist/` is named. For each draw a configuration is chosen in several ways, and what was
said of it is compared with its accuracy on images that took no part in anything: 5,000 of MNIST, 197 of the
digits. About 50 minutes on two cores; it resumes, and what flattery.csv has already is kept.
"""

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from scipy import stats

import cnn_core
import gridrun
from benchmarks.selection_trainer import CHOSEN_ON
from benchmarks.selection_trainer import train as train_and_tell

HERE = Path(__file__).parents[1] / "results" / "selection"
SWEEPS = Path(".bench-selection")
DRAWS = range(20)
GRID = {
    "learning_rate": [0.001, 0.01, 0.1, 0.05],
    "dropout_rate": [0.2, 0.3, 0.4, 0.6],
    "epochs": [2, 5],
    "batch_size": [1, 3, 5, 10, 30],
}
UNTOUCHED = {"digits": 197, "mnist": 5000}
FOLDS = list(range(5))

# How the configuration is chosen: the train function, what is fixed besides, what is averaged over.
WAYS: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, list[int]]]] = {
    "test images, as the study": (train_and_tell, {}, {}),
    "validation split, 480 + 120": (cnn_core.train, {"split": "validation"}, {}),
    "5-fold on the 600": (cnn_core.train, {"split": "folds"}, {"fold": FOLDS}),
    "nested, 5 x 3-fold on the 600": (
        cnn_core.train, {"split": "folds", "folds": 3}, {"outer": FOLDS, "fold": FOLDS[:3]},
    ),
}  # fmt: skip
STUDY, NESTED = (list(WAYS)[place] for place in (0, -1))


def choose(dataset: str, data_dir: str | None, draw: int, way: str) -> gridrun.Results:
    """Sweep the study's grid on one draw of the images, or find that it was done."""
    train, fixed, replicate = WAYS[way]
    fixed = {"dataset": dataset, "data_seed": draw, "train_size": 600, "init": "report", **fixed}
    fixed["test_size"] = CHOSEN_ON + (UNTOUCHED[dataset] if way == STUDY else 0)
    if data_dir is not None:
        fixed["data_dir"] = data_dir
    place = SWEEPS / dataset / f"{draw}-{list(WAYS).index(way)}"
    return gridrun.sweep(
        train, GRID, fixed=fixed, replicate=replicate, metric="accuracy", budget="epochs",
        name="selection", out=place, jobs=-1, quiet=True,
    )  # fmt: skip


def measure(dataset: str, data_dir: str | None, known: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield what each way says of its choice on each draw, and what is true of it.

    What is in the table `known` is not measured again.
    """
    for draw in DRAWS:
        here = known[(known["dataset"] == dataset) & (known["draw"] == draw)]
        if not set(WAYS) <= set(here["way"]):
            truths = choose(dataset, data_dir, draw, STUDY).cells.set_index(list(GRID))["truth"]
        for way in WAYS:
            yield from here[here["way"] == way].to_dict("records")
            if way in set(here["way"]):
                continue
            found = choose(dataset, data_dir, draw, way)
            chosen = tuple(found.best_params[name] for name in GRID)
            summary = found.summary
            corrected = summary["corrected"] or {}
            said = found.best["accuracy"].iloc[0] if way != NESTED else summary["nested"]["metric"]
            yield {
                "dataset": dataset,
                "draw": draw,
                "way": way,
                "said": said,
                "corrected": corrected.get("mean", math.nan),
                "low": corrected.get("low", math.nan),
                "high": corrected.get("high", math.nan),
                "truth": truths[chosen],
                **dict(zip(GRID, chosen, strict=True)),
            }
        print(f"{dataset}: draw {draw} done", file=sys.stderr)


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """What is said less what is true, in points: mean over draws and its 95 % interval (t)."""
    rows = []
    for (dataset, way), part in table.groupby(["dataset", "way"], sort=False):
        for told, label in (("said", way), ("corrected", f"{way}, corrected (BBC-CV)")):
            if told == "corrected" and way == NESTED:
                continue  # it is corrected already
            points = 100 * (part[told] - part["truth"])
            half = stats.t.ppf(0.975, len(points) - 1) * stats.sem(points)
            covered = ((part["low"] <= part["truth"]) & (part["truth"] <= part["high"])).sum()
            rows.append(
                {
                    "dataset": dataset,
                    "chosen on": label,
                    "told": 100 * part[told].mean(),
                    "true": 100 * part["truth"].mean(),
                    "flatters by": points.mean(),
                    "+-": half,
                    "interval holds the truth": f"{covered} of {len(part)}" if told == "corrected" else "",
                }
            )
    return pd.DataFrame(rows)


def draw_picture(table: pd.DataFrame, path: Path) -> None:
    """A dot for each way, with its interval; a panel for each dataset."""
    datasets = list(table["dataset"].unique())
    figure, panels = plt.subplots(
        1, len(datasets), figsize=(4.2 * len(datasets) + 3, 3.4), sharey=True, squeeze=False
    )
    for panel, dataset in zip(panels[0], datasets, strict=True):
        part = table[table["dataset"] == dataset][::-1]
        panel.axvline(0, color="0.6", linewidth=1)
        panel.errorbar(part["flatters by"], part["chosen on"], xerr=part["+-"], fmt="o", capsize=3)
        panel.set_title(f"{dataset}: {UNTOUCHED[dataset]:,} untouched images")
        panel.set_xlabel("points told above the truth (mean of 20 draws, 95 %)")
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure, write the table of draws and the picture, print the summary."""
    folders: dict[str, str | None] = {"digits": None}
    if len(sys.argv) > 1:
        folders["mnist"] = str(Path(sys.argv[1]).resolve())
    HERE.mkdir(exist_ok=True)
    file = HERE / "flattery.csv"
    known = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=["dataset", "draw", "way"])
    table = pd.DataFrame(
        [row for dataset, folder in folders.items() for row in measure(dataset, folder, known)]
    )
    table.to_csv(file, index=False, float_format="%.6g")
    summary = differences(table)
    draw_picture(summary, HERE / "flattery.png")
    print(summary.round(2).to_string(index=False))


if __name__ == "__main__":
    main()
