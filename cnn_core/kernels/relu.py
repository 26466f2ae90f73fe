"""Rectified linear unit: y = max(x, 0), dx = dy where y > 0 and 0 elsewhere.

Only inside the pass over a pooling window (activate_pool.py), on a vector at a time. The backward pass is
there too: a window whose maximum is not above 0 gets code 4 and sends no gradient back.
"""

from cnn_core.kernels.cache import kernel
from cnn_core.kernels.simd import where_less


@kernel
def rectify(x, zero):  # type: ignore[no-untyped-def]
    """max(x, 0); NaN stays NaN, so that a diverged training is seen. Shapes: vectors."""
    return where_less(x, zero, zero, x)
