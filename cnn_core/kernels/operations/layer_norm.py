"""Layer normalisation: each image by itself, with a gamma and a beta for each number, channels last.

    y = gamma z + beta, z = (x - mean) inverse
    dx = inverse (dy gamma - mean of dy gamma - z (mean of dy gamma z))

Flat passes by whole vectors; what is left behind the last of them goes one by one.
"""

import numpy as np

from cnn_core.kernels.operations.operation import Columns, Operation, Pass, Room, compiled
from cnn_core.kernels.simd import LANES, add, fill, fma, load, multiply, store, subtract, total
from cnn_core.layers import LayerNorm
from cnn_core.layers.layer_norm import EPSILON

f = np.float32


@compiled
def forward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill y; keep mean and inverse of each image."""
    memory, D = state.memory, op.inputs
    whole = D - D % LANES
    zero = fill(load(memory, 0), f(0))
    for image in range(first, last):
        x, y = op.x + image * op.x_size, op.y + image * op.y_size
        sums = zero
        for i in range(0, whole, LANES):
            sums = add(sums, load(memory, x + i))
        mean = total(sums)
        for i in range(whole, D):
            mean += memory[x + i]
        mean /= f(D)
        centre, sums = fill(zero, mean), zero
        for i in range(0, whole, LANES):
            value = subtract(load(memory, x + i), centre)
            sums = fma(value, value, sums)
        var = total(sums)
        for i in range(whole, D):
            var += (memory[x + i] - mean) * (memory[x + i] - mean)
        inverse = f(1) / np.sqrt(var / f(D) + f(EPSILON))
        memory[op.mean + 16 * image], memory[op.mean + 16 * image + 1] = mean, inverse
        factor = fill(zero, inverse)
        for i in range(0, D, LANES):
            z = multiply(subtract(load(memory, x + i), centre), factor)
            store(memory, y + i, fma(load(memory, op.weight + i), z, load(memory, op.bias + i)))


@compiled
def backward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Add to dgamma and dbeta; fill dx."""
    memory, D = state.memory, op.inputs
    whole = D - D % LANES
    zero = fill(load(memory, 0), f(0))
    for image in range(first, last):
        x, dy, dx = op.x + image * op.x_size, op.dy + image * op.y_size, op.dx + image * op.x_size
        mean, inverse = memory[op.mean + 16 * image], memory[op.mean + 16 * image + 1]
        centre, factor = fill(zero, mean), fill(zero, inverse)
        sums, slopes = zero, zero
        for i in range(0, whole, LANES):
            z, d = multiply(subtract(load(memory, x + i), centre), factor), load(memory, dy + i)
            store(memory, op.dweight + i, fma(d, z, load(memory, op.dweight + i)))
            store(memory, op.dbias + i, add(d, load(memory, op.dbias + i)))
            dz = multiply(d, load(memory, op.weight + i))
            sums, slopes = add(sums, dz), fma(dz, z, slopes)
        level, tilt = total(sums), total(slopes)
        for i in range(whole, D):
            z, d = (memory[x + i] - mean) * inverse, memory[dy + i]
            memory[op.dweight + i] += d * z
            memory[op.dbias + i] += d
            level += d * memory[op.weight + i]
            tilt += d * memory[op.weight + i] * z
        floor, slant = fill(zero, level / f(D)), fill(zero, tilt / f(D))
        for i in range(0, D, LANES):
            z = multiply(subtract(load(memory, x + i), centre), factor)
            dz = multiply(load(memory, dy + i), load(memory, op.weight + i))
            store(memory, dx + i, multiply(factor, subtract(subtract(dz, floor), multiply(z, slant))))


def columns(_layer: LayerNorm, room: Room) -> Columns:
    return {"mean": room.numbers_per_image(2)}


LAYER_NORM = Operation((Pass(forward, backward),), columns)
