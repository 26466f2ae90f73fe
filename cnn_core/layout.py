"""From a network's operations to the table that the engine runs and the memory it runs on.

The layout is this CPU's: channels of a convolution's output are padded to whole vectors, and what belongs to
an image begins at a cache line of float32.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnn_core.layers.conv2d import images_together
from cnn_core.network import CONV, LINEAR, POOL, Network, Operation
from cnn_core.simd import HALF, LANES, SLACK

# Columns of the table.
# H, W, C: shape of an operation's input; P, Q, K: of its output; DROPOUT: 1 where it has some; SIZE, STRIDE,
# PADDING: of a convolution; FEATURES: numbers an image of the linear layer's input.
# X, Y, DX, DY: where in the memory input, output and their gradients begin; *_SIZE: numbers an image,
# *_PITCH: a row, Y_FIRST: before the first position of an image.
# WIDTH: numbers of a position of the convolution's output; of its rows ROWS are computed, up to WHOLE they
# are positions in every lane; PAIRED: 1 where two rows share the vectors, the one BELOW pixels below the
# other; DENSE: 1 where the convolution's gradient has no zeros; WINDOW_ROWS, WINDOWS: the pooling's rows of
# windows computed, and all of these windows.
# WEIGHT, BIAS, DWEIGHT, DBIAS: parameters and their gradients; STATS: running statistics; ROUTED, and CODES
# among the bytes: what goes back to each window; MEAN, INVERSE, SCALE, SHIFT, TILT, LEVEL: a number a
# channel; PACKED, FRAMES: the weights as the forward and the backward pass read them; DPACKED, VALUES:
# scratch; MARGIN, FRAME_PITCH, FRAME_SIZE: see layers/conv2d.py.
# PLACES to SHIFTS: where its tables begin among the offsets (layers/conv2d.py), OFFSETS: where they end.
(KIND, H, W, C, P, Q, K, DROPOUT, SIZE, STRIDE, PADDING, FEATURES,
 X, X_SIZE, X_PITCH, Y, Y_SIZE, Y_PITCH, Y_FIRST, DX, DY,
 WIDTH, ROWS, WHOLE, PAIRED, BELOW, DENSE, WINDOW_ROWS, WINDOWS,
 WEIGHT, BIAS, DWEIGHT, DBIAS, STATS, ROUTED, CODES, MEAN, INVERSE, SCALE, SHIFT, TILT, LEVEL,
 PACKED, FRAMES, DPACKED, VALUES, MARGIN, FRAME_PITCH, FRAME_SIZE,
 PLACES, TAPS, CORNERS, ROW_X, ROW_W, ROW_N, PATCH_X, PATCH_W, SHIFTS, OFFSETS) = range(59)  # fmt: skip

CACHE_LINE = 64

# Images an evaluation step: 16 and 50 took 6 % less than 4, and 50 takes three times the memory.
EVALUATION_BATCH = 16


class State(NamedTuple):
    """All that a network needs to run, allocated once.

    `memory` holds every floating number: first the `parameters` of the network, at `gradient` their
    gradients, then what the table's columns say. `codes` are bytes, `sums` and `lists` scratch. `batch` is
    the most images that can be trained on at once.
    """

    table: NDArray[np.int64]
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
    network: Network, parameters: NDArray[Any], statistics: NDArray[Any], batch: int, dtype: Any = np.float32
) -> State:
    """Lay the network out for batches of so many images, with copies of its parameters and statistics."""
    layout = _Layout(network, batch)
    table = np.array(layout.rows, np.int64)
    state = State(
        table, np.array(layout.offsets, np.int64), _zeros(layout.size, dtype), _zeros(layout.codes, np.uint8),
        _zeros(2 * LANES, np.float64), _zeros(layout.listed, np.int64),
        network.parameters, layout.gradient, layout.statistics, batch,
    )  # fmt: skip
    state.memory[: network.parameters] = parameters
    state.memory[layout.statistics : layout.statistics + network.statistics] = statistics
    for row in table[table[:, KIND] == POOL]:  # a scale of 1 where no normalisation writes another
        state.memory[row[SCALE] : row[SCALE] + row[WIDTH]] = 1
    return state


def _zeros(count: int, dtype: Any) -> NDArray[Any]:
    """An array that begins at a cache line: a vector across two takes two loads."""
    size = np.dtype(dtype).itemsize
    whole = np.zeros(count + SLACK + CACHE_LINE // size, dtype)
    first = -whole.ctypes.data % CACHE_LINE // size
    return whole[first : first + count + SLACK]


def _align(size: int, unit: int = CACHE_LINE // 4) -> int:
    return -(-size // unit) * unit


class _Layout:
    """Places one operation after another."""

    def __init__(self, network: Network, batch: int) -> None:
        self.capacity = max(batch, EVALUATION_BATCH)
        self.rows: list[list[int]] = []
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
                features = math.prod(op.before)
                output = self._place_output(op.after[2])
                self._add(
                    op, {X: before[Y], X_SIZE: before[Y_SIZE], DX: before[DY], FEATURES: features, **output}
                )

    def place(self, size: int) -> int:
        """Room for so many numbers, from a cache line on."""
        found = self.size
        self.size += _align(size)
        return found

    def _place_output(self, size: int) -> dict[int, int]:
        """Room for an operation's output, so many numbers an image, and for its gradient."""
        size = _align(size)
        return {Y: self.place(size * self.capacity), DY: self.place(size * self.capacity), Y_SIZE: size}

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
            source = {X: self.place(x_size * self.capacity), X_SIZE: x_size}
        else:
            source = {X: self.rows[-1][Y], X_SIZE: self.rows[-1][Y_SIZE], DX: self.rows[-1][DY]}
        taps = size * size * c
        frame_pitch = _align((size + stride) * c) + _align(stride * c)
        frame_size = (size + 2 * stride) * frame_pitch
        window_rows = below // 2 if paired else windows_p
        routed = window_rows * windows_q * width
        block = {
            WIDTH: width, ROWS: rows, WHOLE: p - below if paired else p, PAIRED: paired,
            BELOW: below * stride, DENSE: dense, WINDOW_ROWS: window_rows, WINDOWS: window_rows * windows_q,
            ROUTED: self.place(routed * self.capacity), CODES: self.codes,
            **{column: self.place(width) for column in (MEAN, INVERSE, SCALE, SHIFT, TILT, LEVEL)},
        }  # fmt: skip
        self.codes += routed * self.capacity
        own = {PACKED: self.place((taps + 1) * width)}
        if dense:
            own |= {DPACKED: self.place((taps + 1) * width)}
        else:
            listed = k * (1 + window_rows * windows_q * min(batch, images_together.py_func(source[X_SIZE])))
            own |= {
                FRAMES: self.place(k * frame_size), VALUES: self.place(listed),
                MARGIN: stride * (frame_pitch + c), FRAME_PITCH: frame_pitch, FRAME_SIZE: frame_size,
            }  # fmt: skip
            self.listed = max(self.listed, k + listed)
        output = self._place_output(rows * q * width) | {Y_PITCH: q * width}
        plane = image_rows * pitch if paired else 1
        tables = self._add_tables(conv, pool, pitch, step, plane, rows, frame_pitch)
        self._add(conv, {**source, X_PITCH: pitch, **output, **block, **own, **tables})
        source = {X: output[Y], X_SIZE: output[Y_SIZE], X_PITCH: q * width, DX: output[DY]}
        for op in operations[number + 1 : last]:
            self._add(op, {**source, **block})
        y_pitch = (windows_q + 2 * after.padding) * k
        output = self._place_output((windows_p + 2 * after.padding) * y_pitch)
        self._add(pool, {
            **source, **output, **block, Y_PITCH: y_pitch, Y_FIRST: after.padding * (y_pitch + k),
        })  # fmt: skip

    def _add_tables(
        self, conv: Operation, pool: Operation, pitch: int, step: int, plane: int, rows: int, frame_pitch: int
    ) -> dict[int, int]:
        """The tables of layers/conv2d.py; rows, pixels and channels of x are so many numbers apart."""
        size, stride, c = conv.size, conv.stride, conv.before[2]
        q, run = conv.after[1], size * c
        vectors = [(i, v) for i in range(size) for v in range(0, run, LANES)]
        patch = [(i, v) for i in range(size + stride) for v in range(0, (size + stride) * c, LANES)]
        found: dict[int, int] = {}
        for column, values in (
            (PLACES, [stride * (a * pitch + b * step) for a in range(rows) for b in range(q)]),
            (
                TAPS,
                [
                    i * pitch + j * step + t * plane
                    for i in range(size)
                    for j in range(size)
                    for t in range(c)
                ],
            ),
            (
                CORNERS,
                [
                    stride * ((2 * a + code // 2) * pitch + (2 * b + code % 2) * step)
                    for a in range(pool.after[0])
                    for b in range(pool.after[1])
                    for code in (0, 1, 2, 3, 0)
                ],
            ),
            (ROW_X, [i * pitch + v for i, v in vectors]),
            (ROW_W, [i * run + v for i, v in vectors]),
            (ROW_N, [min(LANES, run - v) for _, v in vectors]),
            (PATCH_X, [i * pitch + v for i, v in patch]),
            (PATCH_W, [i * frame_pitch + v for i, v in patch]),
            (
                SHIFTS,
                [stride * ((1 - code // 2) * frame_pitch + (1 - code % 2) * c) for code in (0, 1, 2, 3, 3)],
            ),
            (OFFSETS, []),
        ):
            found[column] = len(self.offsets)
            self.offsets += values
        return found

    def _add(self, op: Operation, more: dict[int, int]) -> None:
        columns = dict(zip((H, W, C, P, Q, K), (*op.before, *op.after), strict=True))
        columns |= {
            KIND: op.kind, DROPOUT: op.dropout, SIZE: op.size, STRIDE: op.stride,
            PADDING: op.padding, WEIGHT: op.weight, BIAS: op.bias,
            DWEIGHT: self.gradient + op.weight, DBIAS: self.gradient + op.bias,
            STATS: self.statistics + op.statistics,
        }  # fmt: skip
        columns |= more
        self.rows.append([int(columns.get(column, 0)) for column in range(OFFSETS + 1)])
