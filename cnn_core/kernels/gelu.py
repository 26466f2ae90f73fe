"""GELU, compiled: NumPy has no erf. The formula stands in `cnn_core.layers.gelu`."""

import math

from cnn_core.kernels.cache import entry


@entry
def forward(x, y):  # type: ignore[no-untyped-def]
    """Fill y. Shapes: x, y (any,)."""
    for i in range(x.size):
        y[i] = x[i] * (1 + math.erf(x[i] / math.sqrt(2))) / 2


@entry
def backward(dy, x, dx):  # type: ignore[no-untyped-def]
    """Fill dx. Shapes: as in the forward pass."""
    for i in range(x.size):
        below = (1 + math.erf(x[i] / math.sqrt(2))) / 2
        dx[i] = dy[i] * (below + x[i] * math.exp(-x[i] * x[i] / 2) / math.sqrt(2 * math.pi))
