"""Max-norm: no output's weights may be longer than a limit.

    weight[k] *= min(1, limit / |weight[k]|), |.| the root of the sum of squares, after the update

weight[k] are all weights that lead into filter or output k. The bound allows a large rate at the beginning.

Source: Srebro and Shraibman, COLT 2005; with dropout: Srivastava et al., JMLR 15 (2014).
"""

from dataclasses import dataclass

import numpy as np

from cnn_core.optimisers.optimiser import Array, Regulariser


@dataclass(frozen=True)
class MaxNorm(Regulariser):
    """Shorten what leads into an output to `limit`, if it is longer."""

    limit: float

    def project(self, weight: Array) -> None:
        for k in range(len(weight)):
            length = np.sqrt((weight[k] * weight[k]).sum())
            if length > self.limit:
                weight[k] *= self.limit / length
