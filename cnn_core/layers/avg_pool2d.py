"""Mean over windows of each channel.

    y[n,c,p,q] = 1 / size^2 sum over r,s < size of x[n, c, p stride + r, q stride + s]

x has a frame of `padding` rows and columns of zeros, which count as values, as in PyTorch. Rows and columns
at the end that fill no window are left out. The gradient of a window goes to its positions in equal shares:

    dx[n, c, p stride + r, q stride + s] += dy[n,c,p,q] / size^2, for all p,q,r,s

Shapes: x, dx (N, C, H, W); y, dy (N, C, P, Q), P = (H + 2 padding - size) // stride + 1, and Q likewise.
"""

from dataclasses import dataclass

import numpy as np

from cnn_core.layers.layer import Array, Layer, Shape, windows


@dataclass(frozen=True)
class AvgPool2d(Layer):
    """The mean of each window; windows lie side by side unless `stride` says otherwise."""

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

        framed = np.zeros((N, C, H + 2 * pad, W + 2 * pad), x.dtype)
        framed[:, :, pad : pad + H, pad : pad + W] = x
        y = np.zeros((N, C, P, Q), x.dtype)
        for r, s in np.ndindex(size, size):
            y += framed[:, :, r : r + step * P : step, s : s + step * Q : step] / size**2
        return y

    def backward(self, dy: Array, x: Array) -> Array:
        N, C, H, W = x.shape
        _, _, P, Q = dy.shape
        size, step, pad = self.size, self.stride, self.padding

        dframed = np.zeros((N, C, H + 2 * pad, W + 2 * pad), x.dtype)
        for r, s in np.ndindex(size, size):
            dframed[:, :, r : r + step * P : step, s : s + step * Q : step] += dy / size**2
        return dframed[:, :, pad : pad + H, pad : pad + W]
