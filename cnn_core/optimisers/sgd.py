"""Stochastic gradient descent.

    parameter -= rate gradient

The gradient is that of one batch: the true one with noise, which is what "stochastic" says.

Source: Robbins and Monro, Annals of Mathematical Statistics 22 (1951).
"""

from dataclasses import dataclass

from cnn_core.optimisers.optimiser import Array, Optimiser


@dataclass(frozen=True)
class SGD(Optimiser):
    """Go against the gradient."""

    def update(self, rate: float, step: int, parameter: Array, gradient: Array) -> None:
        parameter -= rate * gradient
