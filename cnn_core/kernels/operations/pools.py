"""Pooling over windows of any size, stride and padding, and over all positions.

A maximum leaves the number of its place in the window, in reading order, for the backward pass. That goes
over the positions of x, not over the windows: to each comes what the windows that see it send, so nothing is
written twice. Tables say which windows these are: above and lower for each row, left and right for each
column.
"""

import numpy as np

from cnn_core.kernels.operations.operation import Columns, Operation, Pass, Room, compiled
from cnn_core.kernels.simd import LANES, add, fill, load, multiply, store, where_equal, where_less, where_nan
from cnn_core.layers import AvgPool2d, MaxPool2d

f = np.float32


@compiled
def forward_max(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill y and codes. Of equal numbers the first counts; a NaN stays one, so that divergence is seen."""
    memory, c = state.memory, op.c
    for image in range(first, last):
        for a in range(op.p):
            top = a * op.stride - op.padding
            rows = max(0, -top), min(op.size, op.h - top)
            for b in range(op.q):
                side = b * op.stride - op.padding
                columns = max(0, -side), min(op.size, op.w - side)
                to = (a * op.q + b) * c
                x = op.x + image * op.x_size + (top * op.w + side) * c
                for k in range(0, c, LANES):
                    code = fill(load(memory, 0), f(rows[0] * op.size + columns[0]))
                    best = load(memory, x + (rows[0] * op.w + columns[0]) * c + k)
                    whole = best
                    for r in range(rows[0], rows[1]):
                        for s in range(columns[0], columns[1]):
                            value = load(memory, x + (r * op.w + s) * c + k)
                            own = fill(value, f(r * op.size + s))
                            code, best = (
                                where_less(best, value, own, code),
                                where_less(best, value, value, best),
                            )
                            whole = add(whole, value)
                    store(memory, op.y + image * op.y_size + to + k, where_nan(whole, whole, best))
                    if training:
                        store(memory, op.codes + image * op.y_size + to + k, code)


@compiled
def backward_max(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """dx = sum of dy of the windows whose maximum is there."""
    memory, offsets, c = state.memory, state.offsets, op.c
    zero = fill(load(memory, 0), f(0))
    for image in range(first, last):
        at = image * op.y_size
        for h in range(op.h):
            above, below = offsets[op.above + h], offsets[op.lower + h]
            for w in range(op.w):
                left, right = offsets[op.left + w], offsets[op.right + w]
                to = op.dx + image * op.x_size + (h * op.w + w) * c
                for k in range(0, c, LANES):
                    total = zero
                    for a in range(above, below):
                        r = h + op.padding - a * op.stride
                        for b in range(left, right):
                            s = w + op.padding - b * op.stride
                            window = at + (a * op.q + b) * c + k
                            code, dy = load(memory, op.codes + window), load(memory, op.dy + window)
                            here = fill(zero, f(r * op.size + s))
                            total = add(total, where_equal(code, here, dy, zero))
                    store(memory, to + k, total)


@compiled
def forward_max_apart(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """The same for windows side by side without padding: all of each window is there."""
    memory, c, size = state.memory, op.c, op.size
    zero = fill(load(memory, 0), f(0))
    pitch = op.w * c
    for image in range(first, last):
        to = image * op.y_size
        for a in range(op.p):
            x = op.x + image * op.x_size + a * size * pitch
            for _ in range(op.q):
                for k in range(0, c, LANES):
                    best, code, whole = load(memory, x + k), zero, zero
                    for r in range(size):
                        for s in range(size):
                            value = load(memory, x + r * pitch + s * c + k)
                            code = where_less(best, value, fill(zero, f(r * size + s)), code)
                            best, whole = where_less(best, value, value, best), add(whole, value)
                    store(memory, op.y + to + k, where_nan(whole, whole, best))
                    if training:
                        store(memory, op.codes + to + k, code)
                x += size * c
                to += c


@compiled
def backward_max_apart(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """The same for windows side by side without padding: each position is in one, or none at the end."""
    memory, c, stride = state.memory, op.c, op.stride
    zero = fill(load(memory, 0), f(0))
    for image in range(first, last):
        at, to = image * op.y_size, op.dx + image * op.x_size
        for h in range(op.h):
            a = h // stride
            r = h - a * stride
            seen = op.q if a < op.p else 0
            for b in range(seen):
                window = at + (a * op.q + b) * c
                for s in range(stride):
                    here = fill(zero, f(r * stride + s))
                    for k in range(0, c, LANES):
                        code, dy = load(memory, op.codes + window + k), load(memory, op.dy + window + k)
                        store(memory, to + k, where_equal(code, here, dy, zero))
                    to += c
            for _ in range(seen * stride, op.w):
                for k in range(0, c, LANES):
                    store(memory, to + k, zero)
                to += c


@compiled
def forward_mean(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill y; the frame's zeros count as values."""
    memory, c = state.memory, op.c
    zero = fill(load(memory, 0), f(0))
    share = fill(zero, f(1) / f(op.size * op.size))
    for image in range(first, last):
        for a in range(op.p):
            top = a * op.stride - op.padding
            rows = max(0, -top), min(op.size, op.h - top)
            for b in range(op.q):
                side = b * op.stride - op.padding
                columns = max(0, -side), min(op.size, op.w - side)
                to = op.y + image * op.y_size + (a * op.q + b) * c
                x = op.x + image * op.x_size + (top * op.w + side) * c
                for k in range(0, c, LANES):
                    total = zero
                    for r in range(rows[0], rows[1]):
                        for s in range(columns[0], columns[1]):
                            total = add(total, load(memory, x + (r * op.w + s) * c + k))
                    store(memory, to + k, multiply(total, share))


@compiled
def backward_mean(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """dx = sum of dy of the windows that see it, by their size."""
    memory, offsets, c = state.memory, state.offsets, op.c
    zero = fill(load(memory, 0), f(0))
    share = fill(zero, f(1) / f(op.size * op.size))
    for image in range(first, last):
        dy = op.dy + image * op.y_size
        for h in range(op.h):
            above, below = offsets[op.above + h], offsets[op.lower + h]
            for w in range(op.w):
                left, right = offsets[op.left + w], offsets[op.right + w]
                to = op.dx + image * op.x_size + (h * op.w + w) * c
                for k in range(0, c, LANES):
                    total = zero
                    for a in range(above, below):
                        for b in range(left, right):
                            total = add(total, load(memory, dy + (a * op.q + b) * c + k))
                    store(memory, to + k, multiply(total, share))


@compiled
def forward_global_mean(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """y = mean of each channel."""
    memory, c, positions = state.memory, op.c, op.h * op.w
    zero = fill(load(memory, 0), f(0))
    share = fill(zero, f(1) / f(positions))
    for image in range(first, last):
        for k in range(0, c, LANES):
            total = zero
            for i in range(positions):
                total = add(total, load(memory, op.x + image * op.x_size + i * c + k))
            store(memory, op.y + image * op.y_size + k, multiply(total, share))


@compiled
def backward_global_mean(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """dx = dy / (H W) at each position."""
    memory, c, positions = state.memory, op.c, op.h * op.w
    share = fill(load(memory, 0), f(1) / f(positions))
    for image in range(first, last):
        for i in range(positions):
            for k in range(0, c, LANES):
                dy = load(memory, op.dy + image * op.y_size + k)
                store(memory, op.dx + image * op.x_size + i * c + k, multiply(dy, share))


def columns(layer: MaxPool2d | AvgPool2d, room: Room) -> Columns:
    (h, w, c), (p, q, _) = room.before, room.after
    size, stride, padding = layer.size, layer.stride or layer.size, layer.padding

    def seen(at: int, windows: int) -> tuple[int, int]:
        """The windows that see a row or column: from the first to before the last."""
        first = max(0, -(-(at + padding - size + 1) // stride))
        return first, min(windows, (at + padding) // stride + 1)

    rows, across = [seen(i, p) for i in range(h)], [seen(i, q) for i in range(w)]
    return {
        "size": size, "stride": stride, "padding": padding,
        "above": room.table([first for first, _ in rows]), "lower": room.table([last for _, last in rows]),
        "left": room.table([first for first, _ in across]), "right": room.table([last for _, last in across]),
        "codes": room.numbers_per_image(p * q * c) if isinstance(layer, MaxPool2d) else 0,
    }  # fmt: skip


def max_pool2d(layer: MaxPool2d, _before: tuple[int, ...]) -> Operation:
    apart = layer.stride == layer.size and layer.padding == 0
    own = Pass(forward_max_apart, backward_max_apart) if apart else Pass(forward_max, backward_max)
    return Operation((own,), columns)


AVG_POOL2D = Operation((Pass(forward_mean, backward_mean),), columns)
GLOBAL_AVG_POOL2D = Operation((Pass(forward_global_mean, backward_global_mean),))
