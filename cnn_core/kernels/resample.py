"""Images drawn anew at other places: `cnn_core.augmentation` says which."""

import math

import numpy as np

from cnn_core.kernels.cache import entry


@entry
def resample(images, places, found):  # type: ignore[no-untyped-def]
    """found[n, c, h, w] = images[n, c] at A (h, w), between pixels bilinear, beyond the edge 0.

    A turns about the centre and then moves: with (u, v) = (h, w) - centre - moved it is
    (cosine u + sine v, cosine v - sine u) + centre.

    Shapes: images and found (N, C, H, W) float32; places (N, 4): cosine, sine, moved rows, moved columns.
    """
    N, C, H, W = images.shape
    middle_h, middle_w = (H - 1) / 2, (W - 1) / 2
    for n in range(N):
        cosine, sine, down, right = places[n, 0], places[n, 1], places[n, 2], places[n, 3]
        for h in range(H):
            u = h - middle_h - down
            for w in range(W):
                v = w - middle_w - right
                y, x = cosine * u + sine * v + middle_h, cosine * v - sine * u + middle_w
                top, left = math.floor(y), math.floor(x)
                inside = top >= -1 and left >= -1 and top < H and left < W
                below, beside = np.float32(y - top), np.float32(x - left)
                for c in range(C):
                    value = np.float32(0)
                    if inside:
                        for i in range(2):
                            for j in range(2):
                                if 0 <= top + i < H and 0 <= left + j < W:
                                    share_h = below if i else np.float32(1) - below
                                    share_w = beside if j else np.float32(1) - beside
                                    value += share_h * share_w * images[n, c, top + i, left + j]
                    found[n, c, h, w] = value
