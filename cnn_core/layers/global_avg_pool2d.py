"""Mean of each channel over all its positions.

    y[n,c] = 1 / (H W) sum over h,w of x[n,c,h,w];  dx[n,c,h,w] = dy[n,c] / (H W)

What it leaves does not depend on the size of the image, so neither does the layer behind it.

Shapes: x, dx (N, C, H, W); y, dy (N, C).
Source: Lin, Chen and Yan, "Network in network", ICLR 2014.
"""

from dataclasses import dataclass

import numpy as np

from cnn_core.layers.layer import Array, Layer, Shape, require_image


@dataclass(frozen=True)
class GlobalAvgPool2d(Layer):
    """One number for each channel: its mean."""

    def output_shape(self, shape: Shape) -> Shape:
        return require_image(shape)[:1]

    def forward(self, x: Array) -> Array:
        N, C, _, _ = x.shape
        y = np.empty((N, C), x.dtype)
        for n, c in np.ndindex(N, C):
            y[n, c] = x[n, c].mean()
        return y

    def backward(self, dy: Array, x: Array) -> Array:
        _, _, H, W = x.shape
        dx = np.empty_like(x)
        for n, c in np.ndindex(dy.shape):
            dx[n, c] = dy[n, c] / (H * W)
        return dx
