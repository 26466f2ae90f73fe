"""From any textbook layers to the table that loop.py runs and the memory it runs on."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.architecture import flat_order, shapes_before
from cnn_core.kernels.layout import zeros
from cnn_core.kernels.operations import OPERATION, OPERATIONS, Operation, State, blocks_of
from cnn_core.kernels.operations.operation import align, kinds
from cnn_core.kernels.pointer import address
from cnn_core.kernels.simd import LANES
from cnn_core.layers import Conv2d, Flatten, Layer, Linear

Shape = tuple[int, ...]

CHUNK_BYTES, CHUNK_IMAGES = 512 * 1024, 16
"""Images that go through the layers together: as many as this share of the second cache holds, or enough."""


def allocate(
    layers: Sequence[Layer], shape: Shape, parameters: NDArray[Any], statistics: NDArray[Any], batch: int
) -> State:
    """Lay the network out for batches of so many images, with copies of its parameters and statistics."""
    order = places(layers, shape)
    one = _Plan(layers, shape, order.size, statistics.size, 1)
    wanted = max((row.get("together", 1) for row in one.rows), default=1)
    chunk = min(CHUNK_IMAGES, max(wanted, CHUNK_BYTES // (4 * one.per_image)))
    waits = sum(len(own.passes) > 1 for _, own in blocks_of(layers, shape))
    plan = _Plan(layers, shape, order.size, statistics.size, max(batch, chunk) if waits else chunk)
    state = State(
        np.zeros(len(plan.rows), OPERATION), np.array([*plan.offsets, 0], np.int64),
        zeros(plan.size, np.float32), np.zeros(plan.summed + LANES), order.size, plan.gradient,
        plan.statistics,
        _last_channels(shape), plan.input["y"], plan.input["y_size"], plan.output["y"], plan.output["y_size"],
        plan.output["dy"], plan.output["outputs"], batch, chunk,
    )  # fmt: skip
    for number, columns in enumerate(plan.rows):
        for name, value in columns.items():
            state.table[name][number] = value
    _link(state, plan.kernels)
    state.memory[: order.size] = parameters[order]
    state.memory[plan.statistics : plan.statistics + statistics.size] = statistics
    return state


def kernels_of(layers: Sequence[Layer], shape: Shape) -> set[str]:
    """Names of the kernels that these layers use, but for those of a user's own."""
    found = set()
    for own in (own for block, own in blocks_of(layers, shape) if type(block[0]) in OPERATIONS):
        for turn in range(len(own.passes)):
            found |= {f"{kernel.__module__}.{kernel.__name__}" for kernel in own.kernels(turn).values()}
    return found


def _link(state: State, kernels: list[dict[str, Any]]) -> None:
    """Compile what these operations use, and no more, and note where it is."""
    for number, own in enumerate(kernels):
        for name, kernel in own.items():
            state.table[name][number] = address(kernel, *kinds())


def places(layers: Sequence[Layer], shape: Shape) -> NDArray[np.int64]:
    """Where each of the loop's parameters is among a checkpoint's.

    In the loop all is channels last: weights as (K, R, S, C), what follows Flatten as (H, W, C), and a layer
    norm's gamma and beta, which a checkpoint has as (C, H, W). A user's own layer has what the textbook has.
    """
    found, at, images = [np.zeros(0, np.int64)], 0, Shape()
    for layer, before in zip(layers, shapes_before(layers, shape), strict=True):
        textbooks = type(layer) in OPERATIONS
        if len(before) == 3 or not textbooks:
            images = before if type(layer) is Flatten else ()
        for name, array in layer.parameters(before, np.random.default_rng(0)).items():
            axes = array.shape
            if images and name != "bias":
                axes = (*axes[:-1], *images)
            own = np.arange(at, at + array.size).reshape(axes)
            if textbooks and (len(before) == 3 or (images and name != "bias")):
                own = np.moveaxis(own, -3, -1) if own.ndim > 2 else own
            found.append(own.ravel())
            at += array.size
        if isinstance(layer, Linear):
            images = ()
    return np.argsort(flat_order(layers, shape))[np.concatenate(found)]


Columns = dict[str, Any]


class _Plan:
    """Places one layer after another, with room for `slots` images."""

    def __init__(
        self, layers: Sequence[Layer], shape: Shape, parameters: int, statistics: int, slots: int
    ) -> None:
        self.slots, self.size, self.per_image, self.summed = slots, 0, 0, 0
        self.offsets: list[int] = []
        self.rows: list[Columns] = []
        self.kernels: list[dict[str, Any]] = []
        self.numbers(parameters)
        self.gradient = self.numbers(parameters)
        self.statistics = self.numbers(statistics)
        self._at = self._kept = 0
        self.after, self.wants_dx = _last_channels(shape), False
        self.lying = self.after
        self.input = self.output = self._place(self.after)
        before = shape
        blocks = blocks_of(layers, shape)
        for (block, operation), (_, following) in pairwise([*blocks, ((), Operation(()))]):
            overwritten = type(block[-1]) is Conv2d and following.overwrites
            before = self._add(block, before, operation, overwritten)

    def numbers(self, count: int) -> int:
        found = self.size
        self.size += align(count + 4 * LANES)
        return found

    def numbers_per_image(self, count: int) -> int:
        self.per_image += align(count)
        return self.numbers(align(count) * self.slots)

    def sums(self, count: int) -> int:
        self.summed += count
        return self.summed - count

    def table(self, values: list[int]) -> int:
        self.offsets += values
        return len(self.offsets) - len(values)

    def _place(self, shape: tuple[int, int, int], overwritten: bool = False) -> Columns:
        count = math.prod(shape)
        y = self.numbers_per_image(count)
        dy = y if overwritten else self.numbers_per_image(count)
        return {"y": y, "dy": dy, "y_size": align(count), "outputs": count}

    def _add(self, block: tuple[Layer, ...], before: Shape, operation: Operation, overwritten: bool) -> Shape:
        """Place what runs these layers, dy where y was if that is overwritten; return the shape after."""
        arrays, kept, images = list[NDArray[Any]](), 0, len(before) == 3
        for layer in block:
            arrays += layer.parameters(before, np.random.default_rng(0)).values()
            kept += sum(array.size for array in layer.statistics(before).values())
            before = layer.output_shape(before)
        self.before, self.after = self.after, _last_channels(before)
        if not operation.passes:
            return before
        x, self.output = self.output, self._place(self.after, overwritten)
        names = zip("hwcpqk", (*self.before, *self.after), strict=True)
        bias = self._at + (arrays[0].size if arrays else 0)
        common = dict(names) | {
            "x": x["y"], "dx": x["dy"], "x_size": x["y_size"], "inputs": x["outputs"], **self.output,
            "framed": x["y"], "framed_size": x["y_size"], "dframed": x["dy"],
            "weight": self._at, "bias": bias, "dweight": self.gradient + self._at,
            "dbias": self.gradient + bias, "stats": self.statistics + self._kept, "wants_dx": self.wants_dx,
        }  # fmt: skip
        common |= operation.columns(block if len(block) > 1 else block[0], self)
        for turn in range(len(operation.passes)):
            kernels = operation.kernels(turn)
            if not (self.wants_dx or arrays):
                kernels.pop("backward")
            self.rows.append(common | {"waits": turn > 0, "number": len(self.rows)})
            self.kernels.append(kernels)
        if images or isinstance(block[0], Linear) or type(block[0]) not in OPERATIONS:
            self.lying = self.after
        self.wants_dx |= bool(arrays)
        self._at += sum(array.size for array in arrays)
        self._kept += kept
        return before


def _last_channels(shape: Shape) -> tuple[int, int, int]:
    """(H, W, C); what is no image is one position."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else (1, 1, math.prod(shape))
