"""Dropout, with a counter-based random source: the draw for an activation depends on its place alone."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def mix(key, counter):  # type: ignore[no-untyped-def]
    """Scramble (key, counter) to 64 random bits: the finaliser of SplitMix64 (Steele et al., OOPSLA 2014)."""
    z = key + np.uint64(counter) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def scale_dropout(x, rate, key, y):  # type: ignore[no-untyped-def]
    """Zero each activation with probability `rate`; scale the survivors by 1 / (1 - rate).

    The expected output equals the input. The same key draws the same mask, so the backward pass is this
    function applied to dy: nothing is kept between the two.

    Shapes: x, y flat, equal. `rate` in [0, 1); `key` uint64, another for each step and layer.
    Source: Srivastava et al., JMLR 15 (2014), in the "inverted" form.
    """
    threshold = np.uint64(rate * 4294967296.0)
    scale = x.dtype.type(1.0 / (1.0 - rate))
    for i in range(x.size):
        y[i] = x[i] * scale if mix(key, i) >> np.uint64(32) >= threshold else x.dtype.type(0)
