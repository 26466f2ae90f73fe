"""Every layer from one table: its gradient against finite differences, its output against SciPy's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy.signal import correlate

from cnn_core.layers.batch_norm2d import EPSILON, backward_batch_norm2d, forward_batch_norm2d
from cnn_core.layers.conv2d import backward_conv2d, forward_conv2d
from cnn_core.layers.cross_entropy import backward_cross_entropy, forward_cross_entropy
from cnn_core.layers.dropout import scale_dropout
from cnn_core.layers.linear import backward_linear, forward_linear
from cnn_core.layers.max_pool2d import backward_max_pool2d, forward_max_pool2d
from cnn_core.layers.relu import backward_relu, forward_relu

KEY = np.uint64(7)
Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Case:
    """One layer: its inputs, y from them, and the gradient of sum(dy * y) for each of them."""

    name: str
    inputs: Callable[[np.random.Generator], Arrays]
    forward: Callable[[Arrays], np.ndarray[Any, Any]]
    backward: Callable[[Arrays, np.ndarray[Any, Any]], Arrays]


def conv(stride: int, padding: int, size: int = 3, channels: int = 2, h: int = 7, w: int = 6) -> Case:
    n, k = 3, 4
    p, q = ((side + 2 * padding - size) // stride + 1 for side in (h, w))
    window = channels * size * size

    def inputs(rng: np.random.Generator) -> Arrays:
        shapes = {"x": (n, channels, h, w), "weight": (k, window), "bias": (k,)}
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    def run(a: Arrays) -> tuple[Any, Any]:
        y, columns = np.full((n, k, p, q), np.nan), np.full((n, window, p * q), np.nan)
        forward_conv2d(a["x"], a["weight"], a["bias"], size, stride, padding, columns, y)
        return y, columns

    def backward(a: Arrays, dy: Any) -> Arrays:
        d = {name: np.full_like(value, np.nan) for name, value in a.items()}
        scratch = np.empty((k, window)), np.empty((window, p * q))
        backward_conv2d(
            dy, run(a)[1], a["weight"], size, stride, padding, d["weight"], d["bias"], *scratch, d["x"], True
        )
        return d

    return Case(f"conv-{size}-{stride}-{padding}", inputs, lambda a: run(a)[0], backward)


def norm() -> Case:
    def inputs(rng: np.random.Generator) -> Arrays:
        return {
            "x": rng.standard_normal((3, 2, 5)),
            "gamma": rng.standard_normal(2),
            "beta": rng.standard_normal(2),
        }

    def run(a: Arrays) -> tuple[Any, Any, Any]:
        y, mean, inverse = np.empty_like(a["x"]), np.empty(2), np.empty(2)
        forward_batch_norm2d(a["x"], a["gamma"], a["beta"], np.zeros(2), np.ones(2), mean, inverse, True, y)
        return y, mean, inverse

    def backward(a: Arrays, dy: Any) -> Arrays:
        d = {name: np.full_like(value, np.nan) for name, value in a.items()}
        _, mean, inverse = run(a)
        backward_batch_norm2d(dy, a["x"], a["gamma"], mean, inverse, d["gamma"], d["beta"], d["x"], True)
        return d

    return Case("batch_norm", inputs, lambda a: run(a)[0], backward)


def pool(h: int, w: int) -> Case:
    def inputs(rng: np.random.Generator) -> Arrays:
        return {"x": rng.permutation(2 * 3 * h * w).astype(float).reshape(2, 3, h, w)}

    def run(a: Arrays) -> tuple[Any, Any]:
        y = np.full((2, 3, h // 2, w // 2), np.nan)
        position = np.zeros(y.shape, np.int32)
        forward_max_pool2d(a["x"], 2, y, position)
        return y, position

    def backward(a: Arrays, dy: Any) -> Arrays:
        dx = np.full_like(a["x"], np.nan)
        backward_max_pool2d(dy, run(a)[1], dx)
        return {"x": dx}

    return Case(f"max_pool-{h}x{w}", inputs, lambda a: run(a)[0], backward)


def linear() -> Case:
    def inputs(rng: np.random.Generator) -> Arrays:
        shapes = {"x": (3, 5), "weight": (4, 5), "bias": (4,)}
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    def forward(a: Arrays) -> Any:
        y = np.empty((3, 4))
        forward_linear(a["x"], a["weight"], a["bias"], y)
        return y

    def backward(a: Arrays, dy: Any) -> Arrays:
        d = {name: np.full_like(value, np.nan) for name, value in a.items()}
        backward_linear(dy, a["x"], a["weight"], d["weight"], d["bias"], d["x"], True)
        return d

    return Case("linear", inputs, forward, backward)


def flat(name: str, run: Callable[[Any, Any], None], back: Callable[[Any, Any, Any], None]) -> Case:
    def forward(a: Arrays) -> Any:
        y = np.full_like(a["x"], np.nan)
        run(a["x"], y)
        return y

    def backward(a: Arrays, dy: Any) -> Arrays:
        dx = np.full_like(a["x"], np.nan)
        back(dy, forward(a), dx)
        return {"x": dx}

    return Case(name, lambda rng: {"x": rng.standard_normal(40)}, forward, backward)


CASES = [
    conv(1, 0),
    conv(2, 0),
    conv(1, 1),
    conv(3, 2),
    conv(1, 0, size=1),
    conv(1, 0, size=5, channels=1),
    norm(),
    pool(4, 6),
    pool(5, 7),
    linear(),
    flat("relu", forward_relu, backward_relu),
    flat(
        "dropout",
        lambda x, y: scale_dropout(x, 0.4, KEY, y),
        lambda dy, _, dx: scale_dropout(dy, 0.4, KEY, dx),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_gradient_equals_finite_differences(case: Case) -> None:
    rng = np.random.default_rng(1)
    inputs = case.inputs(rng)
    y = case.forward(inputs)
    dy = rng.standard_normal(y.shape)
    gradients = case.backward(inputs, dy)
    step = 1e-6
    for name, value in inputs.items():
        numeric = np.empty_like(value)
        for place in np.ndindex(value.shape):
            moved = []
            for sign in (1, -1):
                shifted = value.copy()
                shifted[place] += sign * step
                moved.append((case.forward({**inputs, name: shifted}) * dy).sum())
            numeric[place] = (moved[0] - moved[1]) / (2 * step)
        np.testing.assert_allclose(gradients[name], numeric, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_float32_follows_float64(case: Case) -> None:
    inputs = case.inputs(np.random.default_rng(2))
    exact = case.forward(inputs)
    assert exact.dtype == np.float64
    rounded = case.forward(
        {name: value.astype(np.float32).astype(np.float64) for name, value in inputs.items()}
    )
    np.testing.assert_allclose(rounded, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 0), (1, 2), (2, 1)])
def test_convolution_equals_scipy_correlate(stride: int, padding: int) -> None:
    case = conv(stride, padding)
    a = case.inputs(np.random.default_rng(3))
    padded = np.pad(a["x"], ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    expected = [
        [
            correlate(image, w.reshape(2, 3, 3), mode="valid")[0, ::stride, ::stride] + b
            for w, b in zip(*pair, strict=True)
        ]
        for image in padded
        for pair in [(a["weight"], a["bias"])]
    ]
    np.testing.assert_allclose(case.forward(a), expected, rtol=1e-10)


def test_pooling_leaves_odd_rows_out_and_takes_the_first_of_equals() -> None:
    x = np.zeros((1, 1, 3, 3))
    x[0, 0, 2, 2] = 9
    y, position = np.empty((1, 1, 1, 1)), np.empty((1, 1, 1, 1), np.int32)
    forward_max_pool2d(x, 2, y, position)
    assert (y.item(), position.item()) == (0, 0)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    x, y = np.ones(200_000), np.empty(200_000)
    scale_dropout(x, 0.3, KEY, y)
    assert abs((y == 0).mean() - 0.3) < 0.005
    assert abs(y.mean() - 1) < 0.01


def test_norm_in_evaluation_uses_running_statistics_and_training_moves_them() -> None:
    x, y = np.random.default_rng(4).standard_normal((3, 2, 5)) * 3 + 1, np.empty((3, 2, 5))
    mean, var = np.zeros(2), np.ones(2)
    for training in (True, False):
        forward_batch_norm2d(x, np.ones(2), np.zeros(2), mean, var, np.empty(2), np.empty(2), training, y)
    np.testing.assert_allclose(mean, 0.1 * x.mean(axis=(0, 2)))
    np.testing.assert_allclose(var, 0.9 + 0.1 * x.var(axis=(0, 2), ddof=1))
    np.testing.assert_allclose(y, (x - mean[:, None]) / np.sqrt(var[:, None] + EPSILON))


def test_cross_entropy_is_stable_and_its_gradient_exact() -> None:
    logits, labels = np.array([[1000.0, 0.0, -1000.0], [0.1, 0.2, 0.3]]), np.array([1, 2], np.int32)
    p, d = np.empty((2, 3)), np.empty((2, 3))
    loss, right = forward_cross_entropy(logits, labels, p)
    backward_cross_entropy(p, labels, d)
    assert right == 1
    assert loss == pytest.approx(1000 + np.log(np.exp([-0.2, -0.1, 0]).sum()))
    np.testing.assert_allclose(d.sum(axis=1), 0, atol=1e-15)
    np.testing.assert_allclose(d[0], [0.5, -0.5, 0], atol=1e-12)
