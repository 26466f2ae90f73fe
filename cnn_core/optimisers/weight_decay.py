"""Decoupled weight decay: weights shrink at each step, whatever the optimiser makes of the gradient.

    weight -= rate factor weight, before the update

Source: Loshchilov and Hutter, ICLR 2019.
"""

from dataclasses import dataclass

from cnn_core.optimisers.optimiser import Array, Regulariser


@dataclass(frozen=True)
class WeightDecay(Regulariser):
    """Take the share rate `factor` off each weight."""

    factor: float

    def penalise(self, rate: float, weight: Array, gradient: Array) -> None:
        weight -= rate * self.factor * weight
