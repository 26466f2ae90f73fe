"""Several networks that answer as one: the mean of their probabilities.

Their parameters lie one network after another; so do their statistics.

Source: Lakshminarayanan et al., NeurIPS 2017.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.layers import CrossEntropy, Layer
from cnn_core.runner import choose

Array = NDArray[Any]


def combine(logits: Sequence[Array]) -> NDArray[np.float32]:
    """The logs of the mean probabilities, which are logits: their softmax is that mean. One network's as is.

    Shapes: each of logits, and the result, (N, classes).
    """
    if len(logits) == 1:
        return logits[0]
    with np.errstate(invalid="ignore"):  # of a training that has diverged
        logs = np.stack([_log_softmax(own.astype(np.float64)) for own in logits])
        top = logs.max(axis=0)
        return np.asarray(top + np.log(np.exp(logs - top).mean(axis=0)), np.float32)


def _log_softmax(logits: Array) -> Array:
    shifted: Array = logits - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def predict(
    layers: Sequence[Layer], shape: tuple[int, ...], members: int, parameters: Array, statistics: Array,
    images: Array,
) -> NDArray[np.float32]:  # fmt: skip
    """The logits (N, classes) of images (N, *shape), of all members as one."""
    runner, found = choose(layers, shape, CrossEntropy()), []
    for own, running in zip(np.split(parameters, members), np.split(statistics, members), strict=True):
        runner.begin(own, running, 1)
        found.append(runner.predict(images))
    return combine(found)
