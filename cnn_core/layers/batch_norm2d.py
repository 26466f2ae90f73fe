"""Batch normalisation over the images and positions of each channel.

    z = (x - mean) / sqrt(var + EPSILON)
    y = gamma[c] z + beta[c]

In training mean and var are those of the batch, for each channel over its M = N H W values. Running averages
follow them, and evaluation uses those instead:

    running = MOMENTUM running + (1 - MOMENTUM) batch

The running variance takes the unbiased estimate, var M / (M - 1), as PyTorch does. It starts at 1, the
running mean at 0; the course report started the variance at 0 (docs/course-report.md).

dx stands for the gradient of the loss with respect to x. To add a constant to a whole channel, or to scale
it, changes no z: mean and var follow. So dx has no part that is constant over a channel, and none along z:

    dgamma[c] = sum of dy z;  dbeta[c] = sum of dy
    dx = gamma / sqrt(var + EPSILON) (dy - mean of dy - z (mean of dy z))

with sums and means over all M values of a channel; the report divided by N alone (docs/course-report.md).

Shapes: x, y, dx, dy (N images, C channels, H rows, W columns); gamma, beta, running mean and variance (C,).
Initialisation: gamma 1, beta 0.
Source: Ioffe and Szegedy, ICML 2015.
"""

from dataclasses import dataclass

import numpy as np

from cnn_core.layers.layer import Array, Layer, Shape, require_image

EPSILON = 1e-5
MOMENTUM = 0.9


@dataclass(frozen=True)
class BatchNorm2d(Layer):
    """Give each channel mean `beta` and standard deviation `gamma` over a batch."""

    def output_shape(self, shape: Shape) -> Shape:
        return require_image(shape)

    def parameters(self, shape: Shape, rng: np.random.Generator) -> dict[str, Array]:
        return {"gamma": np.ones(shape[0]), "beta": np.zeros(shape[0])}

    def statistics(self, shape: Shape) -> dict[str, Array]:
        return {"mean": np.zeros(shape[0]), "var": np.ones(shape[0])}

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        y = np.empty_like(x)
        for c in range(x.shape[1]):
            z = (x[:, c] - x[:, c].mean()) / np.sqrt(x[:, c].var() + EPSILON)
            y[:, c] = gamma[c] * z + beta[c]
        return y

    def backward(self, dy: Array, x: Array, gamma: Array, beta: Array) -> tuple[Array, Array, Array]:
        dx, dgamma, dbeta = np.empty_like(x), np.empty_like(gamma), np.empty_like(beta)
        for c in range(x.shape[1]):
            deviation = np.sqrt(x[:, c].var() + EPSILON)
            z = (x[:, c] - x[:, c].mean()) / deviation
            dgamma[c] = (dy[:, c] * z).sum()
            dbeta[c] = dy[:, c].sum()
            dx[:, c] = gamma[c] / deviation * (dy[:, c] - dy[:, c].mean() - z * (dy[:, c] * z).mean())
        return dx, dgamma, dbeta

    def track(self, x: Array, mean: Array, var: Array) -> None:
        """Let the running averages follow the batch, in place."""
        for c in range(x.shape[1]):
            M = x[:, c].size
            unbiased = x[:, c].var() * M / max(M - 1, 1)
            mean[c] = MOMENTUM * mean[c] + (1 - MOMENTUM) * x[:, c].mean()
            var[c] = MOMENTUM * var[c] + (1 - MOMENTUM) * unbiased

    def evaluate(self, x: Array, gamma: Array, beta: Array, mean: Array, var: Array) -> Array:  # type: ignore[override]
        y = np.empty_like(x)
        for c in range(x.shape[1]):
            y[:, c] = gamma[c] * (x[:, c] - mean[c]) / np.sqrt(var[c] + EPSILON) + beta[c]
        return y
