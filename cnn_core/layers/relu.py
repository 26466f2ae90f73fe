"""Rectified linear unit."""

from numba import njit


@njit(cache=True, nogil=True)
def forward_relu(x, y):  # type: ignore[no-untyped-def]
    """y = max(x, 0); NaN stays NaN, so that a diverged training is seen. Shapes: x, y flat, equal."""
    for i in range(x.size):
        value = x[i]
        y[i] = 0 if value < 0 else value


@njit(cache=True, nogil=True)
def backward_relu(dy, y, dx):  # type: ignore[no-untyped-def]
    """dx = dy where y > 0, else 0. Shapes: dy, y, dx flat, equal."""
    for i in range(dy.size):
        dx[i] = dy[i] if y[i] > 0 else 0
