"""Adam: momentum, measured in the size that the gradients have lately had.

    mean = beta1 mean + (1 - beta1) gradient
    square = beta2 square + (1 - beta2) gradient^2
    parameter -= rate (mean / (1 - beta1^t)) / (sqrt(square / (1 - beta2^t)) + epsilon), at step t = 1, 2, ...

Both averages start at 0 and are too small by 1 - beta^t after t steps: the divisions correct this, so that
the first step is rate long in every number, whatever the gradient.

Source: Kingma and Ba, ICLR 2015, algorithm 1.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnn_core.optimisers.optimiser import Array, Optimiser


@dataclass(frozen=True)
class Adam(Optimiser):
    """Steps of about `rate` in each number, longer where its gradients agree."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    keeps: ClassVar = ("mean", "square")

    def update(
        self, rate: float, step: int, parameter: Array, gradient: Array, mean: Array, square: Array
    ) -> None:
        mean *= self.beta1
        mean += (1 - self.beta1) * gradient
        square *= self.beta2
        square += (1 - self.beta2) * gradient * gradient
        root = np.sqrt(square / (1 - self.beta2**step))
        parameter -= rate / (1 - self.beta1**step) * mean / (root + self.epsilon)
