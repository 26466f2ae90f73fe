"""RMSprop: each number steps by its gradient, measured in the size that its gradients have lately had.

    square = beta2 square + (1 - beta2) gradient^2
    parameter -= rate gradient / (sqrt(square) + epsilon)

`beta2` is PyTorch's alpha: the same average as Adam's. `square` starts at 0, so the first step is
1 / sqrt(1 - beta2) = 10 times as long as `rate`; Adam corrects this.

Source: Tieleman and Hinton, Coursera lecture 6.5 (2012).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnn_core.optimisers.optimiser import Array, Optimiser


@dataclass(frozen=True)
class RMSprop(Optimiser):
    """Divide by the root of a running mean of squares."""

    beta2: float = 0.99
    epsilon: float = 1e-8

    keeps: ClassVar = ("square",)

    def update(self, rate: float, step: int, parameter: Array, gradient: Array, square: Array) -> None:
        square *= self.beta2
        square += (1 - self.beta2) * gradient * gradient
        parameter -= rate * gradient / (np.sqrt(square) + self.epsilon)
