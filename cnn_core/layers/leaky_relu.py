"""Leaky rectified linear unit.

    y = x where x > 0, slope x elsewhere;  dx = dy where x > 0, slope dy elsewhere

What is below 0 keeps a small gradient, so that no unit is dead for ever.

Shapes: x, y, dx, dy are of any one shape.
Source: Maas, Hannun and Ng, ICML 2013, with slope 0.01.
"""

from dataclasses import dataclass

import numpy as np

from cnn_core.layers.layer import Array, Layer


@dataclass(frozen=True)
class LeakyReLU(Layer):
    """Pass what is above 0, and `slope` times what is below."""

    slope: float = 0.01

    def forward(self, x: Array) -> Array:
        return np.where(x > 0, x, self.slope * x)

    def backward(self, dy: Array, x: Array) -> Array:
        return np.where(x > 0, dy, self.slope * dy)
