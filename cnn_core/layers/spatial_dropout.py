"""Spatial dropout: zero whole channels of an image with probability `rate` in training.

    y[n,c] = x[n,c] / (1 - rate) where noise[n,c] >= rate, 0 elsewhere; dx likewise from dy

Neighbouring pixels say nearly the same, so zeroing one of them hides little; without a channel the network
has to do with the others. Evaluation passes everything through.

Shapes: x, y, dx, dy (N, C, H, W); noise (N, C), uniform in [0, 1), drawn for each step by whoever runs it.
Raises: ConfigError if rate is outside [0, 1).
Source: Tompson et al., CVPR 2015.
"""

from dataclasses import dataclass

import numpy as np

from cnn_core.layers.layer import Array, Layer, Shape, require_image


@dataclass(frozen=True)
class SpatialDropout(Layer):
    """Zero each channel of each image with probability `rate`."""

    rate: float

    def output_shape(self, shape: Shape) -> Shape:
        return require_image(shape)

    def noise(self, shape: Shape) -> Shape:
        return shape[:1]

    def forward(self, x: Array, noise: Array) -> Array:
        y = np.zeros_like(x)
        for n, c in np.ndindex(noise.shape):
            if noise[n, c] >= self.rate:
                y[n, c] = x[n, c] / (1 - self.rate)
        return y

    def backward(self, dy: Array, x: Array, noise: Array) -> Array:
        dx = np.zeros_like(x)
        for n, c in np.ndindex(noise.shape):
            if noise[n, c] >= self.rate:
                dx[n, c] = dy[n, c] / (1 - self.rate)
        return dx

    def evaluate(self, x: Array) -> Array:  # type: ignore[override]
        return x
