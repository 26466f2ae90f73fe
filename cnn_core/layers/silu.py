"""Sigmoid linear unit, also called swish.

    y = x s(x), s(x) = 1 / (1 + e^-x)
    dx = dy s(x) (1 + x (1 - s(x)))

s is computed as (1 + tanh(x / 2)) / 2, which is the same and never overflows.

Shapes: x, y, dx, dy are of any one shape.
Source: Elfwing, Uchibe and Doya, Neural Networks 107 (2018).
"""

from dataclasses import dataclass

import numpy as np

from cnn_core.layers.layer import Array, Layer


@dataclass(frozen=True)
class SiLU(Layer):
    """Weight each number by its logistic function."""

    def forward(self, x: Array) -> Array:
        s: Array = (1 + np.tanh(x / 2)) / 2
        return x * s

    def backward(self, dy: Array, x: Array) -> Array:
        s: Array = (1 + np.tanh(x / 2)) / 2
        dx: Array = dy * s * (1 + x * (1 - s))
        return dx
