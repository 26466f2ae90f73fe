"""Softmax and cross-entropy in one, numerically stable."""

import numpy as np

from cnn_core.kernels.cache import kernel


@kernel
def forward_cross_entropy(logits, size, classes, labels, smoothing, probabilities):  # type: ignore[no-untyped-def]
    """Return the sum over n of -sum over k of t[n,k] log p[n,k]; fill p = softmax(logits).

    The target t has the share `smoothing` spread over all classes, the rest on the label.
    The largest logit is taken off before exp, so none overflows; the loss is taken from the logits, so
    no log of 0 occurs. A NaN makes the loss NaN.

    Shapes: logits and probabilities (N, size), the first K of them, may be one array; labels (N,).
    """
    loss = 0.0
    for n in range(labels.size):
        at = n * size
        chosen = logits[at + labels[n]]
        top = logits[at]
        for k in range(1, classes):
            top = max(top, logits[at + k])
        rest = 0.0
        if smoothing > 0:
            for k in range(classes):
                rest += chosen - logits[at + k]
        total = 0.0
        for k in range(classes):
            probabilities[at + k] = np.exp(logits[at + k] - top)
            total += probabilities[at + k]
        for k in range(classes):
            probabilities[at + k] /= total
        loss += np.log(total) - (chosen - top)
        if smoothing > 0:
            loss += smoothing / classes * rest
    return loss


@kernel
def backward_cross_entropy(probabilities, size, classes, labels, smoothing, dlogits, n):  # type: ignore[no-untyped-def]
    """dlogits = (p - t) / n: the gradient of the mean loss of n images, some or all of them here.

    Shapes: as in the forward pass.
    """
    share = probabilities.dtype.type(1.0 / n)
    for image in range(labels.size):
        for k in range(classes):
            dlogits[image * size + k] = probabilities[image * size + k] * share
        dlogits[image * size + labels[image]] -= share
        if smoothing > 0:
            moved = probabilities.dtype.type(share * smoothing)
            for k in range(classes):
                dlogits[image * size + k] -= moved / classes
            dlogits[image * size + labels[image]] += moved
