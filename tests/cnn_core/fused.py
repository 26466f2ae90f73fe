"""The engine's network in the textbook's layers: what the kernels are held against.

The engine has channels last, and draws dropout by a counter: parameters, gradients and noise are translated
here, and nothing is computed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn_core.fuse import CONV, LINEAR, NORM, Operation, Program
from cnn_core.kernels import layout
from cnn_core.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU
from cnn_core.network import Network

Array = np.ndarray[Any, np.dtype[Any]]
MASK = 2**64 - 1


@dataclass
class Step:
    """What one training step gives, as the engine has it; `loss` is the mean over the images."""

    loss: float
    gradient: Array
    statistics: Array


class Fused:
    """The engine's `network` with the numbers of one test, and the dropout that it would draw."""

    def __init__(self, network: Program, parameters: Array, statistics: Array, dropout_rate: float) -> None:
        self.network, self.operations = network, network.operations
        self.threshold = min(65535, int(dropout_rate * 65536 + 0.5))
        layers: list[Layer] = []
        self.places = []  # where each operation's layer is
        for op in self.operations:
            own = self._layers(op)
            self.places.append(len(layers) + own.index(next(x for x in own if not isinstance(x, Flatten))))
            layers += own
        self.textbook = Network(layers, network.shape, dtype=np.float64)
        for op, place in zip(self.operations, self.places, strict=True):
            arrays = self._weight(op, parameters[op.weight : op.bias]), parameters[op.bias : op.end]
            for name, array in zip(self.textbook.parameters[place], arrays, strict=False):
                self.textbook.parameters[place][name] = array.copy()
            if op.kind == NORM:
                running = statistics[op.statistics :][: 2 * op.before[2]].reshape(2, -1).copy()
                self.textbook.statistics[place] = {"mean": running[0], "var": running[1]}

    def step(self, images: Array, labels: Array, key: int) -> Step:
        noise: list[Array | None] = [None] * len(self.textbook.layers)
        for number, layer in enumerate(self.textbook.layers):
            if isinstance(layer, Dropout):
                noise[number] = self._draw((len(images), *self.textbook.shapes[number]), key)
        loss, gradients = self.textbook.gradients(images, labels, noise)
        flat = np.zeros(self.network.parameters)
        statistics = np.zeros(self.network.statistics)
        for op, place in zip(self.operations, self.places, strict=True):
            for at, array in zip((op.weight, op.bias), gradients[place].values(), strict=False):
                flat[at : at + array.size] = self._back(op, array).ravel()
            for at, array in enumerate(self.textbook.statistics[place].values()):
                first = op.statistics + at * array.size
                statistics[first : first + array.size] = array
        return Step(loss, flat, statistics)

    def _layers(self, op: Operation) -> list[Layer]:
        if op.kind == CONV:
            return [Conv2d(op.after[2], op.size, op.stride, op.padding)]
        if op.kind == NORM:
            return [BatchNorm2d()]
        if op.kind == LINEAR:
            return [Flatten(), Linear(op.after[2])]
        return [ReLU(), *([Dropout(self.threshold / 65536)] if op.dropout else []), MaxPool2d()]

    def _weight(self, op: Operation, array: Array) -> Array:
        """Channels from the last place to the one after the filters."""
        if op.kind == CONV:
            return array.reshape(op.after[2], op.size, op.size, -1).transpose(0, 3, 1, 2)
        if op.kind == LINEAR:
            return array.reshape(op.after[2], *op.before).transpose(0, 3, 1, 2).reshape(op.after[2], -1)
        return array

    def _back(self, op: Operation, array: Array) -> Array:
        """Channels from the place after the filters to the last one."""
        if op.kind == LINEAR and array.ndim == 2:
            h, w, c = op.before
            array = array.reshape(-1, c, h, w)
        return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array

    def _draw(self, shape: tuple[int, ...], key: int) -> Array:
        """The noise that `simd.draw` makes for this CPU's layout, in steps of 1/65536."""
        number = next(number for number, op in enumerate(self.operations) if op.dropout)
        zeros = np.zeros(self.network.parameters), np.zeros(self.network.statistics)
        row = layout.allocate(self.network, *zeros, 1).table[number]
        noise = np.ones(shape)  # what fills no window of the pooling is not drawn
        width, paired, window_rows = (int(row[c]) for c in ("width", "paired", "window_rows"))
        words, columns = width // 4, shape[3] // 2
        for n in range(shape[0]):
            own = mix(mix(key, number), n)
            for c, h, w in np.ndindex(shape[1], shape[2] // 2 * 2, columns * 2):
                half, a = divmod(h // 2, window_rows) if paired else (0, h // 2)
                lane = 2 * c + half if paired else c
                place = ((a * columns + w // 2) * 4 + h % 2 * 2 + w % 2) * words + lane // 4
                noise[n, c, h, w] = (mix(own, place) >> (16 * (lane % 4)) & 0xFFFF) / 65536
        return noise


def mix(key: int, counter: int) -> int:
    """SplitMix64's finaliser, in Python's whole numbers."""
    z = (key + counter * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)
