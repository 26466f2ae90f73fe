"""L1 penalty: loss + factor (sum of |weight|), which makes many weights nearly 0.

    gradient += factor sign(weight)

At 0 there is no derivative, and 0 is taken. Source: Tibshirani, JRSS B 58 (1996), the lasso.
"""

from dataclasses import dataclass

import numpy as np

from cnn_core.optimisers.optimiser import Array, Regulariser


@dataclass(frozen=True)
class L1(Regulariser):
    """Draw each weight to 0 by the same force, however small it is."""

    factor: float

    def penalise(self, rate: float, weight: Array, gradient: Array) -> None:
        gradient += self.factor * np.sign(weight)
