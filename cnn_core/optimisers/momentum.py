"""Gradient descent with momentum.

    velocity = momentum velocity + gradient
    parameter -= rate velocity

Where gradients agree from step to step, velocity grows to 1 / (1 - momentum) of them; where they alternate,
they cancel. The rate stands outside velocity, as in PyTorch, so a changed rate acts at once.

Source: Polyak, USSR Computational Mathematics and Mathematical Physics 4 (1964).
"""

from dataclasses import dataclass
from typing import ClassVar

from cnn_core.optimisers.optimiser import Array, Optimiser


@dataclass(frozen=True)
class Momentum(Optimiser):
    """Go along a sum of gradients in which older ones fade."""

    momentum: float = 0.9

    keeps: ClassVar = ("velocity",)

    def update(self, rate: float, step: int, parameter: Array, gradient: Array, velocity: Array) -> None:
        velocity *= self.momentum
        velocity += gradient
        parameter -= rate * velocity
