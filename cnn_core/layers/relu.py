"""Rectified linear unit.

    y = max(x, 0);  dx = dy where x > 0, 0 elsewhere

At x = 0 there is no derivative, and 0 is taken. A NaN stays NaN, so that a diverged training is seen.

Shapes: x, y, dx, dy are of any one shape.
Source: Nair and Hinton, ICML 2010.
"""

from dataclasses import dataclass

import numpy as np

from cnn_core.layers.layer import Array, Layer


@dataclass(frozen=True)
class ReLU(Layer):
    """Pass what is above 0, make the rest 0."""

    def forward(self, x: Array) -> Array:
        return np.maximum(x, 0)

    def backward(self, dy: Array, x: Array) -> Array:
        return dy * (x > 0)
