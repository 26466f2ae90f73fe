"""Batch normalisation or none, ReLU, dropout or none, and the maximum of 2 x 2, as one operation.

    y[p,q] = max over the window of dropout(relu(scale x + shift))

Each x is read once and only the maxima are written. A code says where each was, in reading order, or 4: none
was above 0. ReLU, dropout and maximum need no more on the way back, and normalisation sums over windows
instead of positions. What each computes stands in the layers; normalisation's sums over the batch are those
of batch_norm2d.py, of which this is the second pass. For channels that fill vectors.
"""

import numpy as np

from cnn_core.kernels.dropout import mix, scale_of, threshold_of
from cnn_core.kernels.operations import batch_norm2d
from cnn_core.kernels.operations.operation import Columns, Operation, Pass, Room, compiled
from cnn_core.kernels.simd import (
    LANES,
    add,
    draw,
    fill,
    fma,
    keep,
    load,
    multiply,
    store,
    subtract,
    where_equal,
    where_less,
    where_nan,
)
from cnn_core.layers import BatchNorm2d, Dropout, Layer

f = np.float32


@compiled
def prepare(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Without normalisation: scale 1, shift 0."""
    for k in range(op.c):
        state.memory[op.scale + k], state.memory[op.shift + k] = 1, 0


@compiled
def forward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill y and codes. Of equal maxima the first counts; a NaN stays one, so that divergence is seen."""
    memory, c, pitch = state.memory, op.c, op.w * op.c
    threshold = threshold_of(op.factor if training else 0.0)
    zero = fill(load(memory, 0), f(0))
    one, two, three, none = fill(zero, f(1)), fill(zero, f(2)), fill(zero, f(3)), fill(zero, f(4))
    factor, words, own = fill(zero, f(scale_of(threshold))), np.uint64(c // 4), mix(key, op.number)
    for image in range(first, last):
        drawn = mix(own, image)
        for a in range(op.p):
            for b in range(op.q):
                window = a * op.q + b
                for k in range(0, c, LANES):
                    at = op.x + image * op.x_size + 2 * a * pitch + 2 * b * c + k
                    to = image * op.y_size + window * c + k
                    s, t = load(memory, op.scale + k), load(memory, op.shift + k)
                    v0, v1 = fma(load(memory, at), s, t), fma(load(memory, at + c), s, t)
                    v2, v3 = fma(load(memory, at + pitch), s, t), fma(load(memory, at + pitch + c), s, t)
                    v0, v1 = where_less(v0, zero, zero, v0), where_less(v1, zero, zero, v1)
                    v2, v3 = where_less(v2, zero, zero, v2), where_less(v3, zero, zero, v3)
                    if threshold > 0:
                        bits = draw(drawn, np.uint64(window * 4) * words + np.uint64(k // 4), words)
                        v0, v1 = keep(v0, bits, 0, threshold), keep(v1, bits, 1, threshold)
                        v2, v3 = keep(v2, bits, 2, threshold), keep(v3, bits, 3, threshold)
                    code, best = where_less(v0, v1, one, zero), where_less(v0, v1, v1, v0)
                    code, best = where_less(best, v2, two, code), where_less(best, v2, v2, best)
                    code, best = where_less(best, v3, three, code), where_less(best, v3, v3, best)
                    whole = add(add(v0, v1), add(v2, v3))
                    best = where_nan(whole, whole, best)
                    store(memory, op.y + to, multiply(best, factor))
                    if training:
                        store(memory, op.codes + to, where_less(zero, best, code, none))


@compiled
def backward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """dx = dy, scaled as dropout has scaled, at each window's maximum; 0 elsewhere."""
    memory, c, pitch = state.memory, op.c, op.w * op.c
    zero = fill(load(memory, 0), f(0))
    factor = fill(zero, f(scale_of(threshold_of(op.factor))))
    for image in range(first, last):
        dx = op.dx + image * op.x_size
        for a in range(op.p):
            for b in range(op.q):
                for k in range(0, c, LANES):
                    window = image * op.y_size + (a * op.q + b) * c + k
                    at = dx + 2 * a * pitch + 2 * b * c + k
                    code = load(memory, op.codes + window)
                    d = multiply(load(memory, op.dy + window), factor)
                    store(memory, at, where_equal(code, zero, d, zero))
                    store(memory, at + c, where_equal(code, fill(zero, f(1)), d, zero))
                    store(memory, at + pitch, where_equal(code, fill(zero, f(2)), d, zero))
                    store(memory, at + pitch + c, where_equal(code, fill(zero, f(3)), d, zero))
        for row in range(op.h):  # what fills no window: an odd column, an odd row
            for column in range(2 * op.q if row < 2 * op.p else 0, op.w):
                for k in range(0, c, LANES):
                    store(memory, dx + row * pitch + column * c + k, zero)


@compiled
def forward_normalised(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """The same; before the first image make scale and shift."""
    if first == 0:
        batch_norm2d.make_scale(op, state, training)
    forward(op, state, first, last, training, key)


@compiled
def sum_gradient(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Add dy and dy (x - mean) of these images' maxima to the sums of the batch."""
    memory, sums, c, pitch = state.memory, state.sums, op.c, op.w * op.c
    zero, at = fill(load(memory, 0), f(0)), op.sums
    one, two, three, none = fill(zero, f(1)), fill(zero, f(2)), fill(zero, f(3)), fill(zero, f(4))
    factor = fill(zero, f(scale_of(threshold_of(op.factor))))
    for image in range(first, last):
        for k in range(0, c, LANES):
            total, slope, mean = zero, zero, load(memory, op.mean + k)
            for a in range(op.p):
                for b in range(op.q):
                    window = image * op.y_size + (a * op.q + b) * c + k
                    x = op.x + image * op.x_size + 2 * a * pitch + 2 * b * c + k
                    code = load(memory, op.codes + window)
                    d = where_less(code, none, multiply(load(memory, op.dy + window), factor), zero)
                    v = where_equal(code, one, load(memory, x + c), load(memory, x))
                    v = where_equal(code, two, load(memory, x + pitch), v)
                    v = where_equal(code, three, load(memory, x + pitch + c), v)
                    total, slope = add(total, d), fma(d, subtract(v, mean), slope)
            store(memory, op.lower + k, total)
            store(memory, op.above + k, slope)
        for i in range(c):
            sums[at + 3 * c + i] += memory[op.lower + i]
            sums[at + 4 * c + i] += memory[op.above + i]


@compiled
def hand_back(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill dx = scale dy + tilt x + level; before the first image make these, dgamma and dbeta."""
    memory, c, pitch = state.memory, op.c, op.w * op.c
    zero = fill(load(memory, 0), f(0))
    one, two, three = fill(zero, f(1)), fill(zero, f(2)), fill(zero, f(3))
    factor = fill(zero, f(scale_of(threshold_of(op.factor))))
    if first == 0:
        batch_norm2d.make_tilt(op, state)
    for image in range(first, last):
        x, dx = op.x + image * op.x_size, op.dx + image * op.x_size
        for k in range(0, c, LANES):
            tilt, level = load(memory, op.above + k), load(memory, op.shift + k)
            rate = multiply(load(memory, op.scale + k), factor)
            for a in range(op.p):
                for b in range(op.q):
                    window = image * op.y_size + (a * op.q + b) * c + k
                    at = 2 * a * pitch + 2 * b * c + k
                    under = at + pitch
                    code, d = load(memory, op.codes + window), multiply(rate, load(memory, op.dy + window))
                    d0, d1 = where_equal(code, zero, d, zero), where_equal(code, one, d, zero)
                    d2, d3 = where_equal(code, two, d, zero), where_equal(code, three, d, zero)
                    store(memory, dx + at, add(d0, fma(load(memory, x + at), tilt, level)))
                    store(memory, dx + at + c, add(d1, fma(load(memory, x + at + c), tilt, level)))
                    store(memory, dx + under, add(d2, fma(load(memory, x + under), tilt, level)))
                    store(memory, dx + under + c, add(d3, fma(load(memory, x + under + c), tilt, level)))
            for row in range(op.h):
                for column in range(2 * op.q if row < 2 * op.p else 0, op.w):
                    at = row * pitch + column * c + k
                    store(memory, dx + at, fma(load(memory, x + at), tilt, level))


def _columns(block: tuple[Layer, ...], room: Room) -> Columns:
    (p, q, k), c = room.after, room.before[2]
    rates = [layer.rate for layer in block if isinstance(layer, Dropout)]
    found: Columns = {"factor": sum(rates), "codes": room.numbers_per_image(p * q * k)}
    if isinstance(block[0], BatchNorm2d):
        return {**found, **batch_norm2d.columns(block[0], room)}
    return {**found, "scale": room.numbers(c), "shift": room.numbers(c)}


POOLED_BLOCK = Operation((Pass(forward, backward),), _columns, prepare, overwrites=True)
NORMALISED_POOLED_BLOCK = Operation(
    (Pass(batch_norm2d.sum_batch, hand_back), Pass(forward_normalised, sum_gradient)),
    _columns,
    batch_norm2d.prepare,
    overwrites=True,
)
