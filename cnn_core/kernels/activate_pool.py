"""Maximum over 2 x 2 windows that do not overlap, of activations that are made on the way.

    y[n,p,q,c] = max over the window of dropout(relu(scale[c] x + shift[c]))

Normalisation (or scale 1, shift 0), ReLU and dropout take one pass with the maximum: each activation is read
once, and only the maxima are written. Rows and columns at the end that fill no window are left out, their
gradient is 0. Of equal maxima the first in reading order counts.
"""

import numpy as np

from cnn_core.kernels.cache import kernel
from cnn_core.kernels.dropout import mix, scale_of, threshold_of
from cnn_core.kernels.relu import rectify
from cnn_core.kernels.simd import (
    LANES,
    add,
    draw,
    evens,
    fill,
    fma,
    interleave,
    keep,
    load,
    load_codes,
    load_half,
    multiply,
    odds,
    part,
    store,
    store_first,
    where_less,
    where_nan,
)

WINDOW = 2


@kernel
def forward_activate_pool(op, state, dropout_rate, key, n):  # type: ignore[no-untyped-def]
    """Fill y and codes; a code says which of 0..3 was the maximum, in reading order, or 4: none above 0.

    `dropout_rate` is 0 for none. If `paired`, of P rows of windows the first `window_rows` are in x one after
    another and the others lie beside them, in the odd lanes of each vector; if not, that is P. Values beyond
    a window's channels are overwritten by the next window's; beyond the last one they are 0.

    Shapes: x (N, x_size), rows of x_pitch, positions of `width` numbers; scale, shift (width,);
        y (N, y_size), window (p, q) at y_first + p y_pitch + q C; codes (N, window_rows, Q, width), bytes.
    """
    x, y = part(state.memory, op.x), part(state.memory, op.y)
    scale, shift = part(state.memory, op.scale), part(state.memory, op.shift)
    codes, threshold = part(state.codes, op.codes), threshold_of(dropout_rate)
    x_size, x_pitch, width, paired = op.x_size, op.x_pitch, op.width, op.paired
    y_size, y_at, y_pitch, channels = op.y_size, op.y_first, op.y_pitch, op.k
    rows, p, q = op.window_rows, op.p, op.q
    words = np.uint64(width // 4)  # random words of a position: 4 lanes each
    factor = x.dtype.type(scale_of(threshold))
    for image in range(n):
        own = mix(key, image)
        for a in range(rows):
            for b in range(q):
                window = a * q + b
                out = image * y_size + y_at + a * y_pitch + b * channels
                for k in range(0, width, LANES):
                    at = image * x_size + WINDOW * a * x_pitch + WINDOW * b * width + k
                    below = at + x_pitch
                    s, t = load(scale, k), load(shift, k)
                    zero, one, none = (
                        fill(s, x.dtype.type(0)),
                        fill(s, x.dtype.type(1)),
                        fill(s, x.dtype.type(4)),
                    )
                    two, three = fill(s, x.dtype.type(2)), fill(s, x.dtype.type(3))
                    v0 = rectify(fma(load(x, at), s, t), zero)
                    v1 = rectify(fma(load(x, at + width), s, t), zero)
                    v2 = rectify(fma(load(x, below), s, t), zero)
                    v3 = rectify(fma(load(x, below + width), s, t), zero)
                    if threshold > 0:
                        bits = draw(own, np.uint64(window * 4) * words + np.uint64(k // 4), words)
                        v0 = keep(v0, bits, 0, threshold)
                        v1 = keep(v1, bits, 1, threshold)
                        v2 = keep(v2, bits, 2, threshold)
                        v3 = keep(v3, bits, 3, threshold)
                    code, best = where_less(v0, v1, one, zero), where_less(v0, v1, v1, v0)
                    code, best = where_less(best, v2, two, code), where_less(best, v2, v2, best)
                    code, best = where_less(best, v3, three, code), where_less(best, v3, v3, best)
                    # What is not a number stays one, so that a diverged training is seen.
                    whole = add(add(v0, v1), add(v2, v3))
                    best = where_nan(whole, whole, best)
                    store(codes, (image * rows * q + window) * width + k, where_less(zero, best, code, none))
                    best = multiply(best, fill(s, factor))  # once, as it is the same for all four
                    if paired:
                        store_first(y, out, evens(best), channels)
                        if a + rows < p:
                            store_first(y, out + rows * y_pitch, odds(best), channels)
                    else:
                        store(y, out + k, best)


@kernel
def backward_activate_pool(op, state, dropout_rate, n):  # type: ignore[no-untyped-def]
    """routed = dy through the scale of dropout, 0 where nothing goes back (code 4).

    Where in its window a gradient goes is its code: whoever takes it (a normalisation or a convolution)
    puts it there. ReLU and dropout need no more: a maximum above 0 has passed both.

    Shapes: dy as y in the forward pass; codes, routed (N, window_rows, Q, width).
    """
    dy, routed, codes = part(state.memory, op.dy), part(state.memory, op.routed), part(state.codes, op.codes)
    y_size, y_at, y_pitch, channels, width = op.y_size, op.y_first, op.y_pitch, op.k, op.width
    paired, rows, p, q = op.paired, op.window_rows, op.p, op.q
    factor = dy.dtype.type(scale_of(threshold_of(dropout_rate)))
    for image in range(n):
        for a in range(rows):
            for b in range(q):
                for k in range(0, width, LANES):
                    out = image * y_size + y_at + a * y_pitch + b * channels + k
                    d = load(dy, out)
                    zero, none = fill(d, dy.dtype.type(0)), fill(d, dy.dtype.type(4))
                    if paired:
                        below = load_half(dy, out + rows * y_pitch)
                        d = interleave(load_half(dy, out), below if a + rows < p else evens(zero))
                    at = ((image * rows + a) * q + b) * width + k
                    store(
                        routed,
                        at,
                        where_less(load_codes(codes, at, d), none, multiply(d, fill(d, factor)), zero),
                    )
