"""GELU, compiled: NumPy has no erf. The formula stands in `cnn_core.layers.gelu`.

Constants are of the array's type: in float32, erf and exp take half the time of float64's.
"""

import math

from cnn_core.kernels.cache import entry


@entry
def forward(x, y):  # type: ignore[no-untyped-def]
    """Fill y. Shapes: x, y (any,)."""
    one, half, root = x.dtype.type(1), x.dtype.type(0.5), x.dtype.type(math.sqrt(0.5))
    for i in range(x.size):
        y[i] = x[i] * (one + math.erf(x[i] * root)) * half


@entry
def backward(dy, x, dx):  # type: ignore[no-untyped-def]
    """Fill dx. Shapes: as in the forward pass."""
    one, half, root = x.dtype.type(1), x.dtype.type(0.5), x.dtype.type(math.sqrt(0.5))
    top = x.dtype.type(1 / math.sqrt(2 * math.pi))
    for i in range(x.size):
        below = (one + math.erf(x[i] * root)) * half
        dx[i] = dy[i] * (below + x[i] * math.exp(-x[i] * x[i] * half) * top)
