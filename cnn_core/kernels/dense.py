"""A linear layer by itself, compiled; the formulas stand in `cnn_core.layers.linear`.

A BLAS would be as quick, but its sums depend on how many threads it may use, and results must not.
"""

import functools

from cnn_core.kernels.cache import entry

fast = functools.partial(entry, fastmath={"reassoc", "contract"}, error_model="numpy")


@fast
def forward(x, weight, bias, y):  # type: ignore[no-untyped-def]
    """Fill y. Shapes: x (N, D), weight (K, D), bias (K,), y (N, K)."""
    for n in range(len(x)):
        for k in range(len(weight)):
            total = x.dtype.type(0)
            for d in range(x.shape[1]):
                total += x[n, d] * weight[k, d]
            y[n, k] = bias[k] + total


@fast
def backward(dy, x, weight, dx, dweight):  # type: ignore[no-untyped-def]
    """Add to dx and dweight, which begin at 0. Shapes: as in the forward pass."""
    for n in range(len(x)):
        for k in range(len(weight)):
            for d in range(x.shape[1]):
                dx[n, d] += dy[n, k] * weight[k, d]
    for k in range(len(weight)):
        for n in range(len(x)):
            for d in range(x.shape[1]):
                dweight[k, d] += dy[n, k] * x[n, d]
