"""The textbook's layers, all driven from the table in cases.py and from random shapes."""

import dataclasses
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from scipy import ndimage, special, stats
from scipy.signal import correlate

from cnn_core import layers
from cnn_core.compilation import plain_optimisation
from cnn_core.config import ConfigError
from cnn_core.layers import LAYERS, CrossEntropy, Layer
from tests.cnn_core.cases import CASES, Case, name

Array = np.ndarray[Any, np.dtype[Any]]
N = 3

every_case = pytest.mark.parametrize("case", CASES, ids=name)


def arrays(case: Case, seed: int = 0, dtype: Any = np.float64) -> tuple[Array, list[Array]]:
    """A batch, and what a training step takes besides: parameters away from where they start, and noise."""
    layer, shape = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N, *shape)).astype(dtype)
    others = [a + 0.1 * rng.standard_normal(a.shape) for a in layer.parameters(shape, rng).values()]
    if (noise := layer.noise(shape)) is not None:
        others.append(rng.random((N, *noise)))
    return x, [a.astype(dtype) for a in others]


def backward(layer: Layer, dy: Array, x: Array, others: list[Array]) -> list[Array]:
    return as_list(layer.backward(dy, x, *others))


def as_list(found: Any) -> list[Array]:
    return list(found) if isinstance(found, tuple) else [found]


def assert_gradients_equal_finite_differences(case: Case, seed: int = 0) -> None:
    """Of a random weighting of the outputs, with respect to up to twelve places of each array."""
    layer, _ = case
    x, others = arrays(case, seed)
    rng = np.random.default_rng(seed + 1)
    dy = rng.standard_normal(layer.forward(x, *others).shape)
    found = backward(layer, dy, x, others)
    for gradient, array in zip(found, [x, *others], strict=False):  # none for noise, the last
        assert gradient.shape == array.shape
        for place in rng.choice(array.size, min(12, array.size), replace=False):
            index, moved = np.unravel_index(place, array.shape), []
            before = array[index]
            for step in (1e-6, -1e-6):
                array[index] = before + step
                moved.append((dy * layer.forward(x, *others)).sum())
            array[index] = before
            assert gradient[index] == pytest.approx((moved[0] - moved[1]) / 2e-6, rel=1e-5, abs=1e-7)


def test_every_layer_is_in_the_table() -> None:
    assert {type(layer) for layer, _ in CASES} == set(LAYERS.values())


@every_case
def test_gradients_equal_finite_differences(case: Case) -> None:
    assert_gradients_equal_finite_differences(case)


@every_case
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shape_and_dtype_are_kept_and_no_argument_is_written_to(case: Case, dtype: Any) -> None:
    layer, shape = case
    x, others = arrays(case, dtype=dtype)
    for array in (x, *others):
        array.flags.writeable = False
    y = layer.forward(x, *others)
    assert y.shape == (N, *layer.output_shape(shape))
    dy = np.ones_like(y)
    dy.flags.writeable = False
    assert {a.dtype for a in (y, *backward(layer, dy, x, others))} == {np.dtype(dtype)}


@every_case
def test_float32_differs_from_float64_by_rounding(case: Case) -> None:
    layer, _ = case
    x, others = arrays(case, dtype=np.float32)
    wide = [a.astype(np.float64) for a in (x, *others)]
    y = layer.forward(x, *others)
    np.testing.assert_allclose(y, layer.forward(*wide), atol=1e-5)
    found, wanted = backward(layer, y, x, others), backward(layer, y.astype(float), wide[0], wide[1:])
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * max(1, np.abs(other).max()))


@st.composite
def random_cases(draw: st.DrawFn) -> Case:
    """A layer that fits its input, of any small shape."""
    whole = st.integers
    shape = draw(whole(1, 4)), draw(whole(1, 7)), draw(whole(1, 7))
    kind = draw(st.sampled_from(["conv2d", "max_pool2d", "avg_pool2d", "group_norm", "layer_norm"]))
    if kind == "group_norm":
        shape = 2 * shape[0], shape[1] + 1, shape[2]
        return layers.GroupNorm(draw(st.sampled_from([1, 2, shape[0]]))), shape
    if kind == "layer_norm":
        return layers.LayerNorm(), (shape[0], shape[1] + 1, shape[2])
    size, stride = draw(whole(1, 4)), draw(whole(1, 4))
    padding = draw(whole(max(0, (size - min(shape[1:]) + 1) // 2), size - 1))
    if kind == "conv2d":
        return layers.Conv2d(draw(whole(1, 3)), size, stride, padding), shape
    return (layers.MaxPool2d if kind == "max_pool2d" else layers.AvgPool2d)(size, stride, padding), shape


@given(random_cases(), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_gradients_of_any_shape_equal_finite_differences(case: Case, seed: int) -> None:
    assert_gradients_equal_finite_differences(case, seed)


@every_case
def test_evaluation_is_training_but_for_dropout_and_batch_norm(case: Case) -> None:
    layer, shape = case
    x, others = arrays(case)
    if layer.noise(shape) is not None:
        np.testing.assert_array_equal(layer.evaluate(x), x)
    elif statistics := layer.statistics(shape):
        layer.track(x, *statistics.values())
        y = layer.evaluate(x, *others, np.full(shape[0], 2.0), np.full(shape[0], 9.0))
        gamma, beta = (a[:, None, None] for a in others)
        np.testing.assert_allclose(y, gamma * (x - 2) / np.sqrt(9 + 1e-5) + beta)
    else:
        np.testing.assert_array_equal(layer.evaluate(x, *others), layer.forward(x, *others))


def scipy_windows(x: Array, layer: Any, function: Any, outside: float) -> Array:
    """A filter of SciPy's over each channel, at the windows that the layer has."""
    size, step, pad = layer.size, layer.stride, layer.padding
    y = []
    for image in x.reshape(-1, *x.shape[2:]):
        framed = np.pad(image, pad, constant_values=outside)
        whole = function(framed, size=size, origin=-(size // 2))  # the window begins at its position
        y.append(whole[: framed.shape[0] - size + 1 : step, : framed.shape[1] - size + 1 : step])
    return np.array(y).reshape(*x.shape[:2], *y[0].shape)


def convolve(layer: Any, x: Array, weight: Array, bias: Array) -> Array:
    """By SciPy's correlation, image by image and filter by filter."""
    pad, step = layer.padding, layer.stride
    framed = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    y = [[correlate(image, own, "valid")[0, ::step, ::step] for own in weight] for image in framed]
    found: Array = np.array(y) + bias[:, None, None]
    return found


def score(x: Array, gamma: Array, beta: Array) -> Array:
    """SciPy's score over the last two axes, then gamma and beta of the third one from the end."""
    flat = stats.zscore(x.reshape(*x.shape[:-2], -1), axis=-1)
    y: Array = gamma[:, None, None] * flat.reshape(x.shape) + beta[:, None, None]
    return y


def score_batch(x: Array, gamma: Array, beta: Array) -> Array:
    """The same over the images too: side by side they are one image."""
    wide = score(x.transpose(1, 2, 0, 3).reshape(x.shape[1], x.shape[2], -1), gamma, beta)
    return wide.reshape(*x.shape[1:3], len(x), -1).transpose(2, 0, 1, 3)


OUTSIDE: dict[type[Layer], tuple[Callable[..., Array], float]] = {
    layers.Conv2d: (convolve, 1e-12),
    layers.MaxPool2d: (lambda layer, x: scipy_windows(x, layer, ndimage.maximum_filter, -np.inf), 0),
    layers.AvgPool2d: (lambda layer, x: scipy_windows(x, layer, ndimage.uniform_filter, 0), 1e-12),
    layers.GELU: (lambda _, x: x * stats.norm.cdf(x), 1e-12),
    layers.SiLU: (lambda _, x: x * special.expit(x), 1e-12),
    # SciPy's score has no epsilon: 1e-5 of a variance around 1.
    layers.BatchNorm2d: (lambda _, x, gamma, beta: score_batch(x, gamma, beta), 1e-4),
    layers.InstanceNorm2d: (lambda _, x, gamma, beta: score(x, gamma, beta), 1e-4),
    layers.LayerNorm: (
        lambda _, x, gamma, beta: gamma * stats.zscore(x.reshape(N, -1), axis=1).reshape(x.shape) + beta,
        1e-4,
    ),
}
"""SciPy's operation, and how far from it a layer may be."""


@pytest.mark.parametrize("case", [case for case in CASES if type(case[0]) in OUTSIDE], ids=name)
def test_outputs_equal_scipys(case: Case) -> None:
    layer, _ = case
    x, others = arrays(case)
    wanted, tolerance = OUTSIDE[type(layer)]
    np.testing.assert_allclose(layer.forward(x, *others), wanted(layer, x, *others), atol=tolerance)


def test_group_norm_lies_between_layer_and_instance_norm() -> None:
    x = np.random.default_rng(0).standard_normal((N, 4, 3, 2))
    one, zero, whole = np.ones(4), np.zeros(4), np.ones((4, 3, 2))
    instance, layer = layers.InstanceNorm2d(), layers.LayerNorm()
    np.testing.assert_allclose(layers.GroupNorm(4).forward(x, one, zero), instance.forward(x, one, zero))
    np.testing.assert_allclose(layers.GroupNorm(1).forward(x, one, zero), layer.forward(x, whole, 0 * whole))


def test_running_averages_follow_the_batches() -> None:
    """As PyTorch's do: a tenth of each batch's mean and of its unbiased variance."""
    layer, rng = layers.BatchNorm2d(), np.random.default_rng(0)
    mean, var = layer.statistics((2, 3, 4)).values()
    first, second = 5 * rng.standard_normal((2, N, 2, 3, 4)) + 1
    layer.track(first, mean, var)
    layer.track(second, mean, var)
    (m1, v1), (m2, v2) = ((b.mean((0, 2, 3)), b.var((0, 2, 3), ddof=1)) for b in (first, second))
    np.testing.assert_allclose(mean, 0.9 * 0.1 * m1 + 0.1 * m2)
    np.testing.assert_allclose(var, 0.81 + 0.9 * 0.1 * v1 + 0.1 * v2)


@pytest.mark.parametrize("layer", [layers.Dropout(0.3), layers.SpatialDropout(0.3)], ids=str)
def test_dropout_drops_its_share_and_keeps_the_mean(layer: Layer) -> None:
    x = np.ones((200, 50, 2, 2))
    noise = np.random.default_rng(0).random((200, *(layer.noise((50, 2, 2)) or ())))
    y = layer.forward(x, noise)
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7])
    assert abs((y == 0).mean() - 0.3) < 0.01
    channels = y.reshape(200 * 50, 4)
    alike = (channels == channels[:, :1]).all()
    assert alike == isinstance(layer, layers.SpatialDropout)


def test_of_equal_maxima_the_first_has_the_gradient() -> None:
    x = np.array([[[[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]]])
    dx = layers.MaxPool2d(2, stride=1).backward(np.array([[[[1.0, 2.0]]]]), x)
    np.testing.assert_array_equal(dx, [[[[1, 2, 0], [0, 0, 0]]]])


@pytest.mark.parametrize(
    "layer", [layers.ReLU(), layers.LeakyReLU(), layers.MaxPool2d(2), layers.Tanh()], ids=str
)
def test_nan_passes(layer: Layer) -> None:
    """So that a diverged training is seen."""
    x = np.zeros((1, 1, 2, 2))
    x[0, 0, 1, 0] = np.nan
    assert np.isnan(layer.forward(x)).any()


@pytest.mark.parametrize("layer", [layers.SiLU(), layers.GELU(), layers.Tanh(), layers.ReLU()], ids=str)
def test_large_numbers_do_not_overflow(layer: Layer) -> None:
    x = np.array([[-1e4, 1e4]])
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(layer.forward(x)).all()
        assert np.isfinite(layer.backward(np.ones_like(x), x)).all()


def test_initial_weights_have_the_documented_deviation() -> None:
    rng = np.random.default_rng(0)
    weight = layers.Conv2d(64, 5).parameters((8, 9, 9), rng)["weight"]
    assert weight.std() == pytest.approx(np.sqrt(2 / (8 * 5 * 5)), rel=0.02)
    weight = layers.Linear(100, gain=1).parameters((300,), rng)["weight"]
    assert weight.std() == pytest.approx(np.sqrt(1 / 300), rel=0.02)


SMOOTHING = (0.0, 0.1, 0.9)


@pytest.mark.parametrize("smoothing", SMOOTHING)
def test_cross_entropy_equals_scipys_and_finite_differences(smoothing: float) -> None:
    rng, labels, loss = np.random.default_rng(0), np.array([2, 0, 3, 3]), CrossEntropy(smoothing)
    x = 3 * rng.standard_normal((4, 5))
    target = (1 - smoothing) * np.eye(5)[labels] + smoothing / 5
    wanted = -(target * special.log_softmax(x, axis=1)).sum() / 4
    assert loss.forward(x, labels) == pytest.approx(wanted)
    dx = loss.backward(x, labels)
    np.testing.assert_allclose(dx, (special.softmax(x, axis=1) - target) / 4)
    for index in np.ndindex(x.shape):
        moved = []
        for step in (1e-6, -1e-6):
            shifted = x.copy()
            shifted[index] += step
            moved.append(loss.forward(shifted, labels))
        assert dx[index] == pytest.approx((moved[0] - moved[1]) / 2e-6, abs=1e-8)


def test_cross_entropy_does_not_overflow_and_passes_nan() -> None:
    x = np.array([[1000.0, 0.0, -1000.0]])
    assert CrossEntropy().forward(x, np.array([1])) == 1000
    np.testing.assert_allclose(CrossEntropy().backward(x, np.array([1])), [[1, -1, 0]])
    assert np.isnan(CrossEntropy().forward(np.array([[0.0, np.nan]]), np.array([0])))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layers.Conv2d(0, 5), "Conv2d: filters must be a whole number from 1, found 0; write 1"),
        (lambda: layers.Conv2d(6, 2.5), "Conv2d: size must be a whole number from 1, found 2.5"),  # type: ignore[arg-type]
        (lambda: layers.Conv2d(True, 5), "filters must be a whole number from 1, found True"),
        (lambda: layers.Dropout(1), "Dropout: rate must be in [0, 1), found 1; write 0.1"),
        (lambda: layers.LeakyReLU(np.nan), "LeakyReLU: slope must be a number, found nan"),
        (lambda: layers.Linear(3, gain=0), "gain must be a number above 0, found 0"),
        (lambda: layers.MaxPool2d("2"), "size must be a whole number from 1, found '2'"),  # type: ignore[arg-type]
        (lambda: layers.Conv2d(6, 5).output_shape((1, 4, 9)), "5 x 5 does not fit 1x4x9 with padding 0"),
        (lambda: layers.Conv2d(6, 5).output_shape((9,)), "takes images of C x H x W, found 9"),
        (
            lambda: layers.AvgPool2d(2, padding=2).output_shape((1, 9, 9)),
            "padding must be below the size (2)",
        ),
        (lambda: layers.Linear(2).output_shape((1, 4, 9)), "takes a vector, found 1x4x9; write Flatten()"),
        (lambda: layers.GroupNorm(4).output_shape((6, 2, 2)), "groups must divide the 6 channels, found 4"),
        (lambda: layers.GroupNorm(6).output_shape((6, 1, 1)), "one value a group"),
        (lambda: layers.InstanceNorm2d().output_shape((6, 1, 1)), "one value a channel"),
        (lambda: layers.LayerNorm().output_shape((1,)), "one value to normalise"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_one_line(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        make()
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_numpys_numbers_are_as_good_as_pythons() -> None:
    layer = layers.Conv2d(np.int64(6), np.uint8(5), gain=np.float32(0.5))  # type: ignore[arg-type]
    assert layer == layers.Conv2d(6, 5, gain=0.5)
    assert [type(value) for value in dataclasses.astuple(layer)] == [int, int, int, int, float]


@pytest.mark.slow
@pytest.mark.parametrize("case", {type(case[0]): case for case in CASES}.values(), ids=name)
def test_numba_compiles_what_the_textbook_says(case: Case) -> None:
    """So that one text serves the reader and a compiled loop; `self` is then a tuple of hyperparameters."""
    layer, _ = case
    x, others = arrays(case, dtype=np.float32)
    y = layer.forward(x, *others)
    fields = [field.name for field in dataclasses.fields(layer)]  # type: ignore[arg-type]
    values = namedtuple(type(layer).__name__, fields)(*(getattr(layer, field) for field in fields))  # type: ignore[misc]
    with plain_optimisation():
        compiled = njit(type(layer).forward)(values, x, *others)
        back = njit(type(layer).backward)(values, np.ones_like(y), x, *others)
    np.testing.assert_allclose(compiled, y, atol=1e-5)
    for found, wanted in zip(as_list(back), backward(layer, np.ones_like(y), x, others), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5 * max(1, np.abs(wanted).max()))
