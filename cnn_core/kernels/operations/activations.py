"""Activations: each number by itself, in flat passes over whole vectors.

Where the slope costs as much as the value, training leaves it in dx, and the backward pass multiplies.
"""

import numpy as np

from cnn_core.kernels.functions import bell, hyperbolic_tangent, normal_below
from cnn_core.kernels.operations.operation import Operation, Pass, compiled
from cnn_core.kernels.simd import (
    LANES,
    add,
    fill,
    fma,
    load,
    multiply,
    store,
    subtract,
    where_less,
)

f = np.float32
DENSITY = f(0.3989422804014327)  # 1 / sqrt(2 pi)


@compiled
def forward_relu(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """y = max(x, 0); a NaN stays one."""
    memory = state.memory
    zero = fill(load(memory, 0), f(0))
    for i in range(first * op.x_size, last * op.x_size, LANES):
        x = load(memory, op.x + i)
        store(memory, op.y + i, where_less(x, zero, zero, x))


@compiled
def backward_relu(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """dx = dy where x > 0, 0 elsewhere."""
    memory = state.memory
    zero = fill(load(memory, 0), f(0))
    for i in range(first * op.x_size, last * op.x_size, LANES):
        x, dy = load(memory, op.x + i), load(memory, op.dy + i)
        store(memory, op.dx + i, where_less(zero, x, dy, zero))


@compiled
def forward_leaky_relu(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """y = x where x > 0, slope x elsewhere."""
    memory = state.memory
    zero = fill(load(memory, 0), f(0))
    slope = fill(zero, f(op.factor))
    for i in range(first * op.x_size, last * op.x_size, LANES):
        x = load(memory, op.x + i)
        store(memory, op.y + i, where_less(zero, x, x, multiply(slope, x)))


@compiled
def backward_leaky_relu(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """dx = dy where x > 0, slope dy elsewhere."""
    memory = state.memory
    zero = fill(load(memory, 0), f(0))
    slope = fill(zero, f(op.factor))
    for i in range(first * op.x_size, last * op.x_size, LANES):
        x, dy = load(memory, op.x + i), load(memory, op.dy + i)
        store(memory, op.dx + i, where_less(zero, x, dy, multiply(slope, dy)))


@compiled
def forward_tanh(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """y = tanh(x)"""
    memory = state.memory
    for i in range(first * op.x_size, last * op.x_size, LANES):
        store(memory, op.y + i, hyperbolic_tangent(load(memory, op.x + i)))


@compiled
def backward_tanh(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """dx = dy (1 - y^2)"""
    memory = state.memory
    for i in range(first * op.x_size, last * op.x_size, LANES):
        y, dy = load(memory, op.y + i), load(memory, op.dy + i)
        y = multiply(y, y)
        store(memory, op.dx + i, subtract(dy, multiply(dy, y)))


@compiled
def forward_gelu(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """y = x F(x); dx = F(x) + x f(x) for now, with F and f of the standard normal."""
    memory = state.memory
    for i in range(first * op.x_size, last * op.x_size, LANES):
        x = load(memory, op.x + i)
        density = bell(x)
        below = normal_below(x, density)
        store(memory, op.y + i, multiply(x, below))
        if training:
            store(memory, op.dx + i, fma(multiply(x, fill(x, DENSITY)), density, below))


@compiled
def forward_silu(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """y = x s(x), s(x) = (1 + tanh(x / 2)) / 2; dx = s (1 + x (1 - s)) for now."""
    memory = state.memory
    one, half = fill(load(memory, 0), f(1)), fill(load(memory, 0), f(0.5))
    for i in range(first * op.x_size, last * op.x_size, LANES):
        x = load(memory, op.x + i)
        s = fma(hyperbolic_tangent(multiply(x, half)), half, half)
        y = multiply(x, s)
        store(memory, op.y + i, y)
        if training:
            store(memory, op.dx + i, multiply(s, add(one, subtract(x, y))))


@compiled
def backward_by_slope(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """dx = dy times what is in dx."""
    memory = state.memory
    for i in range(first * op.x_size, last * op.x_size, LANES):
        store(memory, op.dx + i, multiply(load(memory, op.dx + i), load(memory, op.dy + i)))


RELU = Operation((Pass(forward_relu, backward_relu),))
LEAKY_RELU = Operation(
    (Pass(forward_leaky_relu, backward_leaky_relu),), lambda layer, _: {"factor": layer.slope}
)
TANH = Operation((Pass(forward_tanh, backward_tanh),))
GELU = Operation((Pass(forward_gelu, backward_by_slope),))
SILU = Operation((Pass(forward_silu, backward_by_slope),))
