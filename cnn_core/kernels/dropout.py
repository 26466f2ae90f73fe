"""Dropout: zero each activation with probability `rate` in training, pass it through in evaluation.

Survivors are scaled by 1 / (1 - rate), so the expected output equals the input. The random source is
counter-based: the draw for an activation depends on the key and on its place alone (in the batch, and in
this CPU's layout), never on what was drawn before. So no mask is kept, and neither order nor the number of
workers matters.

Only inside the pass over a pooling window (activate_pool.py). The backward pass is there too: what was
dropped is 0, never a maximum above 0, so that only the scale is left to apply.

Source: Srivastava et al., JMLR 15 (2014), in the "inverted" form.
"""

import numpy as np

from cnn_core.kernels.cache import kernel
from cnn_core.kernels.simd import GOLDEN


@kernel
def mix(key, counter):  # type: ignore[no-untyped-def]
    """Scramble (key, counter) to 64 random bits: the finaliser of SplitMix64 (Steele et al., OOPSLA 2014)."""
    z = key + np.uint64(counter) * np.uint64(GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel
def threshold_of(rate):  # type: ignore[no-untyped-def]
    """The 16 random bits below which an activation is dropped: `rate` to the nearest 1/65536, below 1."""
    return np.uint16(min(65535, int(rate * 65536.0 + 0.5)))


@kernel
def scale_of(threshold):  # type: ignore[no-untyped-def]
    """1 / (1 - rate), for the rate that is applied."""
    return 65536.0 / (65536.0 - threshold)
