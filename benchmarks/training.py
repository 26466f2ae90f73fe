"""How fast does one core train and evaluate, beside PyTorch, the machine's sgemm and the report's loops?

`python -m benchmarks.training`, a part of `make bench`. Each row is one network and batch size: PyTorch and
cnn_core take turns on the same images in the same order, evaluation excluded, after a turn that does not
count. Ratios are medians of the pairs' ratios; microseconds are medians too.
"""

import math
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.report_loops import seconds_per_image
from cnn_core.architecture import (
    build_layers,
    build_rule,
    initial_parameters,
    initial_statistics,
    shapes_before,
)
from cnn_core.config import Config
from cnn_core.layers import Conv2d, CrossEntropy, Linear
from cnn_core.runner import choose

PAIRS = 7
LOOP_IMAGES = 30


@dataclass(frozen=True)
class Setup:
    """A network and what it is fed; `options` of its configuration, whose defaults are the study's."""

    batch: int
    shape: tuple[int, int, int] = (1, 28, 28)
    images: int = 600
    epochs: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        return Config(batch_size=self.batch, **self.options)


def _batches(*batches: int, **more: Any) -> list[Setup]:
    return [Setup(batch, **more) for batch in batches]


STUDY = _batches(1, 3, 5, 10, 30, 128)
GELU_ADAM = {
    "norm": "group", "norm_at": "all", "activation": "gelu", "optimizer": "adam", "dropout_rate": 0.0,
}  # fmt: skip
TANH_MOMENTUM = {"norm_at": "all", "activation": "tanh", "momentum": 0.9, "dropout_rate": 0.0}
PADDED = {"conv_channels": (32, 64, 128), "kernel_size": 3, "padding": 1}
WIDE = {"conv_channels": (32, 64), "kernel_size": 3}
CIFAR = 3, 32, 32
OTHERS = [
    *(("group norm, GELU, Adam", s) for s in _batches(1, 3, 5, 10, 30, 128, options=GELU_ADAM)),
    *(("batch norms, tanh, momentum", s) for s in _batches(1, 3, 5, 10, 30, 128, options=TANH_MOMENTUM)),
    *(("[32, 64, 128], kernel 3, padding 1, 3x32x32", s)
      for s in _batches(1, 10, 30, 128, shape=CIFAR, options=PADDED)),
    ("MNIST shape, 60,000 images, 5 epochs", Setup(30, images=60_000, epochs=5)),
    *(("CIFAR-10 shape, 3x32x32", s) for s in _batches(10, 30, 128, shape=CIFAR)),
    *(("conv_channels [32, 64], kernel 3", s) for s in _batches(1, 10, 128, options=WIDE)),
    ("conv_channels [32, 64], 3x32x32", Setup(30, shape=CIFAR, options=WIDE)),
    ("[128, 256, 512], kernel 3, padding 1, 3x32x32",
     Setup(10, shape=CIFAR, images=60, options=PADDED | {"conv_channels": (128, 256, 512)})),
    ("[256, 256], kernel 5", Setup(10, images=40, options={"conv_channels": (256, 256)})),
]  # fmt: skip


@dataclass(frozen=True)
class Timing:
    """Seconds an image: medians of PyTorch's and of ours, and the median of the pairs' ratios."""

    torch: float
    ours: float
    ratio: float


class Pair:
    """One network twice, with the same images."""

    def __init__(self, setup: Setup) -> None:
        from benchmarks import torch_network

        self.setup, config, shape = setup, setup.config, setup.shape
        rng = np.random.default_rng(0)
        self.images = rng.random((setup.images, *shape), dtype=np.float32)
        self.labels: NDArray[np.int32] = rng.integers(0, 10, setup.images).astype(np.int32)
        self.order = rng.permutation(setup.images)
        layers = build_layers(config, shape, 10)
        parameters = initial_parameters(layers, shape, "glorot", rng)
        self.rule = build_rule(config, layers, shape)
        self.rule.begin(parameters)
        self.runner = choose(layers, shape, CrossEntropy())
        self.runner.begin(parameters, initial_statistics(layers, shape), setup.batch)
        torch = torch_network.build(layers, shape)
        self.torch = torch_network.Trainer(torch, self.images, self.labels, self.rule.optimiser, rate=0.001)

    def train_torch(self) -> None:
        for _ in range(self.setup.epochs):
            self.torch.train_epoch(self.order, self.setup.batch)

    def train_ours(self) -> None:
        for epoch in range(self.setup.epochs):
            self.runner.train_epoch(
                self.images, self.labels, self.order, self.setup.batch, 0.001, epoch, self.rule
            )

    def evaluate_torch(self) -> None:
        self.torch.evaluate(self.images, self.labels, 100)

    def evaluate_ours(self) -> None:
        self.runner.evaluate(self.images, self.labels)


def compare(torch: Any, ours: Any, images: int, pairs: int = PAIRS) -> Timing:
    """Let both take turns."""
    seconds = []
    for number in range(pairs + 1):
        turn = []
        for run in (torch, ours):
            began = time.perf_counter()
            run()
            turn.append((time.perf_counter() - began) / images)
        if number or pairs == 1:
            seconds.append(turn)
    return Timing(
        statistics.median(t for t, _ in seconds),
        statistics.median(o for _, o in seconds),
        statistics.median(t / o for t, o in seconds),
    )


def sgemm_flops() -> float:
    """Floating operations a second of NumPy's product of two large float32 matrices, on one thread."""
    a = np.ones((2048, 2048), np.float32)
    best = float("inf")
    with threadpool_limits(1, user_api="blas"):
        for _ in range(6):
            began = time.perf_counter()
            _ = a @ a
            best = min(best, time.perf_counter() - began)
    return 2 * 2048**3 / best


def step_flops(setup: Setup) -> int:
    """Floating operations of training on one image: the products of forward and backward pass, two each.

    Counted in full, as a matrix product would make them; no gradient for the images.
    """
    layers, found = build_layers(setup.config, setup.shape, 10), 0
    for before, layer in zip(shapes_before(layers, setup.shape), layers, strict=True):
        if isinstance(layer, Conv2d | Linear):
            inputs = math.prod(before) if isinstance(layer, Linear) else before[0] * layer.size**2
            products = inputs * math.prod(layer.output_shape(before))
            found += 2 * products * (3 if found else 2)
    return found


def print_study(flops: float) -> None:
    """The study's network at each batch size."""
    print("| batch | PyTorch, us an image | cnn_core | ratio | limit | times the limit | report's loops |")
    print("|---|---|---|---|---|---|---|")
    for setup in STUDY:
        pair = Pair(setup)
        timing = compare(pair.train_torch, pair.train_ours, setup.images)
        limit = step_flops(setup) / flops
        loops = seconds_per_image(setup.batch, LOOP_IMAGES) if setup.batch <= LOOP_IMAGES else 0.0
        faster = f"{loops / timing.ours:.0f} times slower" if loops else ""
        print(
            f"| {setup.batch} | {timing.torch * 1e6:.0f} | {timing.ours * 1e6:.1f} | {timing.ratio:.1f}"
            f" | {limit * 1e6:.1f} | {timing.ours / limit:.1f} | {faster} |"
        )
    pair = Pair(STUDY[0])
    timing = compare(pair.evaluate_torch, pair.evaluate_ours, STUDY[0].images, 2 * PAIRS)
    print(
        f"\nEvaluation, PyTorch in batches of 100: {timing.torch * 1e6:.1f} us an image,"
        f" cnn_core {timing.ours * 1e6:.2f}, ratio {timing.ratio:.1f}.\n"
    )


def print_others(flops: float) -> None:
    """Other images, other networks: no size may be the only one that is fast."""
    print("| network | batch | PyTorch, us an image | cnn_core | ratio | times the limit |")
    print("|---|---|---|---|---|---|")
    for name, setup in OTHERS:
        pair = Pair(setup)
        pairs = 1 if setup.images > 600 else PAIRS
        timing = compare(pair.train_torch, pair.train_ours, setup.images * setup.epochs, pairs)
        limit = step_flops(setup) / flops
        print(
            f"| {name} | {setup.batch} | {timing.torch * 1e6:.0f} | {timing.ours * 1e6:.1f}"
            f" | {timing.ratio:.1f} | {timing.ours / limit:.1f} |"
        )
    print()


def main() -> None:
    """Print the tables, in Markdown."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
    if allowed:
        os.sched_setaffinity(0, {min(allowed)})
    flops = sgemm_flops()
    print("## Training on one core\n")
    print(f"sgemm, 2048 x 2048, one thread: {flops / 1e9:.0f} GFLOP/s.\n")
    print_study(flops)
    print_others(flops)
    if allowed:
        os.sched_setaffinity(0, allowed)


if __name__ == "__main__":
    main()
