"""Convolution in two dimensions, as im2col and one matrix product."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def forward_conv2d(x, weight, bias, r, stride, padding, columns, y):  # type: ignore[no-untyped-def]
    """y[n,k,p,q] = bias[k] + sum over c,i,j of weight[k,c,i,j] x[n,c,p',q'], zeros around x.

    p' = p stride + i - padding, q' = q stride + j - padding; P = (H + 2 padding - R) // stride + 1.
    Deep learning calls this convolution; mathematics calls it correlation.

    Shapes: x (N, C, H, W); weight (K, C*R*R); bias (K,); y (N, K, P, Q);
        columns (1 or N, C*R*R, P*Q), which the backward pass needs if there are N of them.
    Source: Chellapilla et al., "High performance convolutional neural networks" (2006), for im2col.
    """
    n, k, p, q = y.shape
    for image in range(n):
        column = columns[image % columns.shape[0]]
        _im2col(x[image], r, stride, padding, p, q, column)
        out = y[image].reshape(k, p * q)
        np.dot(weight, column, out)
        for filter_ in range(k):
            for position in range(p * q):
                out[filter_, position] += bias[filter_]


@njit(cache=True, nogil=True)
def backward_conv2d(dy, columns, weight, r, stride, padding, dweight, dbias, product, dcolumns, dx, wants_dx):  # type: ignore[no-untyped-def]
    """dweight = sum over n of dy[n] columns[n]^T; dbias = sum of dy; dx = col2im(weight^T dy).

    Shapes: as in the forward pass; product (K, C*R*R) and dcolumns (C*R*R, P*Q) are scratch.
    `dx` is left alone unless `wants_dx`: nobody needs the gradient of the images.
    """
    # Loops where array expressions would do: numba takes seconds to compile those, milliseconds for these.
    n, k, p, q = dy.shape
    window = dweight.shape[1]
    for filter_ in range(k):
        dbias[filter_] = 0
        for i in range(window):
            dweight[filter_, i] = 0
    for image in range(n):
        up = dy[image].reshape(k, p * q)
        np.dot(up, columns[image].T, product)
        for filter_ in range(k):
            for i in range(window):
                dweight[filter_, i] += product[filter_, i]
            total = dbias[filter_]
            for position in range(p * q):
                total += up[filter_, position]
            dbias[filter_] = total
        if wants_dx:
            np.dot(weight.T, up, dcolumns)
            _col2im(dcolumns, r, stride, padding, p, q, dx[image])


@njit(cache=True, nogil=True)
def _im2col(x, r, stride, padding, p, q, columns):  # type: ignore[no-untyped-def]
    """Lay every R x R window of x (C, H, W) out as a column of `columns` (C*R*R, P*Q)."""
    channels, h, w = x.shape
    for c in range(channels):
        for i in range(r):
            for j in range(r):
                row = columns[(c * r + i) * r + j]
                for a in range(p):
                    y = a * stride + i - padding
                    if stride == 1 and padding == 0:
                        # The study's case, a straight copy of a row, which the compiler vectorises.
                        for b in range(q):
                            row[a * q + b] = x[c, y, b + j]
                        continue
                    for b in range(q):
                        z = b * stride + j - padding
                        inside = 0 <= y < h and 0 <= z < w
                        row[a * q + b] = x[c, y, z] if inside else 0


@njit(cache=True, nogil=True)
def _col2im(columns, r, stride, padding, p, q, dx):  # type: ignore[no-untyped-def]
    """Add every column back to the window it came from: the transpose of `_im2col`."""
    channels, h, w = dx.shape
    for c in range(channels):
        for y in range(h):
            for z in range(w):
                dx[c, y, z] = 0
        for i in range(r):
            for j in range(r):
                row = columns[(c * r + i) * r + j]
                for a in range(p):
                    y = a * stride + i - padding
                    if stride == 1 and padding == 0:
                        for b in range(q):
                            dx[c, y, b + j] += row[a * q + b]
                        continue
                    for b in range(q):
                        z = b * stride + j - padding
                        if 0 <= y < h and 0 <= z < w:
                            dx[c, y, z] += row[a * q + b]
