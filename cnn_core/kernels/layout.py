"""From a network's operations to the table that the engine runs and the memory it runs on.

The layout is this CPU's: channels of a convolution's output are padded to whole vectors, and what belongs to
an image begins at a cache line of float32.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnn_core.fuse import CONV, LINEAR, POOL, Operation, Program
from cnn_core.kernels.conv2d import images_together
from cnn_core.kernels.paired import tiling
from cnn_core.kernels.simd import HALF, LANES, SLACK


def _fields(text: str) -> list[tuple[str, type]]:
    return [(name, np.int64) for name in text.split()]


OPERATION = np.dtype(
    # Its Operation (fuse.py): the shapes of its input and output; `dropout` is 1 where it has some.
    _fields("kind h w c p q k dropout size stride padding")
    # Where in the memory input, output and their gradients begin; how many numbers an image has, and a row;
    # `y_first` numbers lie before an image's first position. `features`: of the linear layer's input.
    + _fields("x x_size x_pitch y y_size y_pitch y_first dx dy features")
    # `width`: numbers of a position of the convolution's output. Of its rows `rows` are computed; up to
    # `whole` they are positions in every lane. `paired`: 1 where two rows share the vectors, the one `below`
    # pixels below the other; `beside ... wide`: how they are made (kernels/paired.py). `dense`: 1
    # where the convolution's gradient has no zeros.
    + _fields("width rows whole paired below beside beside_back few wide dense")
    # The pooling's rows of windows that are computed, and all of these windows.
    + _fields("window_rows windows")
    # Parameters, their gradients, running statistics.
    + _fields("weight bias dweight dbias stats")
    # What goes back to each window, and `codes` among the bytes; then a number a channel each.
    + _fields("routed codes mean inverse scale shift tilt level")
    # The weights as the forward and the backward pass read them, scratch, and the frames' measures: see
    # kernels/conv2d.py.
    + _fields("packed frames dpacked values sums frame_pitch frame_size")
    # Where its tables begin among the offsets (kernels/conv2d.py), and where they end.
    + _fields("places taps corners row_x row_w row_n patch_x patch_w shifts offsets")
)
"""A row of the table that the engine runs: all whole numbers, 0 where an operation has no use for one."""

CACHE_LINE = 64

# Images an evaluation step: 16 and 50 took 6 % less than 4, and 50 takes three times the memory.
EVALUATION_BATCH = 16


class State(NamedTuple):
    """All that a network needs to run, allocated once.

    `memory` holds every floating number: first the `parameters` of the network, at `gradient` their
    gradients, then what the table's columns say. `codes` are bytes, `sums` and `lists` scratch. `batch` is
    the most images that can be trained on at once.
    """

    table: NDArray[Any]
    offsets: NDArray[np.int64]
    memory: NDArray[Any]
    codes: NDArray[np.uint8]
    sums: NDArray[np.float64]
    lists: NDArray[np.int64]
    parameters: int
    gradient: int
    statistics: int
    batch: int


def allocate(
    network: Program, parameters: NDArray[Any], statistics: NDArray[Any], batch: int, dtype: Any = np.float32
) -> State:
    """Lay the network out for batches of so many images, with copies of its parameters and statistics."""
    layout = _Layout(network, batch)
    table = np.zeros(len(layout.rows), OPERATION)
    for row, columns in zip(table, layout.rows, strict=True):
        for name, value in columns.items():
            row[name] = value
    state = State(
        table, np.array(layout.offsets, np.int64), zeros(layout.size, dtype), zeros(layout.codes, np.uint8),
        zeros(2 * LANES, np.float64), zeros(layout.listed, np.int64),
        network.parameters, layout.gradient, layout.statistics, batch,
    )  # fmt: skip
    state.memory[: network.parameters] = parameters
    state.memory[layout.statistics : layout.statistics + network.statistics] = statistics
    for row in table[table["kind"] == POOL]:  # a scale of 1 where no normalisation writes another
        state.memory[row["scale"] : row["scale"] + row["width"]] = 1
    return state


def zeros(count: int, dtype: Any) -> NDArray[Any]:
    """An array that begins at a cache line: a vector across two takes two loads."""
    size = np.dtype(dtype).itemsize
    whole = np.zeros(count + SLACK + CACHE_LINE // size, dtype)
    first = -whole.ctypes.data % CACHE_LINE // size
    return whole[first : first + count + SLACK]


def _align(size: int, unit: int = CACHE_LINE // 4) -> int:
    return -(-size // unit) * unit


Columns = dict[str, int]


def _input_from(before: Columns) -> Columns:
    """The input of an operation: the output of the one before it."""
    return {"x": before["y"], "x_size": before["y_size"], "dx": before["dy"]}


class _Layout:
    """Places one operation after another."""

    def __init__(self, network: Program, batch: int) -> None:
        self.capacity = max(batch, EVALUATION_BATCH)
        self.rows: list[Columns] = []
        self.offsets: list[int] = []
        self.size = self.codes = self.listed = 0
        self.place(network.parameters + SLACK)
        self.gradient = self.place(network.parameters + SLACK)
        self.statistics = self.place(network.statistics)
        for number, op in enumerate(network.operations):
            if op.kind == CONV:
                self._add_block(network.operations, number, batch)
            if op.kind == LINEAR:
                before = self.rows[-1]
                output = self._place_output(op.after[2])
                self._add(op, _input_from(before) | output, features=math.prod(op.before))

    def place(self, size: int) -> int:
        """Room for so many numbers, from a cache line on."""
        found = self.size
        self.size += _align(size)
        return found

    def _place_output(self, size: int) -> Columns:
        """Room for an operation's output, so many numbers an image, and for its gradient."""
        size = _align(size)
        return {"y": self.place(size * self.capacity), "dy": self.place(size * self.capacity), "y_size": size}

    def _add_block(self, operations: tuple[Operation, ...], number: int, batch: int) -> None:
        """A convolution and what follows it, up to its pooling."""
        conv = operations[number]
        last = next(i for i in range(number, len(operations)) if operations[i].kind == POOL)
        pool, after = operations[last], operations[last + 1]
        size, stride, c = conv.size, conv.stride, conv.before[2]
        p, q, k = conv.after
        windows_p, windows_q, _ = pool.after
        dense = last > number + 1
        # Few filters would leave half of each vector empty: the lower half of the image goes there.
        paired = dense and number == 0 and k <= HALF
        below = -(-p // 4) * 2  # rows from one position of a pair to the other: even, for the windows
        rows = below if paired else p
        width = LANES if paired else _align(k, LANES)
        columns = conv.before[1] + 2 * conv.padding
        image_rows = (below - 1) * stride + size if paired else conv.before[0] + 2 * conv.padding
        step = 2 if paired else c
        pitch = columns * step
        if number == 0:
            x_size = _align(image_rows * pitch * (c if paired else 1))
            source = {"x": self.place(x_size * self.capacity), "x_size": x_size}
        else:
            source = _input_from(self.rows[-1])
        taps = size * size * c
        frame_pitch = _align((size + stride) * c)
        frame_size = (size + stride) * frame_pitch
        window_rows = below // 2 if paired else windows_p
        routed = window_rows * windows_q * width
        block = {
            "width": width, "rows": rows, "whole": p - below if paired else p,
            "paired": paired, "below": below * stride, "dense": dense,
            "window_rows": window_rows, "windows": window_rows * windows_q,
            "routed": self.place(routed * self.capacity), "codes": self.codes,
            **{name: self.place(width) for name in ("mean", "inverse", "scale", "shift", "tilt", "level")},
        }  # fmt: skip
        self.codes += routed * self.capacity
        own = {"packed": self.place((taps + 1) * width)}
        if paired:
            own |= tiling(k, q, size, stride)
        if dense:
            own |= {"dpacked": self.place((taps + 1) * width)}
        else:
            listed = max(k, window_rows * windows_q * min(batch, images_together.py_func(source["x_size"])))
            own |= {
                "frames": self.place(2 * k * frame_size + stride * frame_pitch), "sums": self.place(width),
                "values": self.place(listed), "frame_pitch": frame_pitch, "frame_size": frame_size,
            }  # fmt: skip
            self.listed = max(self.listed, listed)
        output = self._place_output(rows * q * width) | {"y_pitch": q * width}
        plane = image_rows * pitch if paired else 1
        tables = self._add_tables(conv, pool, pitch, step, plane, rows, frame_pitch, frame_size)
        self._add(conv, source | output | block | own | tables, x_pitch=pitch)
        source = _input_from(output)
        for op in operations[number + 1 : last]:
            self._add(op, source | block, x_pitch=q * width)
        y_pitch = (windows_q + 2 * after.padding) * k
        output = self._place_output((windows_p + 2 * after.padding) * y_pitch)
        self._add(
            pool, source | output | block,
            x_pitch=q * width, y_pitch=y_pitch, y_first=after.padding * (y_pitch + k),
        )  # fmt: skip

    def _add_tables(
        self,
        conv: Operation,
        pool: Operation,
        pitch: int,
        step: int,
        plane: int,
        rows: int,
        frame_pitch: int,
        frame_size: int,
    ) -> Columns:
        """The tables of kernels/conv2d.py; rows, pixels and channels of x are so many numbers apart."""
        size, stride, c = conv.size, conv.stride, conv.before[2]
        q, run = conv.after[1], size * c
        vectors = [(i, v) for i in range(size) for v in range(0, run, LANES)]
        patch = [(i, v) for i in range(size + stride) for v in range(0, (size + stride) * c, LANES)]
        tables = {
            "places": [stride * (a * pitch + b * step) for a in range(rows) for b in range(q)],
            "taps": [
                i * pitch + j * step + t * plane for i in range(size) for j in range(size) for t in range(c)
            ],
            "corners": [
                stride * ((2 * a + code // 2) * pitch + (2 * b + code % 2) * step)
                for a in range(pool.after[0])
                for b in range(pool.after[1])
                for code in (0, 1, 2, 3, 0)
            ],
            "row_x": [i * pitch + v for i, v in vectors],
            "row_w": [i * run + v for i, v in vectors],
            "row_n": [min(LANES, run - v) for _, v in vectors],
            "patch_x": [i * pitch + v for i, v in patch],
            "patch_w": [i * frame_pitch + v for i, v in patch],
            "shifts": [
                (1 - code // 2) * stride * frame_pitch + code % 2 * conv.after[2] * frame_size
                for code in (0, 1, 2, 3, 3)
            ],
            "offsets": [],
        }
        found: Columns = {}
        for name, values in tables.items():
            found[name] = len(self.offsets)
            self.offsets += values
        return found

    def _add(self, op: Operation, columns: Columns, **more: int) -> None:
        own = dict(zip("hwcpqk", (*op.before, *op.after), strict=True)) | {
            "kind": op.kind, "dropout": op.dropout, "size": op.size, "stride": op.stride,
            "padding": op.padding, "weight": op.weight, "bias": op.bias,
            "dweight": self.gradient + op.weight, "dbias": self.gradient + op.bias,
            "stats": self.statistics + op.statistics,
        }  # fmt: skip
        self.rows.append(own | columns | more)
