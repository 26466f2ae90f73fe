"""Batch normalisation over the images and positions of each channel: `cnn_core.layers.batch_norm2d`.

Here only the statistics are made, and folded to y = scale x + shift, which the next pass over x applies
(activate_pool.py).
"""

import numpy as np

from cnn_core.kernels.cache import kernel
from cnn_core.kernels.simd import (
    LANES,
    add,
    evens,
    fill,
    fma,
    interleave,
    load,
    load_codes,
    multiply,
    part,
    store,
    subtract,
    where_equal,
    widen,
)
from cnn_core.layers.batch_norm2d import EPSILON, MOMENTUM


@kernel
def forward_batch_norm(op, state, training, n):  # type: ignore[no-untyped-def]
    """Fill scale and shift, and mean and inverse = 1 / sqrt(var + EPSILON), which the backward pass needs.

    If `paired`, a vector holds two positions, in even and odd lanes, and mean, inverse, scale and shift have
    a number for each; in rows from `whole` on, the second position is none. If not, rows = whole = P.

    Shapes: x (N, x_size), beginning with (rows, Q, width); gamma, beta (C,); running (2 C,), means then
        variances; mean, inverse, scale, shift (width,); sums (2 LANES,), float64 scratch.
    """
    memory, sums = state.memory, state.sums
    x, gamma, beta = part(memory, op.x), part(memory, op.weight), part(memory, op.bias)
    mean, inverse, running = part(memory, op.mean), part(memory, op.inverse), part(memory, op.stats)
    scale, shift = part(memory, op.scale), part(memory, op.shift)
    x_size, width, channels, paired = op.x_size, op.width, op.c, op.paired
    rows, whole, p, q = op.rows, op.whole, op.p, op.q
    count, copies = n * p * q, 2 if paired else 1
    for first in range(0, channels, LANES):
        lanes = min(LANES, channels - first)
        if training:
            # Sums over images in float64: 17,280 float32 terms would lose four of seven digits.
            _sum(x, x_size, width, paired, rows, whole, q, first, sums, n)
            for lane in range(lanes):
                _set(mean, first + lane, copies, sums[lane] / count)
            _sum_squares(x, x_size, width, paired, rows, whole, q, first, mean, sums, n)
        for lane in range(lanes):
            c = first + lane
            at = c * copies
            if training:
                _set(inverse, c, copies, 1.0 / np.sqrt(sums[lane] / count + EPSILON))
                unbiased = sums[lane] / max(count - 1, 1)
                running[c] = MOMENTUM * running[c] + (1.0 - MOMENTUM) * mean[at]
                running[channels + c] = MOMENTUM * running[channels + c] + (1.0 - MOMENTUM) * unbiased
            else:
                _set(mean, c, copies, running[c])
                _set(inverse, c, copies, 1.0 / np.sqrt(running[channels + c] + EPSILON))
            _set(scale, c, copies, gamma[c] * inverse[at])
            _set(shift, c, copies, beta[c] - mean[at] * scale[at])


@kernel
def backward_batch_norm(op, state, n):  # type: ignore[no-untyped-def]
    """dx = scale (dy - mean(dy) - z mean(dy z)), z = (x - mean) inverse; means over N P Q.

    scale = gamma inverse. dgamma = sum of dy z; dbeta = sum of dy. dy is 0 but for one position a window,
    where `routed` goes. The report divided by N alone (docs/course-report.md).

    Shapes: as in the forward pass; routed, codes (N, windows_p, windows_q, width); dx as x, 0 where there is
        no position; tilt, level (width,) are scratch.
    """
    memory, sums, codes = state.memory, state.sums, part(state.codes, op.codes)
    x, dx, routed = part(memory, op.x), part(memory, op.dx), part(memory, op.routed)
    mean, inverse, scale = part(memory, op.mean), part(memory, op.inverse), part(memory, op.scale)
    tilt, level = part(memory, op.tilt), part(memory, op.level)
    dgamma, dbeta = part(memory, op.dweight), part(memory, op.dbias)
    windows_p, windows_q = op.window_rows, op.windows // op.window_rows
    x_size, width, channels, paired = op.x_size, op.width, op.c, op.paired
    rows, whole, p, q = op.rows, op.whole, op.p, op.q
    count, copies = n * p * q, 2 if paired else 1
    pitch = q * width
    like = load(x, 0)
    zero, one, two = fill(like, x.dtype.type(0)), fill(like, x.dtype.type(1)), fill(like, x.dtype.type(2))
    three = fill(like, x.dtype.type(3))
    for first in range(0, channels, LANES):
        lanes = min(LANES, channels - first)
        centre = load(mean, first)
        for lane in range(2 * LANES):
            sums[lane] = 0
        for image in range(n):
            total, slope = zero, zero
            for a in range(windows_p):
                for b in range(windows_q):
                    at = image * x_size + 2 * a * pitch + 2 * b * width + first
                    window = ((image * windows_p + a) * windows_q + b) * width + first
                    code, d = load_codes(codes, window, like), load(routed, window)
                    v = where_equal(code, one, load(x, at + width), load(x, at))
                    v = where_equal(code, two, load(x, at + pitch), v)
                    v = where_equal(code, three, load(x, at + pitch + width), v)
                    total, slope = add(total, d), fma(d, subtract(v, centre), slope)
            _add_lanes(total, sums, 0)
            _add_lanes(slope, sums, LANES)
        if paired:
            _add_pairs(sums, 0)
            _add_pairs(sums, LANES)
        # dx = scale dy + tilt x + level: what is the same for a whole channel, in three numbers.
        for lane in range(lanes):
            c = first + lane
            at = c * copies
            dbeta[c] = sums[lane]
            dgamma[c] = sums[LANES + lane] * inverse[at]
            _set(tilt, c, copies, -scale[at] * dgamma[c] * inverse[at] / count)
            _set(level, c, copies, -scale[at] * dbeta[c] / count - tilt[at] * mean[at])
    for first in range(0, channels, LANES):
        rate, slant, floor = load(scale, first), load(tilt, first), load(level, first)
        for image in range(n):
            for a in range(windows_p):
                above = one if 2 * a < whole else interleave(evens(one), evens(zero))
                under = one if 2 * a + 1 < whole else interleave(evens(one), evens(zero))
                for b in range(windows_q):
                    at = image * x_size + 2 * a * pitch + 2 * b * width + first
                    below = at + pitch
                    window = ((image * windows_p + a) * windows_q + b) * width + first
                    code, d = load_codes(codes, window, like), multiply(rate, load(routed, window))
                    d0, d1 = where_equal(code, zero, d, zero), where_equal(code, one, d, zero)
                    d2, d3 = where_equal(code, two, d, zero), where_equal(code, three, d, zero)
                    store(dx, at, add(d0, multiply(above, fma(load(x, at), slant, floor))))
                    store(dx, at + width, add(d1, multiply(above, fma(load(x, at + width), slant, floor))))
                    store(dx, below, add(d2, multiply(under, fma(load(x, below), slant, floor))))
                    store(
                        dx, below + width, add(d3, multiply(under, fma(load(x, below + width), slant, floor)))
                    )
            for a in range(rows):
                # What fills no window: the last column of an odd number, and all of the last row.
                valid = one if a < whole else interleave(evens(one), evens(zero))
                for b in range(2 * windows_q if a < 2 * windows_p else 0, q):
                    at = image * x_size + a * pitch + b * width + first
                    store(dx, at, multiply(valid, fma(load(x, at), slant, floor)))


@kernel
def _sum(x, x_size, width, paired, rows, whole, q, first, sums, n):  # type: ignore[no-untyped-def]
    """sums = sum of x over images and positions, for the channels of the vector from `first`."""
    zero, one = fill(load(x, 0), x.dtype.type(0)), fill(load(x, 0), x.dtype.type(1))
    for lane in range(LANES):
        sums[lane] = 0
    for image in range(n):
        # Four sums, so that an addition need not wait the 4 cycles of the one before.
        s0, s1, s2, s3 = zero, zero, zero, zero
        for a in range(rows):
            valid = one if a < whole else interleave(evens(one), evens(zero))
            at = image * x_size + a * q * width + first
            for b in range(0, q - 3, 4):
                s0 = fma(valid, load(x, at + b * width), s0)
                s1 = fma(valid, load(x, at + (b + 1) * width), s1)
                s2 = fma(valid, load(x, at + (b + 2) * width), s2)
                s3 = fma(valid, load(x, at + (b + 3) * width), s3)
            for b in range(q - q % 4, q):
                s0 = fma(valid, load(x, at + b * width), s0)
        _add_lanes(add(add(s0, s1), add(s2, s3)), sums, 0)
    if paired:
        _add_pairs(sums, 0)


@kernel
def _sum_squares(x, x_size, width, paired, rows, whole, q, first, mean, sums, n):  # type: ignore[no-untyped-def]
    """sums = sum of (x - mean)^2 over images and positions, for the channels of the vector from `first`."""
    zero, one = fill(load(x, 0), x.dtype.type(0)), fill(load(x, 0), x.dtype.type(1))
    centre = load(mean, first)
    for lane in range(LANES):
        sums[lane] = 0
    for image in range(n):
        s0, s1, s2, s3 = zero, zero, zero, zero
        for a in range(rows):
            valid = one if a < whole else interleave(evens(one), evens(zero))
            at = image * x_size + a * q * width + first
            for b in range(0, q - 3, 4):
                v0 = multiply(valid, subtract(load(x, at + b * width), centre))
                v1 = multiply(valid, subtract(load(x, at + (b + 1) * width), centre))
                v2 = multiply(valid, subtract(load(x, at + (b + 2) * width), centre))
                v3 = multiply(valid, subtract(load(x, at + (b + 3) * width), centre))
                s0, s1, s2, s3 = fma(v0, v0, s0), fma(v1, v1, s1), fma(v2, v2, s2), fma(v3, v3, s3)
            for b in range(q - q % 4, q):
                v0 = multiply(valid, subtract(load(x, at + b * width), centre))
                s0 = fma(v0, v0, s0)
        _add_lanes(add(add(s0, s1), add(s2, s3)), sums, 0)
    if paired:
        _add_pairs(sums, 0)


@kernel
def _add_lanes(vector, sums, at):  # type: ignore[no-untyped-def]
    """sums[at + lane] += each lane, in float64."""
    store(sums, at, add(load(sums, at), widen(vector, sums.dtype.type(0))))


@kernel
def _add_pairs(sums, at):  # type: ignore[no-untyped-def]
    """The sum of the two lanes of each channel, channel after channel."""
    for c in range(LANES // 2):
        sums[at + c] = sums[at + 2 * c] + sums[at + 2 * c + 1]


@kernel
def _set(channels, c, copies, value):  # type: ignore[no-untyped-def]
    """The number of a channel, in each of its lanes."""
    for lane in range(c * copies, (c + 1) * copies):
        channels[lane] = value
