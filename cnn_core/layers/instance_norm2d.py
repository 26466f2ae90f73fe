"""Instance normalisation: each channel of each image by itself, over its positions.

    z = (x[n,c] - mean[n,c]) / sqrt(var[n,c] + EPSILON)
    y[n,c] = gamma[c] z + beta[c]

mean and var are over the H W values of a channel in one image: its contrast is taken out. Training and
evaluation are the same. PyTorch leaves gamma and beta out unless asked (affine=True).

    dgamma[c] = sum of dy z;  dbeta[c] = sum of dy, over the channel's values in all images
    dx = gamma / sqrt(var + EPSILON) (dy - mean of dy - z (mean of dy z)), means over H W values

Shapes: x, y, dx, dy (N, C, H, W); gamma, beta (C,).
Initialisation: gamma 1, beta 0.
Raises: ConfigError for images of one pixel, which would all become beta.
Source: Ulyanov, Vedaldi and Lempitsky, arXiv:1607.08022 (2016).
"""

from dataclasses import dataclass

import numpy as np

from cnn_core.config import ConfigError
from cnn_core.layers.layer import Array, Layer, Shape, require_image, text

EPSILON = 1e-5


@dataclass(frozen=True)
class InstanceNorm2d(Layer):
    """Give each channel of each image mean `beta` and standard deviation `gamma`."""

    def output_shape(self, shape: Shape) -> Shape:
        C, H, W = require_image(shape)
        if H * W == 1:
            raise ConfigError(f"has one value a channel to normalise in {text(shape)}; write it earlier")
        return C, H, W

    def parameters(self, shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
        return {"gamma": np.ones(shape[0]), "beta": np.zeros(shape[0])}

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        y = np.empty_like(x)
        for n, c in np.ndindex(x.shape[:2]):
            z = (x[n, c] - x[n, c].mean()) / np.sqrt(x[n, c].var() + EPSILON)
            y[n, c] = gamma[c] * z + beta[c]
        return y

    def backward(self, dy: Array, x: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array]:
        dx, dgamma, dbeta = np.empty_like(x), np.zeros_like(gamma), np.zeros_like(beta)
        for n, c in np.ndindex(x.shape[:2]):
            deviation = np.sqrt(x[n, c].var() + EPSILON)
            z = (x[n, c] - x[n, c].mean()) / deviation
            dgamma[c] += (dy[n, c] * z).sum()
            dbeta[c] += dy[n, c].sum()
            dx[n, c] = gamma[c] / deviation * (dy[n, c] - dy[n, c].mean() - z * (dy[n, c] * z).mean())
        return dx, dgamma, dbeta
