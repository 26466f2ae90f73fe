"""Dropout of single activations and of whole channels.

What is dropped follows from the step's key, the image's place in memory, and the activation's: nothing is
kept for the backward pass, which draws the same again (kernels/dropout.py).
"""

import numpy as np

from cnn_core.kernels.dropout import mix, scale_of, threshold_of
from cnn_core.kernels.operations.operation import Columns, Operation, Pass, Room, align, compiled
from cnn_core.kernels.simd import LANES, draw, fill, keep, load, multiply, store
from cnn_core.layers import SpatialDropout

f = np.float32


@compiled
def _drop(op, memory, source, target, first, last, key):  # type: ignore[no-untyped-def]
    """target = source / (1 - rate) where kept, 0 elsewhere; four vectors at a time."""
    threshold = threshold_of(op.factor)
    factor = fill(load(memory, 0), f(scale_of(threshold)))
    words = np.uint64(LANES // 4)
    for image in range(first, last):
        own, at = mix(key, image), image * op.x_size
        for i in range(0, op.inputs, 4 * LANES):
            bits = draw(own, np.uint64(i // 4), words)
            x, y = source + at + i, target + at + i
            store(memory, y, multiply(keep(load(memory, x), bits, 0, threshold), factor))
            value = keep(load(memory, x + LANES), bits, 1, threshold)
            store(memory, y + LANES, multiply(value, factor))
            value = keep(load(memory, x + 2 * LANES), bits, 2, threshold)
            store(memory, y + 2 * LANES, multiply(value, factor))
            value = keep(load(memory, x + 3 * LANES), bits, 3, threshold)
            store(memory, y + 3 * LANES, multiply(value, factor))


@compiled
def copy(memory, source, target, count):  # type: ignore[no-untyped-def]
    """Evaluation: everything passes."""
    for i in range(0, count, LANES):
        store(memory, target + i, load(memory, source + i))


@compiled
def forward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill y."""
    if training and op.factor > 0:
        _drop(op, state.memory, op.x, op.y, first, last, mix(key, op.number))
    else:
        at = first * op.x_size
        copy(state.memory, op.x + at, op.y + at, (last - first) * op.x_size)


@compiled
def backward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill dx."""
    if op.factor > 0:
        _drop(op, state.memory, op.dy, op.dx, first, last, mix(key, op.number))
    else:
        at = first * op.x_size
        copy(state.memory, op.dy + at, op.dx + at, (last - first) * op.x_size)


@compiled
def _drop_channels(op, memory, source, target, first, last, key):  # type: ignore[no-untyped-def]
    """target = source times 0 or 1 / (1 - rate), the same for all of a channel."""
    threshold, c = threshold_of(op.factor), op.c
    factor = f(scale_of(threshold))
    for image in range(first, last):
        own, at = mix(key, image), image * op.x_size
        for k in range(c):
            kept = np.uint16(mix(own, k) & np.uint64(0xFFFF)) >= threshold
            memory[op.scale + k] = factor if kept else f(0)
        for i in range(at, at + op.h * op.w * c, c):
            for k in range(0, c, LANES):
                value = multiply(load(memory, source + i + k), load(memory, op.scale + k))
                store(memory, target + i + k, value)


@compiled
def forward_channels(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill y."""
    if training:
        _drop_channels(op, state.memory, op.x, op.y, first, last, mix(key, op.number))
    else:
        at = first * op.x_size
        copy(state.memory, op.x + at, op.y + at, (last - first) * op.x_size)


@compiled
def backward_channels(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill dx."""
    _drop_channels(op, state.memory, op.dy, op.dx, first, last, mix(key, op.number))


def columns(layer: SpatialDropout, room: Room) -> Columns:
    return {"factor": layer.rate, "scale": room.numbers(align(room.before[2]))}


DROPOUT = Operation((Pass(forward, backward),), lambda layer, _: {"factor": layer.rate})
SPATIAL_DROPOUT = Operation((Pass(forward_channels, backward_channels),), columns)
