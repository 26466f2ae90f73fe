"""AdamW: Adam, with weight decay apart from the gradient.

    parameter -= rate factor parameter
    then Adam's update (adam.py):
    mean = beta1 mean + (1 - beta1) gradient
    square = beta2 square + (1 - beta2) gradient^2
    parameter -= rate (mean / (1 - beta1^t)) / (sqrt(square / (1 - beta2^t)) + epsilon), at step t = 1, 2, ...

A penalty in the gradient (l2.py) would be divided by the root as well: parameters with large gradients would
decay less. Here all decay at one pace, as in PyTorch biases too; Adam with `WeightDecay` spares those.

Source: Loshchilov and Hutter, ICLR 2019.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnn_core.optimisers.optimiser import Array, Optimiser


@dataclass(frozen=True)
class AdamW(Optimiser):
    """Adam, each parameter drawn to 0 by the share rate `factor` at each step."""

    factor: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    keeps: ClassVar = ("mean", "square")

    def update(
        self, rate: float, step: int, parameter: Array, gradient: Array, mean: Array, square: Array
    ) -> None:
        parameter -= rate * self.factor * parameter
        mean *= self.beta1
        mean += (1 - self.beta1) * gradient
        square *= self.beta2
        square += (1 - self.beta2) * gradient * gradient
        root = np.sqrt(square / (1 - self.beta2**step))
        parameter -= rate / (1 - self.beta1**step) * mean / (root + self.epsilon)
