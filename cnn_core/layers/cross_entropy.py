"""Softmax and cross-entropy in one: the loss that a classifier's last layer is followed by.

    p[n,k] = exp(x[n,k]) / sum over j of exp(x[n,j])                    softmax: the probability of class k
    t[n,k] = (1 - smoothing) [k is the label of n] + smoothing / K      the target
    loss = - 1/N sum over n,k of t[n,k] log p[n,k]
    dx[n,k] = (p[n,k] - t[n,k]) / N                                     the gradient of the loss

Without smoothing the loss of an image is -log p[n, label]. Smoothing keeps the network from being ever surer:
its loss is least where p of the label is 1 - smoothing + smoothing / K.

The largest x of an image is taken off before exp, which changes no p, so nothing overflows. log p comes from
x, not from p, so no log of 0 occurs. A NaN makes the loss NaN.

Shapes: x, also called logits, and dx (N images, K classes); labels (N,), whole numbers from 0 to K - 1.
Raises: ConfigError if smoothing is outside [0, 1).
Source: Bishop, "Pattern Recognition and Machine Learning" (2006), 4.3.4; Szegedy et al., CVPR 2016.
"""

from dataclasses import dataclass

import numpy as np

from cnn_core.hyperparameters import Hyperparameters
from cnn_core.layers.layer import Array


@dataclass(frozen=True)
class CrossEntropy(Hyperparameters):
    """How far the softmax of x is from the labels, with a share `smoothing` spread over all classes."""

    smoothing: float = 0.0

    def forward(self, x: Array, labels: Array) -> float:
        N, K = x.shape
        loss = 0.0
        for n in range(N):
            shifted = x[n] - x[n].max()
            log_p = shifted - np.log(np.exp(shifted).sum())
            loss -= (1 - self.smoothing) * log_p[labels[n]] + self.smoothing / K * log_p.sum()
        return float(loss / N)

    def backward(self, x: Array, labels: Array) -> Array:
        N, K = x.shape
        dx = np.empty_like(x)
        for n in range(N):
            e = np.exp(x[n] - x[n].max())
            p = e / e.sum()
            dx[n] = (p - self.smoothing / K) / N
            dx[n, labels[n]] -= (1 - self.smoothing) / N
        return dx
