"""Linear layer."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def forward_linear(x, weight, bias, y):  # type: ignore[no-untyped-def]
    """y = x weight^T + bias. Shapes: x (N, D); weight (K, D); bias (K,); y (N, K)."""
    np.dot(x, weight.T, y)
    for image in range(y.shape[0]):
        for k in range(y.shape[1]):
            y[image, k] += bias[k]


@njit(cache=True, nogil=True)
def backward_linear(dy, x, weight, dweight, dbias, dx, wants_dx):  # type: ignore[no-untyped-def]
    """dweight = dy^T x; dbias = sum over n of dy; dx = dy weight. Shapes: as in the forward pass."""
    np.dot(dy.T, x, dweight)
    for k in range(dy.shape[1]):
        dbias[k] = 0
    for image in range(dy.shape[0]):
        for k in range(dy.shape[1]):
            dbias[k] += dy[image, k]
    if wants_dx:
        np.dot(dy, weight, dx)
