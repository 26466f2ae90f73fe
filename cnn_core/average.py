"""Weights averaged over epochs: often better than the last ones, which are one step of a noisy walk.

No average depends on how many epochs will follow. Running statistics are averaged as weights are: taken
anew from the training images with the averaged weights they gave the same accuracy within 0.1 points.

Source: Izmailov et al., UAI 2018 (of the last epochs); Polyak and Juditsky, SIAM J. Control 30 (1992).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Average:
    """The mean of a network's numbers after its latest epochs.

    span a whole number: of the last `span` epochs, or of as many as there were. span below 1: of all epochs,
    each weighing `span` times as much as the next one. So the mean after epoch e (from 0) is

        sum over i of span^(e - i) x[i] / sum over i of span^(e - i)

    Shapes: x (P,); kept (rows, P) is all that the next mean depends on besides x.
    """

    def __init__(self, span: float, size: int) -> None:
        self._span, self._recent = span, span >= 1
        rows = 0 if span == 1 else int(span) if self._recent else 1
        self.kept = np.zeros((rows, size), np.float32)

    def add(self, epoch: int, numbers: Array) -> None:
        """Take in the numbers after an epoch, counted from 0."""
        if self._recent and len(self.kept):
            self.kept[epoch % len(self.kept)] = numbers
        elif not self._recent:
            share = (1 - self._span) / (1 - self._span ** (epoch + 1))
            with np.errstate(over="ignore", invalid="ignore"):  # of a training that has diverged
                self.kept[0] += np.float32(share) * (numbers - self.kept[0])

    def mean(self, epochs: int, numbers: Array) -> NDArray[np.float32]:
        """The mean after so many epochs, the last of which ended with `numbers`."""
        if not len(self.kept):
            return numbers
        if not self._recent:
            return np.array(self.kept[0])
        rows: Array = self.kept[:epochs].mean(axis=0, dtype=np.float64)
        return rows.astype(np.float32)
