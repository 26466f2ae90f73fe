"""Group normalisation: the channels of each image in groups, each group by itself.

    z = (x - mean[n,g]) / sqrt(var[n,g] + EPSILON), g the group of channel c
    y[n,c] = gamma[c] z + beta[c]

mean and var are over the (C / groups) H W values of a group in one image. One group is layer normalisation
with a gamma and beta for each channel, C groups are instance normalisation. Training and evaluation are the
same.

    dgamma[c] = sum of dy z;  dbeta[c] = sum of dy, over the channel's values in all images
    dz = gamma[c] dy;  dx = (dz - mean of dz - z (mean of dz z)) / sqrt(var + EPSILON), means over a group

Shapes: x, y, dx, dy (N, C, H, W); gamma, beta (C,).
Initialisation: gamma 1, beta 0.
Raises: ConfigError if `groups` does not divide C, or if a group has one value.
Source: Wu and He, ECCV 2018.
"""

from dataclasses import dataclass

import numpy as np

from cnn_core.config import ConfigError
from cnn_core.layers.layer import Array, Layer, Shape, require_image, text

EPSILON = 1e-5


@dataclass(frozen=True)
class GroupNorm(Layer):
    """Give each group of C / `groups` channels mean 0 and standard deviation 1, then gamma and beta."""

    groups: int

    def output_shape(self, shape: Shape) -> Shape:
        C, H, W = require_image(shape)
        if C % self.groups:
            raise ConfigError(f"groups must divide the {C} channels, found {self.groups}; write 1 or {C}")
        if C // self.groups * H * W == 1:
            raise ConfigError(f"has one value a group to normalise in {text(shape)}; write fewer groups")
        return C, H, W

    def parameters(self, shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
        return {"gamma": np.ones(shape[0]), "beta": np.zeros(shape[0])}

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        y = np.empty_like(x)
        size = x.shape[1] // self.groups
        for n, g in np.ndindex(len(x), self.groups):
            group = x[n, g * size : (g + 1) * size]
            z = (group - group.mean()) / np.sqrt(group.var() + EPSILON)
            for i in range(size):
                y[n, g * size + i] = gamma[g * size + i] * z[i] + beta[g * size + i]
        return y

    def backward(self, dy: Array, x: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array]:
        dx, dgamma, dbeta = np.empty_like(x), np.zeros_like(gamma), np.zeros_like(beta)
        size = x.shape[1] // self.groups
        for n, g in np.ndindex(len(x), self.groups):
            group = x[n, g * size : (g + 1) * size]
            deviation = np.sqrt(group.var() + EPSILON)
            z = (group - group.mean()) / deviation
            dz = np.empty_like(z)
            for i in range(size):
                c = g * size + i
                dz[i] = gamma[c] * dy[n, c]
                dgamma[c] += (dy[n, c] * z[i]).sum()
                dbeta[c] += dy[n, c].sum()
            dx[n, g * size : (g + 1) * size] = (dz - dz.mean() - z * (dz * z).mean()) / deviation
        return dx, dgamma, dbeta
