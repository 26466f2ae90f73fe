"""L2 penalty: loss + factor / 2 (sum of weight^2).

    gradient += factor weight

`factor` is PyTorch's weight_decay. With plain SGD it is the same as `WeightDecay`; with momentum or Adam it
is not, as the penalty goes through what they make of a gradient. Source: Krogh and Hertz, NIPS 1991.
"""

from dataclasses import dataclass

from cnn_core.optimisers.optimiser import Array, Regulariser


@dataclass(frozen=True)
class L2(Regulariser):
    """Draw each weight to 0 by a force in proportion to it."""

    factor: float

    def penalise(self, rate: float, weight: Array, gradient: Array) -> None:
        gradient += self.factor * weight
