"""Layer normalisation: each image by itself, over all its values.

    z = (x[n] - mean[n]) / sqrt(var[n] + EPSILON)
    y[n] = gamma z + beta

mean and var are over the D = C H W values of image n, so a batch of one image is as good as any, and training
and evaluation are the same. gamma and beta have a number for each value, as in PyTorch.

    dgamma = sum over n of dy z;  dbeta = sum over n of dy
    dz = dy gamma;  dx = (dz - mean of dz - z (mean of dz z)) / sqrt(var + EPSILON), means over an image

Shapes: x, y, dx, dy (N, C, H, W) or (N, D); gamma, beta as an image.
Initialisation: gamma 1, beta 0.
Raises: ConfigError for images of one value, which would all become beta.
Source: Ba, Kiros and Hinton, arXiv:1607.06450 (2016).
"""

import math
from dataclasses import dataclass

import numpy as np

from cnn_core.config import ConfigError
from cnn_core.layers.layer import Array, Layer, Shape, text

EPSILON = 1e-5


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Give each image mean 0 and standard deviation 1, then each value its own `gamma` and `beta`."""

    def output_shape(self, shape: Shape) -> Shape:
        if math.prod(shape) == 1:
            raise ConfigError(f"has one value to normalise in {text(shape)}; write it earlier")
        return shape

    def parameters(self, shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
        return {"gamma": np.ones(shape), "beta": np.zeros(shape)}

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        y = np.empty_like(x)
        for n in range(len(x)):
            z = (x[n] - x[n].mean()) / np.sqrt(x[n].var() + EPSILON)
            y[n] = gamma * z + beta
        return y

    def backward(self, dy: Array, x: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array]:
        dx, dgamma, dbeta = np.empty_like(x), np.zeros_like(gamma), np.zeros_like(beta)
        for n in range(len(x)):
            deviation = np.sqrt(x[n].var() + EPSILON)
            z = (x[n] - x[n].mean()) / deviation
            dz = dy[n] * gamma
            dgamma += dy[n] * z
            dbeta += dy[n]
            dx[n] = (dz - dz.mean() - z * (dz * z).mean()) / deviation
        return dx, dgamma, dbeta
