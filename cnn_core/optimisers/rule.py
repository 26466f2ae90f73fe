"""One step of training: regularisers and the optimiser, applied to all parameters."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.optimisers.optimiser import Array, Optimiser, Regulariser
from cnn_core.optimisers.sgd import SGD


class Rule:
    """How flat parameters follow their flat gradient, with what the optimiser keeps from step to step.

    In each step: `clip`, `penalise` each weight, the optimiser's update, `project` each weight. `weights` has
    of each array of that name where it begins, how many outputs it leads to, how many numbers to each.

    Shapes: parameters, gradient (P,), changed in place; kept (arrays that the optimiser keeps, P).
    """

    def __init__(
        self,
        optimiser: Optimiser,
        regularisers: Sequence[Regulariser],
        weights: Sequence[tuple[int, int, int]],
    ) -> None:
        self.optimiser, self.regularisers, self.weights = optimiser, tuple(regularisers), tuple(weights)
        self.kept: NDArray[Any] = np.zeros((len(optimiser.keeps), 0), np.float32)
        self.step = 0

    @property
    def plain(self) -> bool:
        """Whether it is gradient descent and nothing else, which the engine does by itself."""
        return type(self.optimiser) is SGD and not self.regularisers

    def begin(self, parameters: Array, kept: Array | None = None, step: int = 0) -> None:
        """Before the first step, or the one after `step`, from what was `kept` then (flat)."""
        shape = len(self.optimiser.keeps), parameters.size
        self.kept = np.zeros(shape, parameters.dtype) if kept is None else kept.reshape(shape).copy()
        self.step = step

    def apply(self, rate: float, parameters: Array, gradient: Array) -> None:
        """Take one step. A rate that diverges overflows; its losses show it."""
        self.step += 1
        places = [
            (slice(first, first + outputs * size), (outputs, size)) for first, outputs, size in self.weights
        ]
        pairs = [(parameters[at].reshape(shape), gradient[at].reshape(shape)) for at, shape in places]
        with np.errstate(over="ignore", invalid="ignore"):
            for regulariser in self.regularisers:
                regulariser.clip([gradient])
            for regulariser in self.regularisers:
                for weight, slope in pairs:
                    regulariser.penalise(rate, weight, slope)
            self.optimiser.update(rate, self.step, parameters, gradient, *self.kept)
            for regulariser in self.regularisers:
                for weight, _ in pairs:
                    regulariser.project(weight)
