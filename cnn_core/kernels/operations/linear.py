"""Linear layer: y = x weight^T + bias, for one image after another."""

import numpy as np

from cnn_core.kernels.operations.operation import Operation, Pass, compiled
from cnn_core.kernels.simd import LANES, add, fill, fma, load, splat, store, total

f = np.float32


@compiled
def forward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill y: four outputs at a time, so that x is loaded once for four products."""
    memory = state.memory
    D, K = op.inputs, op.outputs
    whole, fours = D - D % LANES, K - K % 4
    zero = fill(load(memory, 0), f(0))
    for image in range(first, last):
        x, y = op.x + image * op.x_size, op.y + image * op.y_size
        for k in range(0, fours, 4):
            at = op.weight + k * D
            s0, s1, s2, s3 = zero, zero, zero, zero
            for d in range(0, whole, LANES):
                value = load(memory, x + d)
                s0 = fma(value, load(memory, at + d), s0)
                s1 = fma(value, load(memory, at + D + d), s1)
                s2 = fma(value, load(memory, at + 2 * D + d), s2)
                s3 = fma(value, load(memory, at + 3 * D + d), s3)
            memory[y + k], memory[y + k + 1] = total(s0), total(s1)
            memory[y + k + 2], memory[y + k + 3] = total(s2), total(s3)
        for k in range(fours, K):
            sums = zero
            for d in range(0, whole, LANES):
                sums = fma(load(memory, x + d), load(memory, op.weight + k * D + d), sums)
            memory[y + k] = total(sums)
        for k in range(K):
            rest = memory[op.bias + k]
            for d in range(whole, D):
                rest += memory[x + d] * memory[op.weight + k * D + d]
            memory[y + k] += rest


@compiled
def backward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """dweight += dy^T x; dbias += sum of dy; dx = dy weight, if a layer before wants it."""
    memory = state.memory
    D, K = op.inputs, op.outputs
    whole = D - D % LANES
    zero = fill(load(memory, 0), f(0))
    for k in range(K):
        row = op.dweight + k * D
        for image in range(first, last):
            memory[op.dbias + k] += memory[op.dy + image * op.y_size + k]
        for d in range(0, whole, LANES):
            sums = load(memory, row + d)
            for image in range(first, last):
                dy = splat(memory, op.dy + image * op.y_size + k)
                sums = fma(dy, load(memory, op.x + image * op.x_size + d), sums)
            store(memory, row + d, sums)
        for d in range(whole, D):
            for image in range(first, last):
                dy = memory[op.dy + image * op.y_size + k]
                memory[row + d] += dy * memory[op.x + image * op.x_size + d]
    if not op.wants_dx:
        return
    for image in range(first, last):
        dy = op.dy + image * op.y_size
        for d in range(0, whole, LANES):
            s0, s1 = zero, zero
            for k in range(0, K - 1, 2):
                at = op.weight + k * D + d
                s0 = fma(splat(memory, dy + k), load(memory, at), s0)
                s1 = fma(splat(memory, dy + k + 1), load(memory, at + D), s1)
            if K % 2:
                s0 = fma(splat(memory, dy + K - 1), load(memory, op.weight + (K - 1) * D + d), s0)
            store(memory, op.dx + image * op.x_size + d, add(s0, s1))
        for d in range(whole, D):
            rest = f(0)
            for k in range(K):
                rest += memory[dy + k] * memory[op.weight + k * D + d]
            memory[op.dx + image * op.x_size + d] = rest


LINEAR = Operation((Pass(forward, backward),))
