"""How long does the 160-cell study take, beside PyTorch under joblib and the report's loops?

`python -m benchmarks.study`, a part of `make bench`: the whole program, `gridrun sweep grid.toml`, processes
started from cold; then one worker against two, a worker's memory, and the first start with nothing compiled.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from benchmarks import report_loops
from cnn_core import datasets, train
from cnn_core.architecture import build_layers
from cnn_core.config import Config
from cnn_core.optimisers import SGD
from gridrun.errors import GridrunError
from gridrun.store import Store

ROOT = Path(__file__).parent.parent
GRIDRUN = str(Path(sys.executable).with_name("gridrun"))
RATES, DROPOUTS = (0.001, 0.01, 0.1, 0.05), (0.2, 0.3, 0.4, 0.6)
SWEEPS = 5


def train_torch_cell(learning_rate: float, dropout_rate: float, epochs: int, batch_size: int) -> list[float]:
    """One cell as a PyTorch user would write it: the same images, schedule and accuracy after each epoch."""
    import torch

    from benchmarks import torch_network

    torch.manual_seed(0)
    images = datasets.load(
        "digits",
        data_dir=None,
        train_size=600,
        test_size=1000,
        data_seed=0,
        split="test",
        validation_size=None,
    )
    shape = 1, 28, 28
    network = torch_network.build(build_layers(Config(dropout_rate=dropout_rate), shape, 10), shape)
    trainer = torch_network.Trainer(network, images.train_x, images.train_y, SGD(), learning_rate)
    rng, rate, found = np.random.default_rng(0), learning_rate, []
    for epoch in range(epochs):
        rate *= 0.95**epoch
        for group in trainer.optimiser.param_groups:
            group["lr"] = rate
        trainer.train_epoch(rng.permutation(600), batch_size)
        found.append(trainer.evaluate(images.test_x, images.test_y, 100)[1])
    return found


def torch_study() -> float:
    """Seconds of the 160 cells in PyTorch on two processes, started from cold."""
    cells = product(RATES, DROPOUTS, report_loops.EPOCHS, report_loops.BATCH_SIZES)
    began = time.perf_counter()
    Parallel(n_jobs=2)(delayed(train_torch_cell)(*cell) for cell in cells)
    return time.perf_counter() - began


def loops_study() -> float:
    """Seconds of the 160 cells in the report's loops, EXTRAPOLATED from some images of each batch size."""
    epochs = report_loops.COMBINATIONS * sum(report_loops.EPOCHS)
    training = sum(report_loops.seconds_per_image(batch, 30) for batch in report_loops.BATCH_SIZES)
    evaluation = report_loops.evaluation_seconds_per_image(30) * len(report_loops.BATCH_SIZES)
    return epochs * (report_loops.TRAIN_SIZE * training + report_loops.TEST_SIZE * evaluation)


def sweep(grid: str, folder: Path, jobs: int = 2, **environment: str) -> float:
    """Seconds of `gridrun sweep` on that grid, which lands in `folder`."""
    file = folder.with_suffix(".toml")
    file.write_text(grid)
    began = time.perf_counter()
    subprocess.run(
        [GRIDRUN, "sweep", str(file), "--out", str(folder), "--jobs", str(jobs), "--quiet"],
        check=True, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - began


def seconds_between_outcomes(folder: Path) -> float:
    """From the first outcome of a sweep to its last: start-up excluded."""
    with Store.read(folder) as store:
        times = [datetime.fromisoformat(store.run_of(name)["finished_at"]) for name, _ in store.histories()]
    return (max(times) - min(times)).total_seconds()


def seconds_to_first_result(grid: str, folder: Path) -> float:
    """From the start of a sweep to its first outcome on disk, with nothing compiled."""
    file = folder.with_suffix(".toml")
    file.write_text(grid)
    began = time.perf_counter()
    running = subprocess.Popen(
        [GRIDRUN, "sweep", str(file), "--out", str(folder), "--jobs", "2", "--quiet"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder.with_name("cache"))},
    )  # fmt: skip
    while running.poll() is None:
        with suppress(GridrunError), Store.read(folder) as store:
            if next(store.histories(), None) is not None:
                break
        time.sleep(0.05)
    seconds = time.perf_counter() - began
    running.wait()
    return seconds


def train_and_weigh(**params: Any) -> Iterator[dict[str, float]]:
    """cnn_core.train, and the most memory that this process has had, in MB."""
    for metrics in train(**params):
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield {**metrics, "peak_mb": kilobytes / (1024 if sys.platform == "linux" else 1024**2)}


def peak_mb(grid: str, folder: Path) -> float:
    """The most memory of any worker of a sweep."""
    sweep(grid.replace("cnn_core:train", "benchmarks.study:train_and_weigh"), folder)
    with Store.read(folder) as store:
        return max(history[-1]["peak_mb"] for _, history in store.histories())


def main() -> None:
    """Print the lines, in Markdown."""
    grid = (ROOT / "grid.toml").read_text()
    seeds = grid + "\n[replicate]\nseed = {}\n"
    print("## The study: 160 cells, two workers\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sweep(grid, folder / "warm")
        seconds = statistics.median(sweep(grid, folder / f"study-{i}") for i in range(SWEEPS))
        torch, loops = torch_study(), loops_study()
        print("| | seconds | times ours |")
        print("|---|---|---|")
        print(f"| `gridrun sweep grid.toml`, median of {SWEEPS} | {seconds:.2f} | |")
        print(f"| PyTorch under joblib, two processes | {torch:.1f} | {torch / seconds:.1f} |")
        print(f"| the report's loops, one process, extrapolated | {loops:.0f} | {loops / seconds:.0f} |\n")
        long = seeds.format("[0, 1, 2]")
        one, two = [], []
        for i in range(3):
            for jobs, found in ((1, one), (2, two)):
                sweep(long, folder / f"jobs-{jobs}-{i}", jobs)
                found.append(seconds_between_outcomes(folder / f"jobs-{jobs}-{i}"))
        ratio = statistics.median(a / b for a, b in zip(one, two, strict=True))
        print(
            f"- One worker against two, three seeds, from the first outcome to the last: {ratio:.2f} times."
        )
        few, many = peak_mb(grid, folder / "few"), peak_mb(seeds.format("[0, 1, 2, 3]"), folder / "many")
        print(f"- The most memory of a worker: {few:.0f} MB after 160 cells, {many:.0f} MB after 640.")
        first = seconds_to_first_result(grid, folder / "cold")
        print(f"- Nothing compiled: first result after {first:.1f} s.\n")


if __name__ == "__main__":
    main()
