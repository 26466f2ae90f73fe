"""From a configuration to a table of operations and the layout of the flat buffers they run on."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import Config, ConfigError

# Kinds of operation.
CONV, NORM, RELU, DROPOUT, POOL, LINEAR = range(6)

# Columns of the table. C, H, W: shape of an operation's input; K, P, Q: of its output. X, Y: where an
# image's input and output lie among the activations; WEIGHT, BIAS: among the parameters (a norm's gamma
# and beta); STATS: among the running statistics; COLUMNS: an image's im2col columns; POSITIONS: its maxima.
(KIND, C, H, W, K, P, Q, SIZE, STRIDE, PADDING, X, Y, WEIGHT, BIAS, STATS, COLUMNS, POSITIONS) = range(17)
WIDTH = 17

POOL_SIZE = 2


@dataclass(frozen=True)
class Network:
    """A network as the engine runs it.

    `table` has one row an operation, with the columns above. The sizes count elements: of an image for
    `activations`, `columns` and `positions`; in all for `parameters`, `statistics`, `dcolumns` (the widest
    im2col of an image) and `product` (the largest weight of a convolution).
    """

    table: NDArray[np.int64]
    shape: tuple[int, int, int]
    classes: int
    activations: int
    parameters: int
    statistics: int
    columns: int
    positions: int
    dcolumns: int
    product: int


def build_network(config: Config, shape: tuple[int, int, int], classes: int) -> Network:
    """Lay out the study's network for images of `shape` (C, H, W).

    conv, norm, ReLU, dropout, pool; then conv, ReLU, pool for every further entry of `conv_channels`;
    then a linear layer to the classes. The report says that its dropout acts on the input; its code, and
    this network, have it after the first activation (docs/report.md).

    Raises: ConfigError naming the layer and the shapes, if a kernel or a window does not fit.
    """
    layout = _Layout(shape)
    for number, filters in enumerate(config.conv_channels, start=1):
        layout.add_conv(number, filters, config)
        if number == 1 and config.norm == "batch":
            layout.add_same(NORM)
        layout.add_same(RELU)
        if number == 1 and config.dropout_rate > 0:
            layout.add_same(DROPOUT)
        layout.add_pool(number)
    layout.add_linear(classes)
    return layout.network(shape, classes)


class _Layout:
    """Adds operations one after another and counts what each needs."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.rows: list[list[int]] = []
        self.shape = shape
        self.x = 0
        self.y = math.prod(shape)
        self.parameters = self.statistics = self.columns = self.positions = 0
        self.dcolumns = self.product = 1

    def add_conv(self, number: int, filters: int, config: Config) -> None:
        c, h, w = self.shape
        size, stride, padding = config.kernel_size, config.stride, config.padding
        p, q = ((side + 2 * padding - size) // stride + 1 for side in (h, w))
        if h + 2 * padding < size or w + 2 * padding < size:
            raise ConfigError(
                f"kernel_size {size} does not fit convolution {number}, whose input is {c}x{h}x{w}"
                f" with padding {padding}; write fewer conv_channels or a smaller kernel_size"
            )
        window = c * size * size
        self._add(
            CONV, (filters, p, q), size=size, stride=stride, padding=padding,
            weight=filters * window, bias=filters, columns=window * p * q,
        )  # fmt: skip
        self.dcolumns = max(self.dcolumns, window * p * q)
        self.product = max(self.product, filters * window)

    def add_same(self, kind: int) -> None:
        channels = self.shape[0] if kind == NORM else 0
        self._add(kind, self.shape, weight=channels, bias=channels, statistics=2 * channels)

    def add_pool(self, number: int) -> None:
        c, h, w = self.shape
        if h < POOL_SIZE or w < POOL_SIZE:
            raise ConfigError(
                f"pooling {number} does not fit its input of {c}x{h}x{w};"
                " write fewer conv_channels or a smaller kernel_size"
            )
        after = (c, h // POOL_SIZE, w // POOL_SIZE)
        self._add(POOL, after, size=POOL_SIZE, positions=math.prod(after))

    def add_linear(self, classes: int) -> None:
        features = math.prod(self.shape)
        self._add(LINEAR, (classes, 1, 1), weight=classes * features, bias=classes)

    def _add(
        self, kind: int, after: tuple[int, int, int], *, size: int = 0, stride: int = 0, padding: int = 0,
        weight: int = 0, bias: int = 0, statistics: int = 0, columns: int = 0, positions: int = 0,
    ) -> None:  # fmt: skip
        places = (self.x, self.y, self.parameters, self.parameters + weight)
        self.rows.append(
            [
                kind,
                *self.shape,
                *after,
                size,
                stride,
                padding,
                *places,
                self.statistics,
                self.columns,
                self.positions,
            ]
        )
        self.x, self.y = self.y, self.y + math.prod(after)
        self.shape = after
        self.parameters += weight + bias
        self.statistics += statistics
        self.columns += columns
        self.positions += positions

    def network(self, shape: tuple[int, int, int], classes: int) -> Network:
        table = np.array(self.rows, np.int64)
        return Network(
            table, shape, classes, self.y, self.parameters, self.statistics, self.columns, self.positions,
            self.dcolumns, self.product,
        )  # fmt: skip


def initial_parameters(network: Network, init: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the weights; biases are 0, a norm starts as the identity.

    With fan_in = C R S (D for the linear layer) and fan_out = K R S (K):

    xavier: the study's, standard normal / sqrt(3 C R S / K), for the linear layer / sqrt(3 D / K)
    glorot: normal, variance 2 / (fan_in + fan_out). Source: Glorot and Bengio, AISTATS 2010.
    he: normal, variance 2 / fan_in. Source: He et al., ICCV 2015.
    """
    parameters = np.zeros(network.parameters, np.float32)
    for row in network.table:
        count = int(row[BIAS] - row[WEIGHT])
        if row[KIND] == NORM:
            parameters[row[WEIGHT] : row[BIAS]] = 1
        elif row[KIND] in (CONV, LINEAR):
            filters = int(row[K])
            fan_in = count // filters
            fan_out = filters * int(row[SIZE] ** 2 if row[KIND] == CONV else 1)
            variance = {"xavier": filters / (3 * fan_in), "glorot": 2 / (fan_in + fan_out), "he": 2 / fan_in}[
                init
            ]
            parameters[row[WEIGHT] : row[BIAS]] = rng.standard_normal(count) * math.sqrt(variance)
    return parameters


def initial_statistics(network: Network) -> NDArray[np.float32]:
    """Running mean 0 and running variance 1 for each channel that is normalised."""
    statistics = np.zeros(network.statistics, np.float32)
    for row in network.table[network.table[:, KIND] == NORM]:
        statistics[row[STATS] + row[C] : row[STATS] + 2 * row[C]] = 1
    return statistics
