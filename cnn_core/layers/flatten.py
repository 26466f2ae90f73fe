"""Each image as one vector, channel after channel and row after row.

    y[n, (c H + h) W + w] = x[n,c,h,w]; dx is dy with the shape of x

Shapes: x, dx (N, C, H, W); y, dy (N, C H W).
"""

import math
from dataclasses import dataclass

import numpy as np

from cnn_core.layers.layer import Array, Layer, Shape


@dataclass(frozen=True)
class Flatten(Layer):
    """From images to vectors, before the first linear layer."""

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def forward(self, x: Array) -> Array:
        return np.ascontiguousarray(x).reshape(len(x), -1)

    def backward(self, dy: Array, x: Array) -> Array:
        return np.ascontiguousarray(dy).reshape(x.shape)
