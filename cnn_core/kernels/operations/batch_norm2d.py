"""Batch normalisation: y = scale x + shift, with the mean and the variance of a channel over the whole batch.

Two passes: one sums, image by image, the other applies. Sums over images are in float64, and those of an
image are taken about its own mean:

    var = (sum of the images' squares about their means + m (sum of means^2 - N mean^2)) / (N m),  m = H W

Running averages follow the batch; evaluation uses those instead.
"""

import numpy as np

from cnn_core.kernels.operations.channel_norms import (
    apply_channels,
    blend_channels,
    sum_channels,
    sum_slopes,
    sum_squares,
)
from cnn_core.kernels.operations.operation import Columns, Operation, Pass, Room, align, compiled
from cnn_core.kernels.simd import LANES
from cnn_core.layers import BatchNorm2d
from cnn_core.layers.batch_norm2d import EPSILON, MOMENTUM

f = np.float32
SUMS = 5
"""Of x, of squares, of the images' means^2; of dy, of dy (x - mean). Behind them the number of images."""


@compiled
def prepare(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Begin all sums at 0."""
    for i in range(SUMS * op.c + 1):
        state.sums[op.sums + i] = 0


@compiled
def sum_batch(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Add these images to the sums."""
    if not training:
        return
    memory, sums, positions, c, at = state.memory, state.sums, op.h * op.w, op.c, op.sums
    for image in range(first, last):
        x = op.x + image * op.x_size
        sum_channels(memory, x, positions, c, op.scale)
        for i in range(c):
            mean = memory[op.scale + i] / f(positions)
            sums[at + i] += memory[op.scale + i]
            sums[at + 2 * c + i] += np.float64(mean) * np.float64(mean)
            memory[op.scale + i] = mean
        sum_squares(memory, x, positions, c, op.scale, op.shift)
        for i in range(c):
            sums[at + c + i] += memory[op.shift + i]
    sums[at + SUMS * c] += last - first


@compiled
def normalise(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill y; before the first image make scale and shift."""
    memory, positions, c = state.memory, op.h * op.w, op.c
    if first == 0:
        make_scale(op, state, training)
    for image in range(first, last):
        x, y = op.x + image * op.x_size, op.y + image * op.y_size
        apply_channels(memory, x, positions, c, op.scale, op.shift, y)


@compiled
def make_scale(op, state, training):  # type: ignore[no-untyped-def]
    """Scale and shift, from the sums in training; the running averages follow."""
    memory, sums, positions, c, at = state.memory, state.sums, op.h * op.w, op.c, op.sums
    images = sums[at + SUMS * c]
    count = images * positions
    for i in range(c):
        mean, var = np.float64(memory[op.stats + i]), np.float64(memory[op.stats + c + i])
        if training:
            mean = sums[at + i] / count
            among = positions * max(0.0, sums[at + 2 * c + i] - images * mean * mean)
            var = (sums[at + c + i] + among) / count
            unbiased = var * count / max(count - 1, 1.0)
            memory[op.stats + i] = MOMENTUM * memory[op.stats + i] + (1 - MOMENTUM) * mean
            memory[op.stats + c + i] = MOMENTUM * memory[op.stats + c + i] + (1 - MOMENTUM) * unbiased
        inverse = 1 / np.sqrt(var + EPSILON)
        memory[op.mean + i], memory[op.inverse + i] = mean, inverse
        memory[op.scale + i] = memory[op.weight + i] * inverse
        memory[op.shift + i] = memory[op.bias + i] - mean * memory[op.scale + i]


@compiled
def sum_gradient(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Add these images' dy and dy (x - mean) to the sums."""
    memory, sums, positions, c, at = state.memory, state.sums, op.h * op.w, op.c, op.sums
    for image in range(first, last):
        x, dy = op.x + image * op.x_size, op.dy + image * op.y_size
        sum_slopes(memory, dy, x, positions, c, op.mean, op.lower, op.above)
        for i in range(c):
            sums[at + 3 * c + i] += memory[op.lower + i]
            sums[at + 4 * c + i] += memory[op.above + i]


@compiled
def hand_back(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill dx = scale dy + tilt x + level; before the first image make these, dgamma and dbeta."""
    memory, positions, c = state.memory, op.h * op.w, op.c
    if first == 0:
        make_tilt(op, state)
    for image in range(first, last):
        x, dy, dx = op.x + image * op.x_size, op.dy + image * op.y_size, op.dx + image * op.x_size
        blend_channels(memory, dy, x, positions, c, op.scale, op.above, op.shift, dx)


@compiled
def make_tilt(op, state):  # type: ignore[no-untyped-def]
    """Tilt (in `above`) and level (in `shift`), dgamma and dbeta, from the sums."""
    memory, sums, c, at = state.memory, state.sums, op.c, op.sums
    count = sums[at + SUMS * c] * (op.h * op.w)
    for i in range(c):
        inverse, scale = np.float64(memory[op.inverse + i]), np.float64(memory[op.scale + i])
        dbeta, dgamma = sums[at + 3 * c + i], sums[at + 4 * c + i] * inverse
        memory[op.dbias + i], memory[op.dweight + i] = dbeta, dgamma
        tilt = -scale * dgamma * inverse / count
        memory[op.above + i] = tilt
        memory[op.shift + i] = -scale * dbeta / count - tilt * memory[op.mean + i]


def columns(_layer: BatchNorm2d, room: Room) -> Columns:
    width = align(room.before[2], LANES)
    names = ("mean", "inverse", "scale", "shift", "above", "lower")
    return {name: room.numbers(width) for name in names} | {"sums": room.sums(SUMS * room.before[2] + 1)}


BATCH_NORM2D = Operation((Pass(sum_batch, hand_back), Pass(normalise, sum_gradient)), columns, prepare)
