"""`make profile`: where the time of a training step goes, operation by operation."""

import argparse
import time
from typing import Any

import numpy as np
from numba import njit

from cnn_core import engine, loop
from cnn_core.architecture import build_layers, initial_parameters, initial_statistics
from cnn_core.compilation import load_engine
from cnn_core.config import Config
from cnn_core.fuse import fuse
from cnn_core.kernels import layout
from cnn_core.kernels.cross_entropy import backward_cross_entropy, forward_cross_entropy
from cnn_core.kernels.operations import blocks_of
from cnn_core.kernels.pointer import call_operation
from cnn_core.kernels.simd import part
from cnn_core.layers import CrossEntropy
from cnn_core.runner import choose

REPETITIONS = 9
# By the kind of operation, as cnn_core.fuse numbers them.
NAMES = ("convolution", "normalisation", "ReLU, dropout, maximum", "linear")


@njit
def _repeat(state, what, number, images, labels, times):  # type: ignore[no-untyped-def]
    """Do one part of a step so many times, without Python in between."""
    n = labels.size
    last = state.table[-1]
    logits, upstream = part(state.memory, last.y), part(state.memory, last.dy)
    size, classes = last.y_size, last.k
    for _ in range(times):
        if what == 0:
            for i in range(n):
                engine.place_image(state, i, images, i)
        elif what == 1:
            engine.pack_weights(state, np.bool_(True))
        elif what == 2:
            engine.run_forward(state, number, n, np.bool_(True), 0.3, np.uint64(1))
        elif what == 3:
            forward_cross_entropy(logits, size, classes, labels, 0.0, upstream)
            backward_cross_entropy(upstream, size, classes, labels, 0.0, upstream, n)
        elif what == 4:
            engine.run_backward(state, number, n, 0.3)
        else:
            engine.update(state, np.float32(0))


@njit
def _repeat_operation(state, place, number, last, times):  # type: ignore[no-untyped-def]
    """Run a kernel of the loop so many times, on the images before `last`."""
    op = state.table[number]
    for _ in range(times):
        call_operation(place, op, state, 0, last, True, np.uint64(1))


def profile_loop(config: Config, shape: tuple[int, int, int], classes: int) -> list[tuple[str, float]]:
    """The same of a network that the loop runs; `prepare` and `finish` are once a step."""
    rng, layers, n = np.random.default_rng(0), build_layers(config, shape, classes), config.batch_size
    runner: Any = choose(layers, shape, CrossEntropy())
    runner.begin(initial_parameters(layers, shape, "glorot", rng), initial_statistics(layers, shape), n)
    state: loop.State = runner._state
    state.memory[state.x :][: n * state.x_size] = rng.random(n * state.x_size)
    rows = [
        "-".join(type(layer).__name__ for layer in block)
        for block, operation in blocks_of(layers, shape)
        for _ in operation.passes
    ]
    together, found = min(n, state.chunk), []
    for kind in ("prepare", "forward", "backward", "finish"):
        order = range(len(rows) - 1, -1, -1) if kind == "backward" else range(len(rows))
        for number in order:
            place, of_step = int(state.table[kind][number]), kind in ("prepare", "finish")
            if place:
                last, seconds = 0 if of_step else together, []
                times = max(1, 600 // together)
                for _ in range(REPETITIONS):
                    began = time.perf_counter()
                    _repeat_operation(state, place, number, last, times)
                    seconds.append((time.perf_counter() - began) / times)
                found.append(
                    (f"{kind} {number} {rows[number]}", min(seconds) * (1 if of_step else n / together))
                )
    return found


def profile(config: Config, shape: tuple[int, int, int], classes: int) -> list[tuple[str, float]]:
    """Return (part of a step, seconds) in the order of a step, each the least of some repetitions."""
    rng = np.random.default_rng(0)
    network = fuse(build_layers(config, shape, classes), shape)
    if network is None:
        return profile_loop(config, shape, classes)
    load_engine()
    n = config.batch_size
    images = rng.random((n, *shape), dtype=np.float32)
    labels = rng.integers(0, classes, n).astype(np.int32)
    state = layout.allocate(
        network,
        initial_parameters(network.layers, shape, "glorot", rng),
        initial_statistics(network.layers, network.shape),
        n,
    )
    engine.train_epoch(state, images, labels, np.arange(n), n, 0.01, 0.3, 1)
    kinds = [NAMES[row["kind"]] for row in state.table]
    parts = [("gather of the images", 0, 0), ("packing of the weights", 1, 0)]
    parts += [(f"forward {i} {name}", 2, i) for i, name in enumerate(kinds)]
    parts += [("cross-entropy", 3, 0)]
    parts += [(f"backward {i} {kinds[i]}", 4, i) for i in range(len(kinds) - 1, -1, -1)]
    parts += [("update of the parameters", 5, 0)]
    times = max(1, 3000 // n)
    found = []
    for label, what, number in parts:
        seconds = []
        for _ in range(REPETITIONS):
            began = time.perf_counter()
            _repeat(state, what, number, images, labels, times)
            seconds.append((time.perf_counter() - began) / times)
        found.append((label, min(seconds)))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile")
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--channels", type=int, nargs="+", default=[6, 16])
    parser.add_argument("--kernel", type=int, default=5)
    parser.add_argument("--padding", type=int, default=0)
    parser.add_argument("--norm-at", default="first")
    parser.add_argument("--shape", type=int, nargs=3, default=[1, 28, 28], metavar=("C", "H", "W"))
    options = parser.parse_args()
    config = Config(
        batch_size=options.batch, conv_channels=tuple(options.channels), kernel_size=options.kernel,
        padding=options.padding, norm_at=options.norm_at,
    )  # fmt: skip
    found = profile(config, tuple(options.shape), 10)
    whole = sum(seconds for _, seconds in found)
    print(f"a step of {options.batch} images {options.shape}, conv_channels {options.channels}: us an image")
    for label, seconds in found:
        print(f"{label:<52} {seconds / options.batch * 1e6:8.2f} {seconds / whole:6.1%}")
    print(f"{'all':<52} {whole / options.batch * 1e6:8.2f}")


if __name__ == "__main__":
    main()
