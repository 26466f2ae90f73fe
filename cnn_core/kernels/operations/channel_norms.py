"""Normalisations with a gamma and a beta for each channel: group and instance by image, batch over all.

    y = scale x + shift,  scale = gamma[c] inverse,  shift = beta[c] - mean scale
    inverse = 1 / sqrt(var + EPSILON)
    dx = scale dy + tilt x + level,  tilt = -inverse^2 B,  level = -inverse A - tilt mean
    A = mean of gamma dy, B = inverse (mean of gamma dy (x - mean)), over what is normalised together

Each is two passes over x by whole vectors: one that sums, channel by channel, one that applies. Variances are
sums of squared distances from the mean: E[x^2] - mean^2 would lose its digits.
"""

import numpy as np

from cnn_core.kernels.operations.operation import Columns, Operation, Pass, Room, align, compiled
from cnn_core.kernels.simd import LANES, add, fill, fma, load, store, subtract
from cnn_core.layers import GroupNorm, InstanceNorm2d
from cnn_core.layers.group_norm import EPSILON

f = np.float32


@compiled
def sum_channels(memory, x, positions, c, to):  # type: ignore[no-untyped-def]
    """memory[to + channel] = sum of x over positions; beyond the channels, up to whole vectors, is noise."""
    zero = fill(load(memory, 0), f(0))
    for k in range(0, c, LANES):
        # Four sums, so that an addition need not wait for the one before.
        s0, s1, s2, s3 = zero, zero, zero, zero
        at = x + k
        for _ in range(positions // 4):
            s0 = add(s0, load(memory, at))
            s1 = add(s1, load(memory, at + c))
            s2 = add(s2, load(memory, at + 2 * c))
            s3 = add(s3, load(memory, at + 3 * c))
            at += 4 * c
        for _ in range(positions % 4):
            s0 = add(s0, load(memory, at))
            at += c
        store(memory, to + k, add(add(s0, s1), add(s2, s3)))


@compiled
def sum_squares(memory, x, positions, c, mean, to):  # type: ignore[no-untyped-def]
    """memory[to + channel] = sum of (x - mean[channel])^2 over positions."""
    zero = fill(load(memory, 0), f(0))
    for k in range(0, c, LANES):
        s0, s1, s2, s3 = zero, zero, zero, zero
        centre, at = load(memory, mean + k), x + k
        for _ in range(positions // 4):
            v0, v1 = subtract(load(memory, at), centre), subtract(load(memory, at + c), centre)
            v2 = subtract(load(memory, at + 2 * c), centre)
            v3 = subtract(load(memory, at + 3 * c), centre)
            s0, s1, s2, s3 = fma(v0, v0, s0), fma(v1, v1, s1), fma(v2, v2, s2), fma(v3, v3, s3)
            at += 4 * c
        for _ in range(positions % 4):
            v0 = subtract(load(memory, at), centre)
            s0 = fma(v0, v0, s0)
            at += c
        store(memory, to + k, add(add(s0, s1), add(s2, s3)))


@compiled
def sum_slopes(memory, dy, x, positions, c, mean, to, slopes):  # type: ignore[no-untyped-def]
    """memory[to + channel] = sum of dy, memory[slopes + channel] = sum of dy (x - mean[channel])."""
    zero = fill(load(memory, 0), f(0))
    for k in range(0, c, LANES):
        s0, s1, t0, t1 = zero, zero, zero, zero
        centre, at, dat = load(memory, mean + k), x + k, dy + k
        for _ in range(positions // 2):
            d0, d1 = load(memory, dat), load(memory, dat + c)
            s0, s1 = add(s0, d0), add(s1, d1)
            t0 = fma(d0, subtract(load(memory, at), centre), t0)
            t1 = fma(d1, subtract(load(memory, at + c), centre), t1)
            at += 2 * c
            dat += 2 * c
        if positions % 2:
            d0 = load(memory, dat)
            s0, t0 = add(s0, d0), fma(d0, subtract(load(memory, at), centre), t0)
        store(memory, to + k, add(s0, s1))
        store(memory, slopes + k, add(t0, t1))


@compiled
def apply_channels(memory, x, positions, c, scale, shift, y):  # type: ignore[no-untyped-def]
    """y = scale[channel] x + shift[channel], position by position."""
    if c <= LANES:
        a, b = load(memory, scale), load(memory, shift)
        for i in range(0, positions * c, c):
            store(memory, y + i, fma(a, load(memory, x + i), b))
        return
    for i in range(0, positions * c, c):
        for k in range(0, c, LANES):
            value = fma(load(memory, scale + k), load(memory, x + i + k), load(memory, shift + k))
            store(memory, y + i + k, value)


@compiled
def blend_channels(memory, dy, x, positions, c, scale, tilt, level, dx):  # type: ignore[no-untyped-def]
    """dx = scale dy + tilt x + level, position by position."""
    if c <= LANES:
        a, b, d = load(memory, scale), load(memory, tilt), load(memory, level)
        for i in range(0, positions * c, c):
            value = fma(a, load(memory, dy + i), fma(b, load(memory, x + i), d))
            store(memory, dx + i, value)
        return
    for i in range(0, positions * c, c):
        for k in range(0, c, LANES):
            value = fma(load(memory, tilt + k), load(memory, x + i + k), load(memory, level + k))
            value = fma(load(memory, scale + k), load(memory, dy + i + k), value)
            store(memory, dx + i + k, value)


@compiled
def forward_group_norm(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill y; keep mean and inverse, for each channel of each image, for the backward pass."""
    memory, positions, c = state.memory, op.h * op.w, op.c
    size, width = c // op.groups, -(-c // LANES) * LANES
    count = f(size * positions)
    for image in range(first, last):
        x = op.x + image * op.x_size
        mean, inverse = op.mean + image * width, op.inverse + image * width
        sum_channels(memory, x, positions, c, mean)
        for group in range(0, c, size):
            total = f(0)
            for i in range(group, group + size):
                total += memory[mean + i]
            for i in range(group, group + size):
                memory[mean + i] = total / count
        sum_squares(memory, x, positions, c, mean, inverse)
        for group in range(0, c, size):
            total = f(0)
            for i in range(group, group + size):
                total += memory[inverse + i]
            root = f(1) / np.sqrt(total / count + f(EPSILON))
            for i in range(group, group + size):
                memory[inverse + i] = root
                memory[op.scale + i] = memory[op.weight + i] * root
                memory[op.shift + i] = memory[op.bias + i] - memory[mean + i] * memory[op.scale + i]
        apply_channels(memory, x, positions, c, op.scale, op.shift, op.y + image * op.y_size)


@compiled
def backward_group_norm(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Add to dgamma and dbeta; fill dx."""
    memory, positions, c = state.memory, op.h * op.w, op.c
    size, width = c // op.groups, -(-c // LANES) * LANES
    count = f(size * positions)
    for image in range(first, last):
        x, dy = op.x + image * op.x_size, op.dy + image * op.y_size
        mean, inverse = op.mean + image * width, op.inverse + image * width
        sum_slopes(memory, dy, x, positions, c, mean, op.shift, op.above)
        for group in range(0, c, size):
            a, b, root = f(0), f(0), memory[inverse + group]
            for i in range(group, group + size):
                memory[op.dbias + i] += memory[op.shift + i]
                memory[op.dweight + i] += memory[op.above + i] * root
                a += memory[op.weight + i] * memory[op.shift + i]
                b += memory[op.weight + i] * memory[op.above + i]
            tilt = -root * root * root * b / count
            level = -root * a / count - tilt * memory[mean + group]
            for i in range(group, group + size):
                memory[op.scale + i] = memory[op.weight + i] * root
                memory[op.shift + i], memory[op.above + i] = level, tilt
        dx = op.dx + image * op.x_size
        blend_channels(memory, dy, x, positions, c, op.scale, op.above, op.shift, dx)


def columns(layer: GroupNorm | InstanceNorm2d, room: Room) -> Columns:
    c = room.before[2]
    width = align(c, LANES)
    return {
        "groups": layer.groups if isinstance(layer, GroupNorm) else c,
        **{name: room.numbers(width) for name in ("scale", "shift", "above")},
        **{name: room.numbers_per_image(width) for name in ("mean", "inverse")},
    }


GROUP_NORM = Operation((Pass(forward_group_norm, backward_group_norm),), columns)
