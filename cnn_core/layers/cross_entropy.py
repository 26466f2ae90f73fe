"""Softmax and cross-entropy in one, numerically stable."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def forward_cross_entropy(logits, labels, probabilities):  # type: ignore[no-untyped-def]
    """Return (sum over n of -log p[n, label], how many n have their label on top); fill p = softmax(logits).

    The largest logit is taken off before exp, so none overflows; the loss is taken from the logits, so
    no log of 0 occurs. A row with a NaN counts as wrong and makes the loss NaN.

    Shapes: logits and probabilities (N, K), which may be one array; labels (N,).
    """
    loss = 0.0
    right = 0
    for n in range(logits.shape[0]):
        chosen = logits[n, labels[n]]
        top = logits[n, 0]
        best = 0
        for k in range(1, logits.shape[1]):
            if logits[n, k] > top:
                top = logits[n, k]
                best = k
        total = 0.0
        for k in range(logits.shape[1]):
            probabilities[n, k] = np.exp(logits[n, k] - top)
            total += probabilities[n, k]
        for k in range(logits.shape[1]):
            probabilities[n, k] /= total
        loss += np.log(total) - (chosen - top)
        right += best == labels[n] and not np.isnan(total)
    return loss, right


@njit(cache=True, nogil=True)
def backward_cross_entropy(probabilities, labels, dlogits):  # type: ignore[no-untyped-def]
    """dlogits = (p - one_hot(label)) / N: the gradient of the mean loss. Shapes: as in the forward pass."""
    n, classes = probabilities.shape
    share = probabilities.dtype.type(1.0 / n)
    for image in range(n):
        for k in range(classes):
            dlogits[image, k] = probabilities[image, k] * share
        dlogits[image, labels[image]] -= share
