"""From a configuration to the operations of its network, and where each has its parameters."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import Config, ConfigError

CONV, NORM, POOL, LINEAR = range(4)

POOL_SIZE = 2

# Past that a slip of the pen is likelier than a network: its gradients alone would take 400 MB.
MOST_PARAMETERS = 100_000_000

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Operation:
    """One step of a network: its kind, the shapes (rows, columns, channels) of its input and output.

    `weight`, `bias` and `end` are places among the parameters: weight (K, R, R, C) and bias (K,) of a
    convolution, gamma and beta (C,) of a normalisation, weight (K, D) and bias (K,) of the linear layer,
    whose features come by row, column, channel. `statistics` is where a normalisation has its running means.
    """

    kind: int
    before: Shape
    after: Shape
    size: int
    stride: int
    padding: int
    dropout: bool
    weight: int
    bias: int
    end: int
    statistics: int


@dataclass(frozen=True)
class Network:
    """The operations in order, for images of `shape` (C, H, W); how many numbers they have in all."""

    operations: tuple[Operation, ...]
    shape: Shape
    classes: int
    parameters: int
    statistics: int


def build_network(config: Config, shape: Shape, classes: int) -> Network:
    """Lay out the study's network for images of `shape` (C, H, W).

    conv, norm, ReLU, dropout, pool; then conv, ReLU, pool for every further entry of `conv_channels`;
    then a linear layer to the classes. The report says that its dropout acts on the input; its code, and
    this network, have it after the first activation (docs/report.md).

    Raises: ConfigError naming the layer and the shapes, if a kernel or a window does not fit; or if there
        are too many parameters.
    """
    builder = _Builder(shape)
    for number, filters in enumerate(config.conv_channels, start=1):
        builder.add_conv(number, filters, config)
        if number == 1 and config.norm == "batch":
            builder.add_norm()
        builder.add_pool(number, dropout=number == 1 and config.dropout_rate > 0)
    builder.add_linear(classes)
    if builder.parameters > MOST_PARAMETERS:
        raise ConfigError(
            f"conv_channels {list(config.conv_channels)} give {builder.parameters} parameters,"
            f" more than {MOST_PARAMETERS}; write smaller numbers"
        )
    return Network(tuple(builder.operations), shape, classes, builder.parameters, builder.statistics)


class _Builder:
    """Adds operations one after another and counts what each needs."""

    def __init__(self, shape: Shape) -> None:
        channels, rows, columns = shape
        self.shape = rows, columns, channels
        self.operations: list[Operation] = []
        self.parameters = self.statistics = 0

    def add_conv(self, number: int, filters: int, config: Config) -> None:
        h, w, c = self.shape
        size, stride, padding = config.kernel_size, config.stride, config.padding
        if h + 2 * padding < size or w + 2 * padding < size:
            raise ConfigError(
                f"kernel_size {size} does not fit convolution {number}, whose input is {c}x{h}x{w}"
                f" with padding {padding}; write fewer conv_channels or a smaller kernel_size"
            )
        p, q = ((side + 2 * padding - size) // stride + 1 for side in (h, w))
        weights = filters * size * size * c
        self._add(CONV, (p, q, filters), weights, filters, size=size, stride=stride, padding=padding)

    def add_norm(self) -> None:
        self._add(NORM, self.shape, self.shape[2], self.shape[2])
        self.statistics += 2 * self.shape[2]

    def add_pool(self, number: int, *, dropout: bool) -> None:
        h, w, c = self.shape
        if h < POOL_SIZE or w < POOL_SIZE:
            raise ConfigError(
                f"pooling {number} does not fit its input of {c}x{h}x{w};"
                " write fewer conv_channels or a smaller kernel_size"
            )
        self._add(POOL, (h // POOL_SIZE, w // POOL_SIZE, c), 0, 0, dropout=dropout)

    def add_linear(self, classes: int) -> None:
        self._add(LINEAR, (1, 1, classes), classes * math.prod(self.shape), classes)

    def _add(
        self, kind: int, after: Shape, weights: int, biases: int, *,
        size: int = 0, stride: int = 0, padding: int = 0, dropout: bool = False,
    ) -> None:  # fmt: skip
        weight, bias = self.parameters, self.parameters + weights
        self.parameters = bias + biases
        self.operations.append(
            Operation(
                kind, self.shape, after, size, stride, padding, dropout,
                weight, bias, self.parameters, self.statistics,
            )
        )  # fmt: skip
        self.shape = after


def initial_parameters(network: Network, init: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the weights; biases are 0, a norm starts as the identity.

    With fan_in = R R C (D for the linear layer) and fan_out = K R R (K):

    xavier: the study's, standard normal / sqrt(3 R R C / K), for the linear layer / sqrt(3 D / K)
    glorot: normal, variance 2 / (fan_in + fan_out). Source: Glorot and Bengio, AISTATS 2010.
    he: normal, variance 2 / fan_in. Source: He et al., ICCV 2015.
    """
    parameters = np.zeros(network.parameters, np.float32)
    for op in network.operations:
        count = op.bias - op.weight
        if op.kind == NORM:
            parameters[op.weight : op.bias] = 1
        elif op.kind in (CONV, LINEAR):
            filters = op.after[2]
            fan_in = count // filters
            fan_out = filters * max(op.size**2, 1)
            variance = {"xavier": filters / (3 * fan_in), "glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in}[
                init
            ]
            parameters[op.weight : op.bias] = rng.standard_normal(count) * math.sqrt(variance)
    return parameters


def initial_statistics(network: Network) -> NDArray[np.float32]:
    """Running mean 0 and running variance 1 for each channel that is normalised."""
    statistics = np.zeros(network.statistics, np.float32)
    for op in network.operations:
        if op.kind == NORM:
            channels = op.before[2]
            statistics[op.statistics + channels : op.statistics + 2 * channels] = 1
    return statistics
