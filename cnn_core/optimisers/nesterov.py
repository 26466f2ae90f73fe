"""Gradient descent with Nesterov's momentum.

    velocity = momentum velocity + gradient
    parameter -= rate (gradient + momentum velocity)

Nesterov takes the gradient where momentum is about to carry the parameter. In the variables used here, as in
PyTorch, `parameter` is that place already, and the rule becomes momentum with a look one step ahead.

Source: Nesterov, Soviet Mathematics Doklady 27 (1983); Sutskever et al., ICML 2013.
"""

from dataclasses import dataclass
from typing import ClassVar

from cnn_core.optimisers.optimiser import Array, Optimiser


@dataclass(frozen=True)
class Nesterov(Optimiser):
    """Momentum that looks one step ahead."""

    momentum: float = 0.9

    keeps: ClassVar = ("velocity",)

    def update(self, rate: float, step: int, parameter: Array, gradient: Array, velocity: Array) -> None:
        velocity *= self.momentum
        velocity += gradient
        parameter -= rate * (gradient + self.momentum * velocity)
