"""Maximum over windows of each channel.

    y[n,c,p,q] = max over r,s < size of x[n, c, p stride + r, q stride + s]

x has a frame of `padding` rows and columns of minus infinity, which never are a maximum. Rows and columns at
the end that fill no window are left out. The gradient of a window goes to its maximum, of equal ones to the
first in reading order; where windows overlap, gradients add up.

Shapes: x, dx (N, C, H, W); y, dy (N, C, P, Q), P = (H + 2 padding - size) // stride + 1, and Q likewise.
"""

from dataclasses import dataclass

import numpy as np

from cnn_core.layers.layer import Array, Layer, Shape, windows


@dataclass(frozen=True)
class MaxPool2d(Layer):
    """The largest number of each window; windows lie side by side unless `stride` says otherwise."""

    size: int = 2
    stride: int | None = None
    padding: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "stride", self.size if self.stride is None else self.stride)
        super().__post_init__()

    def output_shape(self, shape: Shape) -> Shape:
        return windows(shape, self.size, self.stride or self.size, self.padding)

    def forward(self, x: Array) -> Array:
        N, C, H, W = x.shape
        size, step, pad = self.size, self.stride, self.padding
        P, Q = (H + 2 * pad - size) // step + 1, (W + 2 * pad - size) // step + 1

        framed = np.full((N, C, H + 2 * pad, W + 2 * pad), -np.inf, x.dtype)
        framed[:, :, pad : pad + H, pad : pad + W] = x
        y = np.full((N, C, P, Q), -np.inf, x.dtype)
        for r, s in np.ndindex(size, size):
            y = np.maximum(y, framed[:, :, r : r + step * P : step, s : s + step * Q : step])
        return y

    def backward(self, dy: Array, x: Array) -> Array:
        N, C, H, W = x.shape
        _, _, P, Q = dy.shape
        size, step, pad = self.size, self.stride, self.padding

        framed = np.full((N, C, H + 2 * pad, W + 2 * pad), -np.inf, x.dtype)
        framed[:, :, pad : pad + H, pad : pad + W] = x
        y = np.full((N, C, P, Q), -np.inf, x.dtype)
        for r, s in np.ndindex(size, size):
            y = np.maximum(y, framed[:, :, r : r + step * P : step, s : s + step * Q : step])
        dframed = np.zeros_like(framed)
        left = dy.copy()  # what no position of its window has taken yet
        for r, s in np.ndindex(size, size):
            rows, columns = slice(r, r + step * P, step), slice(s, s + step * Q, step)
            largest = framed[:, :, rows, columns] == y
            dframed[:, :, rows, columns] += left * largest
            left = left * ~largest
        return dframed[:, :, pad : pad + H, pad : pad + W]
