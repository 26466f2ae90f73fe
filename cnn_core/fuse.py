"""Which networks have kernels of their own, and the operations that these run.

A network is fused if its layers are, in this order:

    Conv2d, BatchNorm2d (after the first convolution only) or none, ReLU, Dropout or none, MaxPool2d of 2 x 2;
    the same again, any number of times;
    Flatten, Linear

All its dropouts have one rate. The engine runs such a network with the kernels of `cnn_core.kernels`; any
other runs by kernels of single layers, or of a few (loop.py), with the same results but for rounding and what
is dropped. So does one whose convolutions after the first are all wide: by tiles (kernels/winograd.py) they
take a quarter of the products, or a third.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cnn_core.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU

CONV, NORM, POOL, LINEAR = range(4)

POOL_SIZE = 2

WIDE = 16
"""Channels and filters of a wide convolution come in multiples of these: vectors are full on every CPU."""

Shape = tuple[int, int, int]


def is_wide(conv: Conv2d, channels: int) -> bool:
    """Whether a convolution of so many channels goes by Winograd's tiles; with kernel 5 they save less."""
    full = channels % WIDE == 0 and conv.filters % WIDE == 0
    return full and conv.stride == 1 and (conv.size == 3 or (conv.size == 5 and channels > WIDE))


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
class Program:
    """The operations in order, for images of `shape` (C, H, W); how many numbers they have in all."""

    layers: tuple[Layer, ...]
    operations: tuple[Operation, ...]
    shape: Shape
    classes: int
    parameters: int
    statistics: int
    dropout_rate: float


def fuse(layers: Sequence[Layer], shape: tuple[int, ...]) -> Program | None:
    """The operations of a network whose layers fit one another, or None if another loop is for it.

    Shapes: `shape` is that of one image, (C, H, W).
    """
    if len(shape) != 3:
        return None
    builder, left, rate = _Builder((shape[0], shape[1], shape[2])), [*layers], 0.0

    def next_is(kind: type[Layer]) -> bool:
        return bool(left) and type(left[0]) is kind

    while next_is(Conv2d):
        builder.add_conv(left.pop(0))  # type: ignore[arg-type]
        if next_is(BatchNorm2d) and len(builder.operations) == 1:
            builder.add_norm()
            left.pop(0)
        if not next_is(ReLU):
            return None
        left.pop(0)
        dropout = left.pop(0) if next_is(Dropout) else None
        if isinstance(dropout, Dropout):
            if rate not in (0.0, dropout.rate):
                return None
            rate = dropout.rate
        if not left or left.pop(0) != MaxPool2d(POOL_SIZE):
            return None
        builder.add_pool(dropout=isinstance(dropout, Dropout) and dropout.rate > 0)
    if not builder.operations or [type(layer) for layer in left] != [Flatten, Linear]:
        return None
    later = [op for op in builder.operations if op.kind == CONV][1:]
    if later and all(is_wide(Conv2d(op.after[2], op.size, op.stride), op.before[2]) for op in later):
        return None
    (classes,) = left[1].output_shape((1,))
    builder.add_linear(classes)
    return Program(
        tuple(layers), tuple(builder.operations), (shape[0], shape[1], shape[2]), classes,
        builder.parameters, builder.statistics, rate,
    )  # fmt: skip


class _Builder:
    """Adds operations one after another and counts what each needs."""

    def __init__(self, shape: Shape) -> None:
        channels, rows, columns = shape
        self.shape = rows, columns, channels
        self.operations: list[Operation] = []
        self.parameters = self.statistics = 0

    def add_conv(self, conv: Conv2d) -> None:
        h, w, c = self.shape
        p, q = ((side + 2 * conv.padding - conv.size) // conv.stride + 1 for side in (h, w))
        self._add(
            CONV, (p, q, conv.filters), conv.filters * conv.size**2 * c, conv.filters,
            size=conv.size, stride=conv.stride, padding=conv.padding,
        )  # fmt: skip

    def add_norm(self) -> None:
        self._add(NORM, self.shape, self.shape[2], self.shape[2])
        self.statistics += 2 * self.shape[2]

    def add_pool(self, *, dropout: bool) -> None:
        h, w, c = self.shape
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
