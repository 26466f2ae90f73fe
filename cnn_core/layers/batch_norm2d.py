"""Batch normalisation over the images and positions of each channel."""

import numpy as np
from numba import njit

EPSILON = 1e-5
MOMENTUM = 0.9


@njit(cache=True, nogil=True)
def forward_batch_norm2d(x, gamma, beta, running_mean, running_var, mean, inverse_std, training, y):  # type: ignore[no-untyped-def]
    """y = gamma (x - mean) / sqrt(var + EPSILON) + beta, per channel.

    In training mean and var are the batch's (divided by N H W), and the running ones follow with
    running = MOMENTUM running + (1 - MOMENTUM) batch; the running variance takes the unbiased one, as in
    PyTorch. In evaluation the running ones are used. They start at 0 and 1 (the course report started
    the variance at 0, which inflates early evaluations: docs/report.md).

    Shapes: x, y (N, C, H*W); all others (C,). `mean` and `inverse_std` are kept for the backward pass.
    Source: Ioffe and Szegedy, ICML 2015.
    """
    n, channels, area = x.shape
    count = n * area
    for c in range(channels):
        if training:
            # Sums in float64: 17,280 float32 terms would lose four of seven digits.
            total = 0.0
            for image in range(n):
                part = x.dtype.type(0)
                for i in range(area):
                    part += x[image, c, i]
                total += part
            centre = total / count
            spread = 0.0
            for image in range(n):
                part = x.dtype.type(0)
                for i in range(area):
                    off = x[image, c, i] - x.dtype.type(centre)
                    part += off * off
                spread += part
            mean[c] = centre
            inverse_std[c] = 1.0 / np.sqrt(spread / count + EPSILON)
            unbiased = spread / max(count - 1, 1)
            running_mean[c] = MOMENTUM * running_mean[c] + (1.0 - MOMENTUM) * centre
            running_var[c] = MOMENTUM * running_var[c] + (1.0 - MOMENTUM) * unbiased
        else:
            mean[c] = running_mean[c]
            inverse_std[c] = 1.0 / np.sqrt(running_var[c] + EPSILON)
        scale = gamma[c] * inverse_std[c]
        shift = beta[c] - mean[c] * scale
        for image in range(n):
            for i in range(area):
                y[image, c, i] = x[image, c, i] * scale + shift


@njit(cache=True, nogil=True)
def backward_batch_norm2d(dy, x, gamma, mean, inverse_std, dgamma, dbeta, dx, wants_dx):  # type: ignore[no-untyped-def]
    """dx = gamma inverse_std (dy - mean(dy) - z mean(dy z)), z = (x - mean) inverse_std; means over N H W.

    dgamma = sum of dy z; dbeta = sum of dy. The report divided by N alone (docs/report.md).

    Shapes: dy, x, dx (N, C, H*W); all others (C,).
    """
    n, channels, area = x.shape
    count = n * area
    for c in range(channels):
        sum_dy = 0.0
        sum_dyz = 0.0
        for image in range(n):
            part_dy = x.dtype.type(0)
            part_dyz = x.dtype.type(0)
            for i in range(area):
                part_dy += dy[image, c, i]
                part_dyz += dy[image, c, i] * (x[image, c, i] - mean[c])
            sum_dy += part_dy
            sum_dyz += part_dyz * inverse_std[c]
        dbeta[c] = sum_dy
        dgamma[c] = sum_dyz
        if wants_dx:
            scale = gamma[c] * inverse_std[c]
            slope = x.dtype.type(sum_dyz / count) * inverse_std[c]
            level = x.dtype.type(sum_dy / count)
            for image in range(n):
                for i in range(area):
                    dx[image, c, i] = scale * (dy[image, c, i] - level - (x[image, c, i] - mean[c]) * slope)
