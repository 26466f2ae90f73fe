"""Training images as an epoch sees them: shifted, turned, scaled, noisy, mixed; anew in each epoch.

All that is random comes from the generator that is given, so an epoch's images depend on the seed and the
epoch and on nothing else.

Axes: N images, C channels, H rows, W columns.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def warp(
    images: Array, rng: np.random.Generator, *, shift: float, rotate: float, scale: float
) -> NDArray[np.float32]:
    """Move each image's content by up to `shift` pixels along each axis, turn it about the centre by up to
    `rotate` degrees, and make it up to the share `scale` larger or smaller: each uniform, both ways.

    Pixels come from the four around their place, in proportion (bilinear); beyond the edge they are 0.

    Shapes: images and result (N, C, H, W).
    """
    from cnn_core.kernels import resample  # brings numba

    count = len(images)
    moved = rng.uniform(-shift, shift, (count, 2))
    turned = np.radians(rng.uniform(-rotate, rotate, count))
    grown = rng.uniform(1 - scale, 1 + scale, count)
    cosine, sine = np.cos(turned) / grown, np.sin(turned) / grown
    found = np.empty(images.shape, np.float32)
    pixels = np.ascontiguousarray(images, np.float32).view()
    pixels.flags.writeable = False
    resample.resample(pixels, np.stack([cosine, sine, moved[:, 0], moved[:, 1]], axis=1), found)
    return found


def add_noise(images: Array, rng: np.random.Generator, deviation: float) -> NDArray[np.float32]:
    """Add a normal number of mean 0 to each pixel. Nothing is cut off at 0 and 1: the mean stays."""
    found = rng.standard_normal(images.shape, np.float32)
    found *= np.float32(deviation)
    found += images
    return found


def mix(images: Array, rng: np.random.Generator, alpha: float) -> NDArray[np.float32]:
    """Mix each image with another: x[n] share + x[other] (1 - share), share ~ Beta(alpha + 1, alpha).

    The label stays that of n. In expectation that is mixup, whose share s is Beta(alpha, alpha) and whose
    labels are mixed too: the loss is linear in the labels and both images are drawn alike, so it is
    2 E[s loss(mixed image, label of n)], and 2 s times the density of Beta(alpha, alpha) is that of
    Beta(alpha + 1, alpha). Targets stay whole numbers.

    Source: Zhang et al., ICLR 2018; Huszar, "mixup: Data-dependent Data Augmentation" (2017), for this form.
    """
    others = rng.permutation(len(images))
    share = rng.beta(alpha + 1, alpha, len(images)).astype(np.float32).reshape(-1, 1, 1, 1)
    found: NDArray[np.float32] = images[others] * (1 - share)
    found += images * share
    return found
