"""The compiled loop over any layers gives the textbook's numbers, but for rounding in float32."""

import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numba import njit
from scipy import special

from cnn_core import ConfigError, Network, compilation, loop
from cnn_core.architecture import flat_order, weights
from cnn_core.kernels import functions, simd
from cnn_core.kernels.operations import OPERATIONS, blocks_of
from cnn_core.layers import (
    GELU,
    LAYERS,
    BatchNorm2d,
    Conv2d,
    CrossEntropy,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    LayerNorm,
    Linear,
    MaxPool2d,
    ReLU,
    SiLU,
    SpatialDropout,
    Tanh,
)
from cnn_core.optimisers import L2, SGD, Adam, Momentum, Rule
from cnn_core.runner import choose
from tests.cnn_core.cases import CASES, Case, name
from tests.cnn_core.test_network import BETWEEN

Array = np.ndarray[Any, np.dtype[Any]]


class Step:
    """One step of the loop at rate 0, and the textbook's with the same numbers and the same noise."""

    def __init__(self, network: Network, images: Array, labels: Array, key: int = 5) -> None:
        layers, shape, loss = network.layers, network.shapes[0], network.loss
        order, places = flat_order(layers, shape), loop.places(layers, shape)
        flat, running = (
            np.concatenate([np.zeros(0), *(a.ravel() for own in arrays for a in own.values())])
            for arrays in (network.parameters, network.statistics)
        )
        with compilation.compiling("loop", *loop.kernels_of(layers, shape)):
            self.state = loop.allocate(layers, shape, flat[order], running, len(images))
            loop.warm(self.state)
        self.logits = loop.predict(self.state, images)
        rule = Rule(SGD(), [], weights(layers, shape))
        rule.begin(flat.astype(np.float32))
        self.loss = loop.train_epoch(
            self.state, images, labels.astype(np.int32), np.arange(len(images)), len(images), 0.0, key, rule,
            loss.smoothing,
        )  # fmt: skip
        own = np.empty(flat.size)
        own[places] = self.state.memory[self.state.gradient :][: flat.size]
        self.gradient = np.empty(flat.size)
        self.gradient[order] = own
        self.statistics = loop.trained(self.state, places, running.size)[1]

    def noise(self, network: Network, count: int) -> list[Array | None]:
        """What the textbook is given to drop what the loop has dropped."""
        found, rows, state = list[Array | None](), iter(self.state.table), self.state
        image: tuple[int, ...] = ()
        for block, operation in blocks_of(network.layers, network.shapes[0]):
            before = network.shapes[len(found)]
            image = before if len(before) == 3 else image
            own = [next(rows) for _ in operation.passes]
            if not isinstance(block[0], Dropout | SpatialDropout):
                found += [None] * len(block)
                if Dropout(0.0) in block:  # of a block's, what is kept cannot be seen
                    at = len(found) - len(block) + block.index(Dropout(0.0))
                    found[at] = np.ones((count, *network.shapes[at]))
                continue
            op, size = own[0], math.prod(before)
            x, y = (
                np.stack([state.memory[op[at] + n * op["x_size"] :][:size] for n in range(count)])
                for at in ("x", "y")
            )
            kept = ((y != 0) | (x == 0)).astype(float)
            if len(image) == 3:
                kept = kept.reshape(count, *image[1:], image[0]).transpose(0, 3, 1, 2)
                kept = kept.reshape(count, *before)
            found.append(kept.min(axis=(2, 3)) if isinstance(block[0], SpatialDropout) else kept)
        return found


def assert_equals_textbook(network: Network, images: Array, labels: Array) -> None:
    logits = network.logits(images)
    step = Step(network, images, labels)
    np.testing.assert_allclose(step.logits, logits, rtol=2e-4, atol=2e-4 * np.abs(logits).max() + 1e-5)
    noise = step.noise(network, len(images))
    loss, gradients = network.gradients(images, labels, noise)
    assert step.loss == pytest.approx(loss, rel=1e-4)
    wanted = np.concatenate([np.zeros(0), *(a.ravel() for own in gradients for a in own.values())])
    np.testing.assert_allclose(step.gradient, wanted, rtol=1e-3, atol=3e-4 * np.abs(wanted).max() + 1e-6)
    running = np.concatenate([np.zeros(0), *(a.ravel() for own in network.statistics for a in own.values())])
    np.testing.assert_allclose(step.statistics, running, rtol=1e-4, atol=1e-4)


def move_away_from_0(network: Network, rng: np.random.Generator) -> None:
    """What is 0 looks like dropped."""
    for own in network.parameters:
        for array in own.values():
            array += 0.1 * rng.standard_normal(array.shape)


def test_every_layer_of_the_textbook_has_kernels() -> None:
    assert set(OPERATIONS) == set(LAYERS.values())


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_layers_kernels_equal_the_textbook(case: Case) -> None:
    """Behind a layer with parameters, whose gradient is what dx makes it; before another."""
    layer, shape = case
    before: list[Layer] = [Conv2d(shape[0], 1)] if len(shape) == 3 else [Linear(shape[0])]
    network = Network([*before, layer, Flatten(), Linear(3)], shape, dtype=np.float64)
    rng = np.random.default_rng(1)
    move_away_from_0(network, rng)
    assert_equals_textbook(network, rng.standard_normal((4, *shape)), rng.integers(3, size=4))


@given(st.lists(st.sampled_from(BETWEEN), min_size=1, max_size=6), st.booleans(), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_any_network_has_the_textbooks_gradients(between: list[Layer], pooled: bool, seed: int) -> None:
    end = [GlobalAvgPool2d()] if pooled else [Flatten(), Dropout(0.2)]
    layers, shape = [Conv2d(2, 3), *between, *end, Linear(3)], (2, 8, 7)
    try:
        network = Network(layers, shape, loss=CrossEntropy(0.1), seed=seed, dtype=np.float64)
    except ConfigError:  # a layer that does not fit what the ones before it left
        reject()
    rng = np.random.default_rng(seed)
    move_away_from_0(network, rng)
    assert_equals_textbook(network, rng.random((4, *shape)), rng.integers(3, size=4))


WIDE: list[list[Layer]] = [
    [Conv2d(20, 3, padding=1), BatchNorm2d(), Tanh(), MaxPool2d(3, 2, 1), Conv2d(37, 3), BatchNorm2d(),
     SiLU(), GlobalAvgPool2d(), Linear(33), ReLU(), Linear(4)],
    [Conv2d(17, 2, stride=2), LayerNorm(), GELU(), Flatten(), LayerNorm(), Flatten(), Linear(19), Tanh(),
     Flatten(), Linear(4)],
    [Flatten(), Linear(144), ReLU(), Linear(4)],
]  # fmt: skip


@pytest.mark.parametrize("layers", WIDE, ids=str)
def test_more_images_than_go_through_together_and_more_channels_than_a_vector_has(
    layers: list[Layer],
) -> None:
    network = Network(layers, (2, 9, 8), dtype=np.float64)
    rng = np.random.default_rng(1)
    assert_equals_textbook(network, rng.random((41, 2, 9, 8)), rng.integers(4, size=41))


@dataclass(frozen=True)
class InNumPy(ReLU):
    """A layer of a user's that numba does not compile; test_own_layers.py has those that it does."""

    def forward(self, x: Array) -> Array:
        return np.piecewise(x, [x > 0], [lambda x: x, 0])


@pytest.mark.parametrize(
    ("layers", "chosen"),
    [
        ([Conv2d(2, 3), ReLU(), MaxPool2d(), Flatten(), Linear(3)], "_Fused"),
        ([Conv2d(2, 3), Tanh(), MaxPool2d(), Flatten(), Linear(3)], "_Looped"),
        ([Conv2d(2, 3), InNumPy(), MaxPool2d(), Flatten(), Linear(3)], "_Composed"),
    ],
    ids=str,
)
def test_python_runs_only_networks_with_a_layer_that_is_not_compiled(
    layers: list[Layer], chosen: str
) -> None:
    assert type(choose(layers, (1, 8, 8), CrossEntropy())).__name__ == chosen


@dataclass(frozen=True)
class OwnL2(L2):
    """A regulariser of a user's."""


@pytest.mark.parametrize("activation", [ReLU(), Tanh()], ids=["engine", "loop"])
def test_a_regulariser_of_ones_own_is_applied_between_steps(activation: Layer) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.random((12, 1, 8, 8)), rng.integers(3, size=12)
    found = []
    for regulariser in (L2(0.1), OwnL2(0.1)):
        network = Network([Conv2d(2, 3), activation, MaxPool2d(), Flatten(), Linear(3)], (1, 8, 8))
        how: dict[str, Any] = {"rate": 0.1, "epochs": 3, "batch_size": 5, "regularisers": [regulariser]}
        found.append(list(network.train(images, labels, Momentum(), **how)))
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_an_epoch_in_pieces_is_the_same_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images, labels, found = rng.random((40, 1, 8, 8)), rng.integers(3, size=40), []
    for images_at_a_time in (1, 1000):
        monkeypatch.setattr(loop, "PIECE_IMAGES", images_at_a_time)
        monkeypatch.setattr(loop, "PIECE_S", 0)
        network = Network([Conv2d(2, 3), Dropout(0.3), GELU(), Flatten(), Linear(3)], (1, 8, 8))
        found.append(list(network.train(images, labels, Adam(), rate=0.1, epochs=2, batch_size=3)))
    assert found[0] == found[1]


@pytest.mark.slow
def test_only_what_a_network_uses_is_compiled(tmp_path: Path) -> None:
    code = (
        "import numpy as np; from cnn_core import Network; from cnn_core.layers import *;"
        "from cnn_core.optimisers import Momentum; n = Network([Flatten(), Tanh(), Linear(2)], (1, 2, 2));"
        "print(len(list(n.train(np.ones((3, 1, 2, 2)), [0, 1, 0], Momentum(), rate=0.1))))"
    )
    settings = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=settings, check=True, stderr=subprocess.DEVNULL)
    compiled = {path.name.split("-")[0] for path in tmp_path.rglob("*.nbc")}
    assert {"activations.forward_tanh", "linear.forward", "linear.backward", "rules.momentum"} <= compiled
    assert not {name for name in compiled if name.startswith(("conv2d", "channel_norms", "pools"))}
    others = {"activations.forward_gelu", "activations.backward_tanh", "rules.adam", "engine.run"}
    assert not others & compiled


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_without_compilation_training_is_refused_in_words(activation: str) -> None:
    code = f"import cnn_core; next(iter(cnn_core.train(activation={activation!r})))"
    settings = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True)
    assert "ConfigError: NUMBA_DISABLE_JIT is set" in done.stderr.splitlines()[-1]


@njit
def over(x: Array, y: Array, what: int) -> None:
    for i in range(0, x.size, simd.LANES):
        v = simd.load(x, i)
        if what == 0:
            simd.store(y, i, functions.exponential(v))
        elif what == 1:
            simd.store(y, i, functions.hyperbolic_tangent(v))
        else:
            simd.store(y, i, functions.normal_below(v, functions.bell(v)))


@pytest.mark.parametrize(("what", "wanted"), [(0, np.exp), (1, np.tanh), (2, special.ndtr)], ids=str)
def test_functions_of_vectors_are_scipys(what: int, wanted: Any) -> None:
    x = np.linspace(-30, 30, 16 * 6000).astype(np.float32)
    x[:16] = 0, -0.0, np.nan, np.inf, -np.inf, 1e-20, -1e-20, 87, -87, -1e30, 3, 4, 5, 6, 7, 8
    y = np.empty(x.size + simd.SLACK, np.float32)
    over(x, y, what)
    with np.errstate(over="ignore"):
        exact = wanted(x.astype(np.float64))
    near = np.isfinite(x) & (np.abs(exact) < 1e38)
    np.testing.assert_allclose(y[: x.size][near], exact[near], rtol=5e-7, atol=3e-7 if what == 2 else 2e-38)
    assert np.isnan(y[2])


@pytest.mark.parametrize(
    ("size", "channels", "filters", "image", "padding", "count"),
    [(3, 16, 32, (8, 8), 1, 41), (3, 32, 16, (9, 7), 1, 3), (3, 16, 16, (6, 10), 0, 5),
     (3, 16, 16, (5, 13), 2, 2), (3, 48, 64, (3, 3), 0, 1), (5, 48, 16, (6, 6), 0, 30),
     (5, 32, 16, (7, 8), 2, 41), (5, 32, 32, (5, 9), 1, 1)],
)  # fmt: skip
def test_winograds_tiles_give_the_textbooks_sums(
    size: int, channels: int, filters: int, image: tuple[int, int], padding: int, count: int
) -> None:
    """Whole and cut tiles, more of them than go together, with and without a frame, and a bias."""
    layers = [Conv2d(channels, 1), Conv2d(filters, size, padding=padding), Tanh(), Flatten(), Linear(3)]
    network = Network(layers, (2, *image), dtype=np.float64)
    rng = np.random.default_rng(1)
    move_away_from_0(network, rng)
    assert "winograd" in str(loop.kernels_of(layers, (2, *image)))
    assert_equals_textbook(network, rng.random((count, 2, *image)), rng.integers(3, size=count))


def test_weights_that_are_transformed_where_they_are_used_give_the_same_bits() -> None:
    """The tiles of all images go together; or, in chunks of one image, each image's."""
    layers, shape = [Conv2d(16, 1), Conv2d(32, 3, padding=1), Flatten(), Linear(3)], (2, 9, 7)
    network, rng = Network(layers, shape), np.random.default_rng(1)
    move_away_from_0(network, rng)
    images, labels = rng.random((3, *shape), dtype=np.float32), np.array([0, 2, 1], np.int32)
    state = Step(network, images, labels).state
    rule = Rule(SGD(), [], weights(layers, shape))
    rule.begin(state.memory[: state.parameters])
    found = []
    for chunk in (state.chunk, 1):
        loop.train_epoch(state._replace(chunk=chunk), images, labels, np.arange(3), 3, 0.0, 5, rule)
        found.append(state.memory[state.gradient :][: state.parameters].copy())
        assert state.memory[state.table["at_once"][1]] == (chunk > 1)
    np.testing.assert_array_equal(*found)


BLOCKS: list[list[Layer]] = [
    [ReLU(), MaxPool2d()],
    [BatchNorm2d(), ReLU(), MaxPool2d()],
    [BatchNorm2d(), ReLU(), Dropout(0.0), MaxPool2d()],
]


@pytest.mark.parametrize("image", [(4, 6), (5, 7)], ids=str)
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_layers_that_run_as_one_equal_the_textbook(block: list[Layer], image: tuple[int, int]) -> None:
    layers = [Conv2d(16, 3, padding=1), *block, Flatten(), Linear(3)]
    assert tuple(block) in [found for found, _ in blocks_of(layers, (2, *image))]
    network = Network(layers, (2, *image), dtype=np.float64)
    rng = np.random.default_rng(1)
    move_away_from_0(network, rng)
    assert_equals_textbook(network, rng.standard_normal((41, 2, *image)), rng.integers(3, size=41))


@pytest.mark.parametrize("norm", [[], [BatchNorm2d()]], ids=["plain", "batch norm"])
def test_dropout_within_a_block_drops_what_it_says_and_has_the_gradient_of_what_is_left(
    norm: list[Layer],
) -> None:
    layers = [Conv2d(16, 3), *norm, ReLU(), Dropout(0.4), MaxPool2d(), Flatten(), Linear(3)]
    network = Network(layers, (2, 9, 8), dtype=np.float64)
    rng = np.random.default_rng(2)
    move_away_from_0(network, rng)
    images, labels = rng.standard_normal((40, 2, 9, 8)), rng.integers(3, size=40)
    step = Step(network, images, labels)
    op = step.state.table[1 + len(norm)]  # of a row of four activations all are dropped in 0.4^4 of cases
    codes = step.state.memory[op["codes"] :][: 40 * op["y_size"]]
    assert step.loss != Step(network, images, labels, key=6).loss
    weight = network.parameters[0]["weight"]
    direction = step.gradient[: weight.size].reshape(weight.shape)
    slope = np.linalg.norm(direction)
    losses = []
    for size in (0.01, -0.01):
        weight += size / slope * direction
        losses.append(Step(network, images, labels).loss)
        weight -= size / slope * direction
    assert (losses[0] - losses[1]) / 0.02 == pytest.approx(float(slope), rel=0.05)
    assert 0.02 < np.mean(codes == 4) < 0.6
