"""Gaussian error linear unit.

    y = x F(x), F(x) = (1 + erf(x / sqrt(2))) / 2
    dx = dy (F(x) + x f(x)), f(x) = exp(-x^2 / 2) / sqrt(2 pi)

F is the distribution function of the standard normal, f its density: x is weighted by the probability that a
normal number is below it. This is the exact form, the default of PyTorch, not its approximation by tanh.

Shapes: x, y, dx, dy are of any one shape.
Source: Hendrycks and Gimpel, arXiv:1606.08415 (2016).
"""

import math
from dataclasses import dataclass

import numpy as np

from cnn_core.layers.layer import Array, Layer


@dataclass(frozen=True)
class GELU(Layer):
    """Weight each number by the share of a standard normal that lies below it."""

    def forward(self, x: Array) -> Array:
        y = np.empty_like(x)
        for i, v in np.ndenumerate(x):  # one by one: NumPy has no erf
            y[i] = v * (1 + math.erf(v / math.sqrt(2))) / 2
        return y

    def backward(self, dy: Array, x: Array) -> Array:
        dx = np.empty_like(x)
        for i, v in np.ndenumerate(x):
            below = (1 + math.erf(v / math.sqrt(2))) / 2
            density = math.exp(-v * v / 2) / math.sqrt(2 * math.pi)
            dx[i] = dy[i] * (below + v * density)
        return dx
