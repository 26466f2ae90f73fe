"""What an optimiser and a regulariser offer to a training."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from numpy.typing import NDArray

from cnn_core.hyperparameters import Hyperparameters

Array = NDArray[Any]


class Optimiser(Hyperparameters):
    """An update rule, the same for each number by itself: arrays may come one by one or joined into one.

        optimiser.update(rate, step, parameter, gradient, *kept)

    changes `parameter` and `kept` in place. `rate` is the learning rate of this step, `step` counts from 1.
    As in the layers, numba compiles what the rules use.
    """

    keeps: ClassVar[tuple[str, ...]] = ()
    """Names of the arrays kept for each parameter from step to step: of its shape, 0 before the first."""

    update: Callable[..., None]


class Regulariser(Hyperparameters):
    """What keeps a network from fitting its training images too closely; a subclass has one of the three.

    In this order, at each step: `clip` all gradients, `penalise` each weight, the optimiser's update,
    `project` each weight. Weights are the arrays of that name: no bias, no gamma, no beta.
    """

    def clip(self, gradients: Sequence[Array]) -> None:
        """Change the gradients of all parameters, in place."""

    def penalise(self, rate: float, weight: Array, gradient: Array) -> None:
        """Change one weight, or its gradient, before the update, in place."""

    def project(self, weight: Array) -> None:
        """Change one weight after the update, in place."""
