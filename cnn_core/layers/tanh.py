"""Hyperbolic tangent.

    y = tanh(x) = (e^x - e^-x) / (e^x + e^-x);  dx = dy (1 - y^2)

Shapes: x, y, dx, dy are of any one shape.
Source: LeCun et al., "Efficient BackProp" (1998), for why it is preferred to the logistic function.
"""

from dataclasses import dataclass

import numpy as np

from cnn_core.layers.layer import Array, Layer


@dataclass(frozen=True)
class Tanh(Layer):
    """Squeeze every number into (-1, 1)."""

    def forward(self, x: Array) -> Array:
        y: Array = np.tanh(x)
        return y

    def backward(self, dy: Array, x: Array) -> Array:
        y: Array = np.tanh(x)
        dx: Array = dy * (1 - y * y)
        return dx
