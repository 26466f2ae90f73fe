"""From a configuration to the list of layers of its network, and how their weights begin."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import Config, ConfigError
from cnn_core.layers import (
    GELU,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
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
)
from cnn_core.layers.layer import text
from cnn_core.optimisers import (
    L1,
    L2,
    SGD,
    Adam,
    ClipNorm,
    MaxNorm,
    Momentum,
    Nesterov,
    Optimiser,
    Regulariser,
    RMSprop,
    Rule,
    WeightDecay,
)

Shape = tuple[int, ...]

ACTIVATIONS: dict[str, Callable[[], Layer]] = {
    "relu": ReLU, "leaky_relu": LeakyReLU, "tanh": Tanh, "gelu": GELU, "silu": SiLU,
}  # fmt: skip

NORMS: dict[str, Callable[[Config], Layer]] = {
    "batch": lambda _: BatchNorm2d(),
    "layer": lambda _: LayerNorm(),
    "instance": lambda _: InstanceNorm2d(),
    "group": lambda config: GroupNorm(config.groups),
}

POOLS: dict[str, Callable[[int], Layer]] = {"max": MaxPool2d, "average": AvgPool2d}

DROPOUTS: dict[str, Callable[[float], Layer]] = {"element": Dropout, "channel": SpatialDropout}

# A larger network is almost certainly a typo: its gradients alone would take 400 MB.
MOST_PARAMETERS = 100_000_000


def build_layers(config: Config, shape: Shape, classes: int) -> list[Layer]:
    """The layers of a configuration's network for images of `shape` (C, H, W).

    For each entry of `conv_channels`: conv, norm, activation, dropout, pool. Then, for each of `hidden`, a
    linear layer, activation, dropout; at last a linear layer to the classes. By default the norm and the
    dropout are after the first convolution alone: the study's network. The report says that its dropout acts
    on the input; its code, and this network, have it after the first activation (docs/course-report.md).

    Raises: ConfigError naming the layer and the shapes, if a kernel or a window does not fit; or if there
        are too many parameters.
    """
    builder = _Builder(config, shape)
    for number, filters in enumerate(config.conv_channels, start=1):
        builder.add_block(number, filters)
    builder.add(GlobalAvgPool2d() if config.global_pool else Flatten())
    for outputs in config.hidden:
        builder.add(Linear(outputs))
        builder.add(ACTIVATIONS[config.activation]())
        if config.dropout_rate > 0 and config.dropout_at in ("all", "linear"):
            builder.add(Dropout(config.dropout_rate))
    if not config.hidden and config.dropout_rate > 0 and config.dropout_at == "linear":
        builder.add(Dropout(config.dropout_rate))
    builder.add(Linear(classes))
    return builder.layers


class _Builder:
    """Adds layers one after another; counts parameters before anybody makes them."""

    def __init__(self, config: Config, shape: Shape) -> None:
        self.config, self.shape, self.layers, self.count = config, shape, list[Layer](), 0

    def add_block(self, number: int, filters: int) -> None:
        config, first = self.config, number == 1
        size, padding = config.kernel_size, config.padding
        if min(self.shape[1:]) + 2 * padding < size:
            raise ConfigError(
                f"kernel_size {size} does not fit convolution {number}, whose input is {text(self.shape)}"
                f" with padding {padding}; write fewer conv_channels or a smaller kernel_size"
            )
        self.add(Conv2d(filters, size, config.stride, padding))
        if config.norm != "none" and (first or config.norm_at == "all"):
            self._try(NORMS[config.norm](config), f"norm {config.norm!r} after convolution {number}")
        self.add(ACTIVATIONS[config.activation]())
        if config.dropout_rate > 0 and (
            config.dropout_at == "all" or (first and config.dropout_at == "first")
        ):
            self.add(DROPOUTS[config.dropout](config.dropout_rate))
        if config.pool != "none":
            if min(self.shape[1:]) < config.pool_size:
                raise ConfigError(
                    f"pooling {number} does not fit its input of {text(self.shape)};"
                    " write fewer conv_channels or a smaller kernel_size"
                )
            self.add(POOLS[config.pool](config.pool_size))

    def add(self, layer: Layer) -> None:
        before, self.shape = self.shape, layer.output_shape(self.shape)
        self.layers.append(layer)
        self.count += count_parameters(layer, before)
        if self.count > MOST_PARAMETERS:
            given = "".join(f", hidden {list(self.config.hidden)}" for _ in self.config.hidden[:1])
            raise ConfigError(
                f"conv_channels {list(self.config.conv_channels)}{given} give {self.count} parameters,"
                f" more than {MOST_PARAMETERS}; write smaller numbers"
            )

    def _try(self, layer: Layer, what: str) -> None:
        try:
            self.add(layer)
        except ConfigError as error:
            raise ConfigError(f"{what}: {error}") from None


OPTIMIZERS: dict[str, Callable[[Config], Optimiser]] = {
    "sgd": lambda c: (Nesterov if c.nesterov else Momentum)(c.momentum) if c.momentum else SGD(),
    "adam": lambda c: Adam(c.beta1, 0.999 if c.beta2 is None else c.beta2, c.epsilon),
    "adamw": lambda c: Adam(c.beta1, 0.999 if c.beta2 is None else c.beta2, c.epsilon),
    "rmsprop": lambda c: RMSprop(0.99 if c.beta2 is None else c.beta2, c.epsilon),
}
"""adamw differs from adam in what `weight_decay` does."""


def build_rule(config: Config, layers: Sequence[Layer], shape: Shape) -> Rule:
    """The optimiser and the regularisers of a configuration."""
    regularisers: list[Regulariser] = []
    if config.clip_norm is not None:
        regularisers.append(ClipNorm(config.clip_norm))
    if config.weight_decay > 0:
        regularisers.append((WeightDecay if config.optimizer == "adamw" else L2)(config.weight_decay))
    if config.l1 > 0:
        regularisers.append(L1(config.l1))
    if config.max_norm is not None:
        regularisers.append(MaxNorm(config.max_norm))
    return Rule(OPTIMIZERS[config.optimizer](config), regularisers, weights(layers, shape))


def initial_parameters(
    layers: Sequence[Layer], shape: Shape, init: str, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw all parameters, layer by layer, weights with channels last (see `flat_order`).

    With fan_in = C R S (D for a linear layer) and fan_out = K R S (K):

    glorot: normal, variance 2 / (fan_in + fan_out). Source: Glorot and Bengio, AISTATS 2010. The default.
    he: normal, variance 2 / fan_in. Source: He et al., ICCV 2015.
    pytorch: PyTorch's default, weights and biases uniform within 1 / sqrt(fan_in)
    report: the study's, normal, variance K / (3 fan_in); grows with the number of filters, so that from three
        convolutions on a network does not learn

    But for `pytorch`, biases are 0. A norm starts as the identity, other layers as their files say.
    """
    found: list[NDArray[Any]] = [np.zeros(0)]
    for layer, before in zip(layers, shapes_before(layers, shape), strict=True):
        if isinstance(layer, Conv2d):
            K, fan_in, taps = layer.filters, before[0] * layer.size**2, layer.size**2
        elif isinstance(layer, Linear):
            K, fan_in, taps = layer.outputs, before[0], 1
        else:
            found += [array.ravel() for array in layer.parameters(before, rng).values()]
            continue
        if init == "pytorch":
            bound = 1 / math.sqrt(fan_in)
            found += [rng.uniform(-bound, bound, K * fan_in), rng.uniform(-bound, bound, K)]
        else:
            variance = {"report": K / (3 * fan_in), "glorot": 2 / (fan_in + K * taps), "he": 2 / fan_in}[init]
            found += [rng.standard_normal(K * fan_in) * math.sqrt(variance), np.zeros(K)]
    return np.concatenate(found).astype(np.float32)


def count_parameters(layer: Layer, before: Shape) -> int:
    """How many weights and biases a layer has, nearly all parameters of a network. Draws nothing."""
    if isinstance(layer, Conv2d):
        return layer.filters * (before[0] * layer.size**2 + 1)
    return layer.outputs * (before[0] + 1) if isinstance(layer, Linear) else 0


def initial_statistics(layers: Sequence[Layer], shape: Shape) -> NDArray[np.float32]:
    """Running averages as they start, layer by layer."""
    running = [
        layer.statistics(b).values() for layer, b in zip(layers, shapes_before(layers, shape), strict=True)
    ]
    return np.concatenate([np.zeros(0), *(a.ravel() for own in running for a in own)]).astype(np.float32)


def flat_order(layers: Sequence[Layer], shape: Shape) -> NDArray[np.int64]:
    """Where each number of a checkpoint's parameters is among the textbook's, layer by layer.

    A checkpoint has channels last: a convolution's weight as (K, R, S, C), that of a linear layer behind
    Flatten as (K, H, W, C). The kernels and the initial draw have the same order.
    """
    found, at, images = [np.zeros(0, np.int64)], 0, Shape()
    for layer, before in zip(layers, shapes_before(layers, shape), strict=True):
        axes: dict[str, Shape] = {}
        if isinstance(layer, Flatten):
            images = before
        if isinstance(layer, Linear):
            axes, images = {"weight": (layer.outputs, *(images or before))}, ()
        for name, array in _empty_parameters(layer, before).items():
            places = np.arange(at, at + array.size).reshape(axes.get(name, array.shape))
            found.append((places.transpose(0, 2, 3, 1) if places.ndim == 4 else places).ravel())
            at += array.size
    return np.concatenate(found)


def weights(layers: Sequence[Layer], shape: Shape) -> list[tuple[int, int, int]]:
    """Of each array `weight`: where it begins among the parameters, K, how many numbers lead into each."""
    found, at = [], 0
    for layer, before in zip(layers, shapes_before(layers, shape), strict=True):
        for name, array in _empty_parameters(layer, before).items():
            if name == "weight":
                found.append((at, len(array), array.size // len(array)))
            at += array.size
    return found


def shapes_before(layers: Sequence[Layer], shape: Shape) -> list[Shape]:
    """The shape of one image before each layer."""
    found = [tuple(shape)]
    for layer in layers:
        found.append(layer.output_shape(found[-1]))
    return found[:-1]


def _empty_parameters(layer: Layer, before: Shape) -> dict[str, NDArray[Any]]:
    return layer.parameters(before, np.random.default_rng(0))
