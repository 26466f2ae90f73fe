"""How good a network's answers are. To add a metric, write its line in SCORES."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Of the calibration error, equally wide. Source: Guo et al., ICML 2017."""

Array = NDArray[Any]


def judge(logits: Array, labels: Array) -> tuple[float, NDArray[np.bool_]]:
    """Mean cross-entropy, and whether each image's label is on top; a NaN counts as wrong.

    Shapes: logits (N, classes), labels (N,).
    """
    logits, rows = logits.astype(np.float64), np.arange(len(labels))
    with np.errstate(invalid="ignore"):  # of a training that has diverged
        logits -= logits.max(axis=1, keepdims=True)
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[rows, labels]
    return float(losses.mean()), (logits.argmax(axis=1) == labels) & np.isfinite(losses)


def softmax(logits: Array) -> Array:
    """The probability of each class, float64. Shapes: logits and result (N, classes)."""
    powers: Array = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def top3_accuracy(probabilities: Array, labels: Array) -> float:
    """The share of images whose label is among the three likeliest classes; of equals the first ones."""
    likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, :3]
    return float((likeliest == labels[:, None]).any(axis=1).mean())


def macro_f1(probabilities: Array, labels: Array) -> float:
    """The mean over classes, met or answered, of 2 right / (answers + images)."""
    classes = probabilities.shape[1]
    answers = probabilities.argmax(axis=1)
    right = np.bincount(labels[answers == labels], minlength=classes)
    both = np.bincount(answers, minlength=classes) + np.bincount(labels, minlength=classes)
    return float((2 * right[both > 0] / both[both > 0]).mean())


def calibration_error(probabilities: Array, labels: Array) -> float:
    """The mean over images of |share right - mean confidence| of their bin (expected calibration error).

    Confidence is the probability of the answer; bins are (0, 1/15], (1/15, 2/15], ...
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    places = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(places, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


SCORES: dict[str, Callable[[Array, Array], float]] = {
    "top3_accuracy": top3_accuracy,
    "macro_f1": macro_f1,
    "calibration_error": calibration_error,
}
"""Metrics on request, by name: functions of probabilities (N, classes) and labels (N,)."""
