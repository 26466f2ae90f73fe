"""Convolution of images with channels first, by patches: what a kernel covers, laid out as rows of a matrix.

    y[n] = weight cols[n] + bias;  dweight = sum over n of dy[n] cols[n]^T;  dcols[n] = weight^T dy[n]

cols[(c R + r) R + s, p Q + q] = x[n, c, p stride + r, q stride + s]. Rows are added four at a time: a sum is
loaded and stored once in four products.
"""

import functools

import numpy as np

from cnn_core.kernels.cache import entry, kernel

# Sums of products may be taken in any order, which a vector needs; NaN and infinity stay what they are.
fast = functools.partial(entry, fastmath={"reassoc", "contract"}, error_model="numpy")


@fast
def forward(x, weight, bias, size, stride, width, y):  # type: ignore[no-untyped-def]
    """Fill y.

    Shapes: x (N, C, H, W) with its frame; weight (K, C R R); bias (K,); y (N, K, P Q), Q = `width`.
    """
    filters, taps = weight.shape
    cols = np.empty((taps, y.shape[2]), x.dtype)
    for n in range(len(x)):
        gather(x[n], size, stride, width, cols)
        for k in range(filters):
            y[n, k] = bias[k]
            add_rows(y[n, k], weight[k], cols)


@fast
def backward(dy, x, weight, size, stride, width, dx, dweight):  # type: ignore[no-untyped-def]
    """Add to dx and dweight, which begin at 0. Shapes: as in the forward pass, dy as y."""
    filters, taps = weight.shape
    cols = np.empty((taps, dy.shape[2]), x.dtype)
    turned = np.empty((taps, filters), x.dtype)
    for k in range(filters):
        for t in range(taps):
            turned[t, k] = weight[k, t]
    for n in range(len(x)):
        gather(x[n], size, stride, width, cols)
        for k in range(filters):
            for t in range(taps):
                total = x.dtype.type(0)
                for i in range(dy.shape[2]):
                    total += dy[n, k, i] * cols[t, i]
                dweight[k, t] += total
        for t in range(taps):
            cols[t] = 0
            add_rows(cols[t], turned[t], dy[n])
        scatter(cols, size, stride, width, dx[n])


@kernel
def gather(image, size, stride, width, cols):  # type: ignore[no-untyped-def]
    """Fill cols."""
    height = cols.shape[1] // width
    for c in range(image.shape[0]):
        for r in range(size):
            for s in range(size):
                t = (c * size + r) * size + s
                for p in range(height):
                    for q in range(width):
                        cols[t, p * width + q] = image[c, p * stride + r, q * stride + s]


@kernel
def scatter(cols, size, stride, width, image):  # type: ignore[no-untyped-def]
    """Add each of cols to the pixel that it is from."""
    height = cols.shape[1] // width
    for c in range(image.shape[0]):
        for r in range(size):
            for s in range(size):
                t = (c * size + r) * size + s
                for p in range(height):
                    for q in range(width):
                        image[c, p * stride + r, q * stride + s] += cols[t, p * width + q]


@functools.partial(kernel, fastmath={"reassoc", "contract"})
def add_rows(y, factors, rows):  # type: ignore[no-untyped-def]
    """y += sum over t of factors[t] rows[t]."""
    whole = len(factors) - len(factors) % 4
    for t in range(0, whole, 4):
        a, b, c, d = factors[t], factors[t + 1], factors[t + 2], factors[t + 3]
        for i in range(len(y)):
            y[i] += a * rows[t, i] + b * rows[t + 1, i] + c * rows[t + 2, i] + d * rows[t + 3, i]
    for t in range(whole, len(factors)):
        for i in range(len(y)):
            y[i] += factors[t] * rows[t, i]
