"""What runs layer by layer, and what runs fused: the same numbers as the textbook, whatever the layers."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import cnn_core
from cnn_core import ConfigError, Network, composed, textbook
from cnn_core.architecture import (
    build_layers,
    flat_order,
    initial_parameters,
    initial_statistics,
    shapes_before,
    weights,
)
from cnn_core.config import Config
from cnn_core.fuse import fuse
from cnn_core.kernels.single import KERNELS, functions
from cnn_core.layers import (
    BatchNorm2d,
    Conv2d,
    CrossEntropy,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
)
from cnn_core.optimisers import (
    L1,
    L2,
    SGD,
    Adam,
    AdamW,
    ClipNorm,
    MaxNorm,
    Momentum,
    Nesterov,
    RMSprop,
    Rule,
    WeightDecay,
)
from tests.cnn_core.cases import CASES, Case, name
from tests.cnn_core.test_network import BETWEEN

Array = np.ndarray[Any, np.dtype[Any]]
BLOCK: list[Layer] = [Conv2d(3, 3), BatchNorm2d(), ReLU(), MaxPool2d()]
END: list[Layer] = [Flatten(), Linear(4)]


@pytest.mark.parametrize("case", [case for case in CASES if type(case[0]) in KERNELS], ids=name)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 1e-4)], ids=["64", "32"])
def test_a_kernel_of_one_layer_equals_the_textbook(case: Case, dtype: Any, tolerance: float) -> None:
    layer, shape = case
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, *shape)).astype(dtype)
    arrays = [
        (array + 0.1 * rng.standard_normal(array.shape)).astype(dtype)
        for array in layer.parameters(shape, rng).values()
    ]
    if (noise := layer.noise(shape)) is not None:
        arrays.append(rng.random((4, *noise)).astype(dtype))
    forward, backward = functions(layer)
    wanted = layer.forward(x, *arrays)
    np.testing.assert_allclose(forward(layer, x, *arrays), wanted, rtol=tolerance, atol=tolerance)
    dy = rng.standard_normal(wanted.shape).astype(dtype)
    found, expected = backward(layer, dy, x, *arrays), layer.backward(dy, x, *arrays)
    pairs = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
    for own, other in pairs:
        assert own.shape == other.shape
        np.testing.assert_allclose(own, other, rtol=tolerance, atol=10 * tolerance * np.abs(other).max())


@given(st.lists(st.sampled_from(BETWEEN), min_size=1, max_size=6), st.booleans(), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_any_network_has_the_textbooks_gradients(between: list[Layer], pooled: bool, seed: int) -> None:
    end = [GlobalAvgPool2d()] if pooled else [Flatten(), Dropout(0.2)]
    layers, shape = [Conv2d(2, 3), *between, *end, Linear(3)], (2, 8, 7)
    try:
        network = Network(layers, shape, seed=seed, dtype=np.float64)
    except ConfigError:  # a layer that does not fit what the ones before it left
        reject()
    rng = np.random.default_rng(seed)
    images, labels = rng.random((4, *shape)), rng.integers(3, size=4)
    flat = np.concatenate([array.ravel() for own in network.parameters for array in own.values()])
    order, statistics = flat_order(layers, shape), initial_statistics(layers, shape)
    state = composed.allocate(layers, shape, flat[order], statistics, dtype=np.float64)
    loss = composed.step(state, images, labels, np.random.default_rng(5))
    noise, draws = list[Array | None](), np.random.default_rng(5)
    for layer, before in zip(layers, shapes_before(layers, shape), strict=True):
        own = layer.noise(before)
        noise.append(None if own is None else draws.random((4, *own), np.float32).astype(float))
    wanted_loss, gradients = network.gradients(images, labels, noise)
    assert loss == pytest.approx(wanted_loss, rel=1e-10)
    wanted = np.concatenate([array.ravel() for own in gradients for array in own.values()])
    np.testing.assert_allclose(state.gradient, wanted, rtol=1e-8, atol=1e-9 * np.abs(wanted).max())
    np.testing.assert_allclose(
        composed.trained(state)[1],
        np.concatenate([np.zeros(0), *(a.ravel() for own in network.statistics for a in own.values())]),
        rtol=1e-6,
        atol=1e-12,
    )
    np.testing.assert_allclose(composed.predict(state, images), network.logits(images), rtol=1e-6, atol=1e-7)


def test_the_order_of_a_checkpoint_is_that_of_the_kernels() -> None:
    layers, shape = [*BLOCK, *END], (2, 6, 8)
    order, textbooks = flat_order(layers, shape), Network(layers, shape).parameters
    assert sorted(order) == list(range(order.size))
    flat = np.concatenate([array.ravel() for own in textbooks for array in own.values()])[order]
    assert (flat[:54].reshape(3, 3, 3, 2) == textbooks[0]["weight"].transpose(0, 2, 3, 1)).all()
    last = textbooks[-1]["weight"].reshape(4, 3, 2, 3).transpose(0, 2, 3, 1)
    assert (flat[63:-4].reshape(last.shape) == last).all()


FUSED: list[list[Layer]] = [
    [*BLOCK, *END],
    [Conv2d(3, 3, 1, 1), ReLU(), MaxPool2d(), *END],
    [*BLOCK, Conv2d(4, 2), ReLU(), MaxPool2d(2, 2), *END],
    [Conv2d(3, 3), ReLU(), Dropout(0.3), MaxPool2d(), Conv2d(4, 2), ReLU(), Dropout(0.3), MaxPool2d(), *END],
]
COMPOSED: list[list[Layer]] = [
    END,
    [*BLOCK, Conv2d(4, 2), BatchNorm2d(), ReLU(), MaxPool2d(), *END],
    [BatchNorm2d(), *BLOCK, *END],
    [*BLOCK, Flatten(), Linear(5), ReLU(), Linear(4)],
    [*BLOCK, GlobalAvgPool2d(), Linear(4)],
    [Conv2d(3, 3), ReLU(), MaxPool2d(3), *END],
    [Conv2d(3, 3), ReLU(), MaxPool2d(2, 1), *END],
    [Conv2d(3, 3), MaxPool2d(), ReLU(), *END],
    [*BLOCK, Dropout(0.5), *END],
    [Conv2d(3, 3), ReLU(), Dropout(0.3), MaxPool2d(), Conv2d(4, 2), ReLU(), Dropout(0.2), MaxPool2d(), *END],
]


@pytest.mark.parametrize(("layers", "fused"), [(x, True) for x in FUSED] + [(x, False) for x in COMPOSED])
def test_only_what_the_kernels_compute_is_fused(layers: list[Layer], fused: bool) -> None:
    assert (fuse(layers, (1, 12, 12)) is not None) is fused


RULES: list[tuple[Any, list[Any]]] = [
    (SGD(), []),
    (SGD(), [ClipNorm(0.5), L1(0.01), L2(0.1), MaxNorm(0.9)]),
    (Momentum(), [WeightDecay(0.1)]),
    (Nesterov(), [MaxNorm(0.8)]),
    (Adam(), [ClipNorm(0.1)]),
    (AdamW(), []),
    (RMSprop(), [L1(0.01)]),
]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("layers", [FUSED[0], FUSED[1], COMPOSED[1], COMPOSED[3]], ids=str)
@pytest.mark.parametrize(("optimiser", "regularisers"), RULES, ids=str)
def test_training_differs_from_the_textbooks_by_rounding_only(
    layers: list[Layer], optimiser: Any, regularisers: list[Any], smoothing: float
) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.random((18, 2, 12, 12)), rng.integers(4, size=18)
    exact, fast = (
        Network(layers, (2, 12, 12), loss=CrossEntropy(smoothing), seed=3, dtype=dtype)
        for dtype in (np.float64, np.float32)
    )
    how: dict[str, Any] = {"rate": 0.003, "epochs": 3, "batch_size": 5, "regularisers": regularisers}
    wanted = list(textbook.train(exact, images, labels, optimiser, **how))
    assert list(fast.train(images, labels, optimiser, **how)) == pytest.approx(wanted, rel=1e-3)
    for own, other in zip(fast.parameters, exact.parameters, strict=True):
        for array_name, array in own.items():
            # A bias before a batch norm has a gradient of rounding alone, which Adam makes whole steps of.
            if array_name == "bias" and isinstance(optimiser, Adam | AdamW | RMSprop):
                continue
            np.testing.assert_allclose(array, other[array_name], rtol=0.02, atol=3e-3)


def test_bits_do_not_depend_on_how_many_threads_there_are() -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.random((60, 1, 20, 20), np.float32), rng.integers(4, size=60)
    found = []
    for threads in (1, 2):
        network = Network([Conv2d(8, 3), ReLU(), Flatten(), Linear(300), ReLU(), Linear(4)], (1, 20, 20))
        with threadpool_limits(threads, user_api="blas"):
            found.append(list(network.train(images, labels, Adam(), rate=0.001, epochs=2, batch_size=30)))
    assert found[0] == found[1]


def test_a_network_from_python_that_diverges_spends_no_more_time() -> None:
    images, labels = np.ones((6, 1, 12, 12)), np.arange(6) % 4
    images[3] = np.nan
    for layers in (FUSED[1], COMPOSED[7]):
        network = Network(layers, (1, 12, 12))
        losses = list(network.train(images, labels, SGD(), rate=0.1, epochs=4, batch_size=2))
        assert len(losses) == 4
        assert np.isnan(losses).all()


@pytest.mark.parametrize(
    "options", [{"optimizer": "adam"}, {"momentum": 0.9}, {"clip_norm": 1.0}, {}], ids=str
)
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_divergence_is_nan_from_then_on_and_no_warning(activation: str, options: dict[str, Any]) -> None:
    wild = {**SMALL, "norm": "none", "learning_rate": 1e30, "activation": activation}
    found = list(cnn_core.train(epochs=3, **wild, **options))
    assert len(found) == 3
    assert np.isnan([m["loss"] for m in found[1:]]).all()


def test_a_network_without_parameters_runs_and_stays_as_it_is() -> None:
    network = Network([ReLU(), Flatten()], (1, 2, 2))
    images, labels = np.random.default_rng(0).random((6, 1, 2, 2)), np.arange(6) % 4
    first, second = network.train(images, labels, Adam(), rate=0.1, epochs=2)
    assert first == pytest.approx(second)


def test_weights_are_found_where_they_are() -> None:
    layers, shape = [*BLOCK, *END], (2, 6, 8)
    assert weights(layers, shape) == [(0, 3, 18), (63, 4, 18)]
    rule = Rule(SGD(), [MaxNorm(1.0)], weights(layers, shape))
    parameters = np.full(flat_order(layers, shape).size, 9.0, np.float32)
    rule.begin(parameters)
    rule.apply(0.0, parameters, np.zeros_like(parameters))
    assert (parameters == 9).sum() == 3 + 6 + 4  # biases, gamma and beta


@pytest.mark.parametrize("init", ["report", "glorot", "he", "pytorch"])
def test_initial_weights_have_the_documented_spread(init: str) -> None:
    layers = build_layers(Config(conv_channels=(40, 50), kernel_size=3), (3, 18, 18), 10)
    flat, places = (
        initial_parameters(layers, (3, 18, 18), init, np.random.default_rng(0)),
        weights(layers, (3, 18, 18)),
    )
    for (first, K, fan_in), taps in zip(places, (9, 9, 1), strict=True):
        variance = {
            "report": K / 3 / fan_in, "glorot": 2 / (fan_in + K * taps), "he": 2 / fan_in,
            "pytorch": 1 / 3 / fan_in,
        }[init]  # fmt: skip
        own = flat[first : first + K * fan_in]
        assert own.var() == pytest.approx(variance, rel=0.15)
        bias = flat[first + K * fan_in : first + K * fan_in + K]
        if init == "pytorch":
            assert np.abs(own).max() <= np.float32(fan_in**-0.5)
            assert 0 < np.abs(bias).max() <= np.float32(fan_in**-0.5)
        else:
            assert not bias.any()


OPTIONS: list[dict[str, Any]] = [
    {"activation": "tanh", "norm": "group", "norm_at": "all", "groups": 2},
    {"activation": "gelu", "norm": "layer", "pool": "average", "optimizer": "adam", "beta1": 0.8},
    {"activation": "silu", "norm": "instance", "pool_size": 3, "hidden": [12], "optimizer": "rmsprop"},
    {
        "activation": "leaky_relu",
        "norm_at": "all",
        "dropout": "channel",
        "dropout_at": "all",
        "momentum": 0.9,
    },
    {"pool": "none", "kernel_size": 7, "stride": 2, "global_pool": True, "dropout_at": "linear"},
    {"hidden": [9, 8], "dropout_at": "linear", "momentum": 0.5, "nesterov": True, "max_norm": 2.0},
    {"optimizer": "adam", "weight_decay": 0.01, "clip_norm": 1.0},
    {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "cosine", "schedule_epochs": 3},
    {"momentum": 0.9, "l1": 1e-4, "schedule": "one_cycle", "schedule_epochs": 4, "warmup_epochs": 1},
    {"label_smoothing": 0.1, "init": "pytorch", "schedule": "step", "schedule_epochs": 2},
]
SMALL: dict[str, Any] = {"train_size": 30, "test_size": 20, "batch_size": 7, "learning_rate": 0.01}


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_with_every_option_a_shorter_run_is_the_beginning_of_a_longer_one_bit_for_bit(
    options: dict[str, Any],
) -> None:
    long = list(cnn_core.train(epochs=3, **SMALL, **options))
    np.testing.assert_equal(list(cnn_core.train(epochs=2, **SMALL, **options)), long[:2])
    assert np.isfinite(long[-1]["loss"])
    plain = list(cnn_core.train(epochs=3, **SMALL))
    assert [m["loss"] for m in plain] != [m["loss"] for m in long]  # the option does something


def test_a_model_of_other_layers_gives_back_every_bit(tmp_path: Any) -> None:
    model = cnn_core.fit(epochs=1, **SMALL, **OPTIONS[0], hidden=[5], optimizer="adam")
    model.save(tmp_path / "weights.npz")
    again = cnn_core.load(tmp_path / "weights.npz")
    assert dataclasses.asdict(again.config) == dataclasses.asdict(model.config)
    images = np.random.default_rng(0).random((9, 1, 28, 28))
    np.testing.assert_array_equal(again.logits(images), model.logits(images))
    assert again.predict(images[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"momentum": 0.9, "optimizer": "adam"},
            "momentum must be left out with optimizer = 'adam', found 0.9",
        ),
        ({"groups": 3}, "groups must be left out with norm = 'batch', found 3; write 2"),
        (
            {"norm": "group", "groups": 4},
            "norm 'group' after convolution 1: groups must divide the 6 channels",
        ),
        ({"nesterov": True}, "momentum must be above 0 with nesterov, found 0.0"),
        ({"schedule": "cosine"}, "schedule_epochs must be a whole number from 1, found None"),
        ({"schedule_epochs": 3}, "schedule_epochs must be left out with schedule = 'compound'"),
        ({"hidden": 64}, "hidden must be a list of whole numbers, found 64; write [64]"),
        ({"hidden": [10**9]}, "hidden [1000000000] give"),
        ({"pool_size": 30}, "pooling 1 does not fit its input of 6x24x24"),
        ({"global_pool": 1}, "global_pool must be true or false, found 1"),
        ({"max_norm": 0}, "max_norm must be a number above 0, found 0"),
        ({"activation": "sine"}, "activation must be one of relu, leaky_relu, tanh, gelu, silu"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused_in_one_line(params: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        cnn_core.train.validate(**params)  # type: ignore[attr-defined]
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_schedules_are_as_documented() -> None:
    def rates(**params: Any) -> list[float]:
        config = Config(learning_rate=1, **params)
        return [config.rate(epoch) for epoch in range(8)]

    assert rates(schedule="step", schedule_epochs=3, decay=0.5) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    cosine = [(1 + np.cos(np.pi * e / 4)) / 2 for e in (0, 1, 2, 3, 3, 3, 3, 3)]
    assert rates(schedule="cosine", schedule_epochs=4) == pytest.approx(cosine)
    assert rates(schedule="constant", warmup_epochs=3) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])
    # PyTorch's OneCycleLR(max_lr=1, total_steps=10): its 10 rates, by its formula.
    assert rates(schedule="one_cycle", schedule_epochs=10)[:4] == pytest.approx(
        [0.04, 0.52, 1, 0.95048], rel=1e-4
    )
    cycle = Config(learning_rate=1, schedule="one_cycle", schedule_epochs=10)
    assert cycle.rate(9) == cycle.rate(50) == pytest.approx(1 / 25e4)
