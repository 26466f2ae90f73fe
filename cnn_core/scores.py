"""How good a network's answers are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def judge(logits: NDArray[Any], labels: NDArray[Any]) -> tuple[float, NDArray[np.bool_]]:
    """Mean cross-entropy, and whether each image's label is on top; a NaN counts as wrong.

    Shapes: logits (N, classes), labels (N,).
    """
    logits, rows = logits.astype(np.float64), np.arange(len(labels))
    with np.errstate(invalid="ignore"):  # of a training that has diverged
        logits -= logits.max(axis=1, keepdims=True)
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[rows, labels]
    return float(losses.mean()), (logits.argmax(axis=1) == labels) & np.isfinite(losses)
