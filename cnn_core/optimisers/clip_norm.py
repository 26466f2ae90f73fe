"""Gradient clipping: a step may not be longer than a limit.

    gradient *= min(1, limit / length), length^2 = sum of gradient^2 over all parameters together

The direction stays. Source: Pascanu, Mikolov and Bengio, ICML 2013.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cnn_core.optimisers.optimiser import Array, Regulariser


@dataclass(frozen=True)
class ClipNorm(Regulariser):
    """Shorten the whole gradient to `limit`, if it is longer."""

    limit: float

    def clip(self, gradients: Sequence[Array]) -> None:
        length = math.sqrt(sum(float((g * g).sum()) for g in gradients))
        if length > self.limit:
            for gradient in gradients:
                gradient *= self.limit / length
