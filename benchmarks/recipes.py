"""The recipes of examples/recipes, with PyTorch beside: how soon 98.5 %, and how good after 30 epochs.

Each run is a process of its own on one core, timed from its start: Python, imports, reading the images,
training, an evaluation after each epoch. The two take turns. PyTorch has the same layers, its own default
initialisation, the same rates, batches and images, augmented by the same function.

    python -m benchmarks.recipes [data_seed]      with MNIST's files named by CNN_CORE_DATA
"""

import json
import os
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "examples" / "recipes"
SEEDS = range(5)
ENOUGH = 0.985


def read(name: str) -> dict[str, Any]:
    """The parameters of a recipe: of zipped axes the last values."""
    recipe = tomllib.loads((RECIPES / f"{name}.toml").read_text())
    axes = [recipe["grid"], *recipe.get("zip", {}).values()]
    last = {axis: values[-1] for group in axes for axis, values in group.items()}
    return {**recipe["fixed"], **last}


def train_ours(params: dict[str, Any]) -> Iterator[float]:
    """The accuracy after each epoch."""
    import cnn_core

    for metrics in cnn_core.train(**params):
        yield float(metrics["accuracy"])  # type: ignore[arg-type]


def train_torch(params: dict[str, Any]) -> Iterator[float]:
    """The same with PyTorch."""
    import numpy as np
    import torch

    from benchmarks import torch_network
    from cnn_core import Config, augmentation
    from cnn_core.architecture import build_layers
    from cnn_core.optimisers import SGD
    from cnn_core.train import _images

    config = Config(**params)
    images = _images(config)
    torch.manual_seed(config.seed)
    shape = (1, 28, 28)
    network = torch_network.build(build_layers(config, shape, 10), shape)
    trainer = torch_network.Trainer(network, images.train_x, images.train_y, SGD(), config.learning_rate)
    trainer.optimiser = torch.optim.SGD(
        network.parameters(), lr=config.learning_rate, momentum=config.momentum, nesterov=config.nesterov
    )
    limits = {name: getattr(config, f"augment_{name}") for name in ("shift", "rotate", "scale")}
    for epoch in range(config.epochs):
        trainer.optimiser.param_groups[0]["lr"] = config.rate(epoch)
        rng = np.random.default_rng([config.seed, epoch])
        if any(limits.values()):
            trainer.images = torch.from_numpy(augmentation.warp(images.train_x, rng, **limits))
        trainer.train_epoch(rng.permutation(config.train_size), config.batch_size)
        _, accuracy = trainer.evaluate(images.held_x, images.held_y, 100)
        yield accuracy


WAYS = {"cnn_core": train_ours, "PyTorch": train_torch}


def run(way: str, params: dict[str, Any]) -> list[tuple[float, ...]]:
    """Of each epoch: seconds from the start of the process, of them on the CPU, and the accuracy."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.recipes", "--run", way, json.dumps(params)]
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        found = [(time.perf_counter() - began, *map(float, line.split())) for line in process.stdout]
    if process.returncode:
        sys.exit(f"{way} failed")
    return found


def main() -> None:
    """Print the figures, in Markdown."""
    data_seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    for way in WAYS:  # kernels are compiled, files are in memory
        run(way, {**read("mnist-600"), "epochs": 1})
        run(way, {**read("mnist-quick"), "epochs": 1})
    print(f"| recipe, data_seed {data_seed} | | {' | '.join(f'seed {seed}' for seed in SEEDS)} | median |")
    print("|---|---|---|---|---|---|---|---|")
    told: dict[tuple[str, str], list[float]] = {}
    for seed in SEEDS:
        for way in WAYS:
            quick = run(way, {**read("mnist-quick"), "seed": seed, "data_seed": data_seed})
            enough = [epoch for epoch in quick if epoch[2] >= ENOUGH] or [(float("inf"), float("inf"), 0.0)]
            long = run(way, {**read("mnist-600"), "seed": seed, "data_seed": data_seed})
            for what, value in (
                (f"seconds to {100 * ENOUGH:g} %", enough[0][0]),
                ("of them on the CPU", enough[0][1]),
                ("600 images, 30 epochs, %", 100 * long[-1][2]),
            ):
                told.setdefault((what, way), []).append(value)
                print(f"{what}, {way}, seed {seed}: {value:.1f}", file=sys.stderr)
    for (what, way), values in told.items():
        each = " | ".join(f"{value:.1f}" for value in values)
        print(f"| {what} | {way} | {each} | {statistics.median(values):.1f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        for accuracy in WAYS[sys.argv[2]](json.loads(sys.argv[3])):
            print(time.process_time(), accuracy, flush=True)
    else:
        main()
