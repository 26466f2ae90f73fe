"""Networks of the textbook's layers, from end to end."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import cnn_core
from cnn_core import datasets
from cnn_core.config import ConfigError
from cnn_core.layers import (
    GELU,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    CrossEntropy,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    InstanceNorm2d,
    Layer,
    LayerNorm,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    SiLU,
    SpatialDropout,
    Tanh,
)  # fmt: skip
from cnn_core.network import Network
from cnn_core.optimisers import SGD, Adam, AdamW, ClipNorm, MaxNorm, Momentum, Nesterov, RMSprop

Array = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(scope="module")
def digits() -> datasets.Images:
    return datasets.load(
        "digits",
        data_dir=None,
        train_size=600,
        test_size=1000,
        data_seed=0,
        split="test",
        validation_size=None,
    )


def assert_gradients_equal_finite_differences(network: Network, images: Array, labels: Array) -> None:
    """At the largest gradient of each array, and at two places chosen at random."""
    rng = np.random.default_rng(0)
    noise = network.noise(len(images), rng)
    _, found = network.gradients(images, labels, noise)
    for own, gradients in zip(network.parameters, found, strict=True):
        for name, array in own.items():
            largest = np.abs(gradients[name]).argmax()
            for place in {largest, *rng.integers(array.size, size=2)}:
                index, moved = np.unravel_index(place, array.shape), []
                before = array[index]
                for step in (1e-6, -1e-6):
                    array[index] = before + step
                    moved.append(network.gradients(images, labels, noise)[0])
                array[index] = before
                slope = (moved[0] - moved[1]) / 2e-6
                assert gradients[name][index] == pytest.approx(slope, rel=1e-4, abs=1e-7), name


def test_a_norm_after_the_second_convolution_has_a_right_gradient_and_hands_one_on() -> None:
    network = Network(
        [Conv2d(3, 3), ReLU(), MaxPool2d(), Conv2d(4, 3), BatchNorm2d(), ReLU(), MaxPool2d(),
         Flatten(), Linear(4)],
        (1, 14, 14), dtype=np.float64,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    images, labels = rng.random((5, 1, 14, 14)), rng.integers(4, size=5)
    _, gradients = network.gradients(images, labels, network.noise(5, rng))
    for number in (0, 4, 8):
        assert all(np.abs(array).max() > 1e-4 for name, array in gradients[number].items() if name != "bias")
    assert_gradients_equal_finite_differences(network, images, labels)


BETWEEN = [
    BatchNorm2d(),
    LayerNorm(),
    InstanceNorm2d(),
    GroupNorm(2),
    ReLU(),
    LeakyReLU(0.2),
    Tanh(),
    GELU(),
    SiLU(),
    Dropout(0.3),
    SpatialDropout(0.3),
    Conv2d(4, 3, padding=1),
    Conv2d(2, 2, stride=2, padding=1),
    MaxPool2d(2, stride=1),
    AvgPool2d(2, padding=1),
]


@given(st.lists(st.sampled_from(BETWEEN), min_size=1, max_size=6), st.booleans(), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_any_layers_in_any_order_have_right_gradients(between: list[Layer], pooled: bool, seed: int) -> None:
    end = [GlobalAvgPool2d()] if pooled else [Flatten(), Tanh(), Dropout(0.2)]
    rng = np.random.default_rng(seed)
    try:
        network = Network([Conv2d(2, 3), *between, *end, Linear(3)], (2, 8, 7), seed=seed, dtype=np.float64)
    except ConfigError:  # a layer that does not fit what the ones before it left
        reject()
    for own in network.parameters:
        for array in own.values():
            array += 0.1 * rng.standard_normal(array.shape)  # away from ties at 0
    assert_gradients_equal_finite_differences(network, rng.random((4, 2, 8, 7)), rng.integers(3, size=4))


NETWORKS: list[tuple[Sequence[Layer], Any, float, dict[str, Any]]] = [
    ([Conv2d(4, 5, stride=2), ReLU(), Conv2d(8, 3), BatchNorm2d(), ReLU(), MaxPool2d(), Flatten(),
      Linear(10)], Momentum(), 0.02, {}),
    ([AvgPool2d(2), Conv2d(8, 3), GroupNorm(2), SiLU(), MaxPool2d(), Flatten(), Linear(10)],
     Adam(), 0.01, {"regularisers": [ClipNorm(1), MaxNorm(3)]}),
    ([AvgPool2d(4), Flatten(), Linear(64, gain=1), Tanh(), Dropout(0.1), Linear(10, gain=1)],
     Nesterov(), 0.05, {"loss": CrossEntropy(0.1)}),
    ([Conv2d(8, 3, stride=3), LayerNorm(), GELU(), MaxPool2d(3, 2, 1), Flatten(), Linear(10)],
     AdamW(), 0.01, {}),
    ([AvgPool2d(2), Conv2d(8, 3), InstanceNorm2d(), LeakyReLU(), SpatialDropout(0.1), MaxPool2d(), Flatten(),
      Linear(10)], RMSprop(), 0.003, {}),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("own", "optimiser", "rate", "more"), NETWORKS, ids=[str(n[1]) for n in NETWORKS])
def test_networks_learn_the_digits(
    digits: datasets.Images, own: Sequence[Layer], optimiser: Any, rate: float, more: dict[str, Any]
) -> None:
    """On 600 images, three epochs; chance is 0.1."""
    network = Network(own, (1, 28, 28), loss=more.get("loss"))
    losses = list(
        network.train(
            digits.train_x, digits.train_y, optimiser, rate=rate, epochs=3, batch_size=20,
            regularisers=more.get("regularisers", ()),
        )
    )  # fmt: skip
    assert losses[-1] < losses[0]
    assert (network.predict(digits.held_x) == digits.held_y).mean() > 0.85


def test_fewer_epochs_are_the_beginning_of_more_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.random((30, 1, 6, 6)), rng.integers(3, size=30)

    def train(epochs: int) -> list[float]:
        network = Network([Conv2d(2, 3), Dropout(0.5), Flatten(), Linear(3)], (1, 6, 6))
        return list(network.train(images, labels, Adam(), rate=0.01, epochs=epochs, batch_size=7))

    assert train(2) == train(4)[:2]


@pytest.mark.parametrize(
    "layers",
    [[Conv2d(2, 3), ReLU(), MaxPool2d(), Flatten(), Linear(3)], [Flatten(), Tanh(), Linear(3)]],
    ids=["fused", "layer by layer"],
)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": np.ones((4, 6, 6))}, "images must have shape (N, 1x6x6), found (4, 6, 6)"),
        ({"images": np.ones((0, 1, 6, 6))}, "images must have shape (N, 1x6x6), found (0, 1, 6, 6)"),
        ({"images": [["a"]]}, "images and labels must be arrays of numbers"),
        ({"labels": np.zeros(3, int)}, "labels must have shape (4,), one an image, found (3,)"),
        ({"labels": np.zeros(4)}, "labels must be whole numbers, found float64"),
        ({"labels": np.array([0, 1, 2, 3])}, "as the last layer has 3 outputs, found 0 to 3"),
        ({"labels": np.array([0, -1, 2, 1])}, "found -1 to 2"),
        ({"epochs": 0}, "epochs must be a whole number from 1, found 0"),
        ({"batch_size": 2.0}, "batch_size must be a whole number from 1, found 2.0"),
        ({"rate": 0}, "rate must be a number above 0, found 0"),
        ({"optimiser": Adam}, "optimiser must be one, found <class"),
        ({"regularisers": [SGD()]}, "regularisers has SGD(), which is none"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_on_is_refused_before_the_first_step(
    layers: list[Layer], change: dict[str, Any], words: str
) -> None:
    given: dict[str, Any] = {"images": np.ones((4, 1, 6, 6)), "labels": np.zeros(4, int), "optimiser": SGD()}
    network = Network(layers, (1, 6, 6))
    with pytest.raises(ConfigError) as refusal:
        network.train(**{**given, "rate": 0.1, **change})
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_regularisers_leave_biases_and_norms_alone() -> None:
    network = Network([Conv2d(2, 3), BatchNorm2d(), Flatten(), Linear(3)], (1, 5, 5))
    for own in network.parameters:
        for array in own.values():
            array[...] = 9
    images, labels = np.ones((1, 1, 5, 5)), np.zeros(1, int)
    list(network.train(images, labels, SGD(), rate=1e-9, regularisers=[MaxNorm(1)]))
    lengths = [np.sqrt((own["weight"][0] ** 2).sum()) for own in network.parameters if "weight" in own]
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    assert all(
        np.allclose(array, 9) for own in network.parameters for name, array in own.items() if name != "weight"
    )


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ([], "layers is empty"),
        ([ReLU], "layers[0] must be a layer, found <class"),
        ([Conv2d(6, 5), Linear(10)], "layers[1], Linear(outputs=10, gain="),
        ([Conv2d(6, 5), Linear(10)], "takes a vector, found 6x24x24; write Flatten() before it"),
        ([Conv2d(6, 5), ReLU()], "layers[1], ReLU(): gives 6x24x24, and the loss takes a vector"),
        ([MaxPool2d(30)], "layers[0], MaxPool2d(size=30, stride=30, padding=0): 30 x 30 does not fit"),
        ([Flatten(), Conv2d(6, 5), Linear(10)], "takes images of C x H x W, found 784; write it before"),
        ([Conv2d(6, 5), GroupNorm(4)], "groups must divide the 6 channels, found 4"),
    ],
    ids=str,
)  # fmt: skip
def test_a_network_that_cannot_be_is_refused_with_the_layer_and_the_shapes(own: Any, words: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        cnn_core.Network(own, (1, 28, 28))
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
