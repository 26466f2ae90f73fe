"""Maximum over windows that do not overlap."""

from numba import njit


@njit(cache=True, nogil=True)
def forward_max_pool2d(x, size, y, position):  # type: ignore[no-untyped-def]
    """y[n,c,p,q] = max over the window of x; `position` keeps where it was.

    Windows do not overlap; rows and columns at the end that fill no window are left out, their gradient
    is 0. Of equal maxima the first in reading order counts. A NaN in a window's first place stays.

    Shapes: x (N, C, H, W); y and position (N, C, H // size, W // size), position int32: row * W + column.
    """
    n, channels, p, q = y.shape
    w = x.shape[3]
    for image in range(n):
        for c in range(channels):
            for a in range(p):
                for b in range(q):
                    best = x[image, c, a * size, b * size]
                    at = a * size * w + b * size
                    for i in range(size):
                        for j in range(size):
                            value = x[image, c, a * size + i, b * size + j]
                            if value > best:
                                best = value
                                at = (a * size + i) * w + b * size + j
                    y[image, c, a, b] = best
                    position[image, c, a, b] = at


@njit(cache=True, nogil=True)
def backward_max_pool2d(dy, position, dx):  # type: ignore[no-untyped-def]
    """dx is dy at the position of each maximum, 0 elsewhere (and in rows that fill no window).

    Shapes: dy and position (N, C, P, Q); dx (N, C, H, W).
    """
    n, channels, p, q = dy.shape
    w = dx.shape[3]
    for image in range(n):
        for c in range(channels):
            for a in range(dx.shape[2]):
                for b in range(w):
                    dx[image, c, a, b] = 0
            for a in range(p):
                for b in range(q):
                    at = position[image, c, a, b]
                    dx[image, c, at // w, at % w] = dy[image, c, a, b]
