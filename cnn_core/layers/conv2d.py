"""Convolution in two dimensions.

    y[n,p,q,k] = bias[k] + sum over i,j,c of weight[k,i,j,c] x[n, p stride + i, q stride + j, c]

with zeros around x, P = (H + 2 padding - R) // stride + 1 and Q likewise. Deep learning calls this
convolution; mathematics calls it correlation.

Three sums of products make it: y, dweight and dx. Nothing is copied to make them products of matrices (no
im2col): where an operand lies is the sum of two offsets, one for the place in the image and one for the tap
of the kernel, and both come from tables made with the network. So any size, stride and padding runs the same
compiled code. Source: Dukhan, "The indirect convolution algorithm" (2019), for tables instead of im2col.

Tables (int64, in numbers from an image's first):
    places     where the window of each output position (or pair of positions) begins
    taps       how far from there each of the T = R R C taps is, in the order of the weights
    corners    [window of the pooling, code]: where the window of its code-th position begins
    row_x      how far from there each vector of a kernel's rows is, row_w the same among the weights of a
    row_n      filter, and how many numbers of that vector belong to the row
    patch_x    how far from a pooling window's first corner each vector of pixels is that its positions see,
    patch_w    and the same in a filter's frame, from where the code's `shifts` say to begin
"""

import numpy as np

from cnn_core.cache import kernel
from cnn_core.simd import (
    LANES,
    add,
    fetch,
    fill,
    fma,
    load,
    part,
    splat,
    store,
    store_first,
    transpose,
)


@kernel
def pack_conv2d(weight, bias, filters, taps, paired, width, packed):  # type: ignore[no-untyped-def]
    """Lay weights and bias out as the forward pass reads them: filters side by side, then zeros.

    Shapes: weight (K, T); bias (K,); packed (T + 1, width), the bias last, filters there twice if `paired`.
    """
    copies, whole = 2 if paired else 1, 0
    if copies == 1 and taps >= LANES:
        whole = filters - filters % LANES
    for k in range(0, whole, LANES):
        for t in range(0, taps, LANES):
            first = min(t, taps - LANES)
            transpose(weight, k * taps + first, taps, packed, first * width + k, width)
    for k in range(filters):
        for lane in range(k * copies, (k + 1) * copies):
            for t in range(0 if k >= whole else taps, taps):
                packed[t * width + lane] = weight[k * taps + t]
            packed[taps * width + lane] = bias[k]


@kernel
def frame_conv2d(  # type: ignore[no-untyped-def]
    weight, filters, size, run, margin, frame_pitch, frame_size, frames
):
    """Lay weights out as the backward pass reads them: each filter in a frame of zeros.

    Read from a corner of the frame or another, the filter is where it has to be among the pixels that a
    pooling window's four positions see together.

    Shapes: weight (K, R, `run` = R C); frames (K, frame_size), whose zeros are there; a filter's first weight
        is at margin, its rows are frame_pitch apart.
    """
    for k in range(filters):
        for i in range(size):
            at, to = (k * size + i) * run, k * frame_size + margin + i * frame_pitch
            for vector in range(0, run, LANES):
                store_first(frames, to + vector, load(weight, at + vector), run - vector)


@kernel
def forward_conv2d(x, x_size, places, places_n, taps, taps_n, packed, width, paired, y, y_size, n):  # type: ignore[no-untyped-def]
    """Fill y, filters beyond the K-th with zeros.

    With few filters, an image's upper and lower half share the vectors: even lanes belong to a position in
    the upper half, odd ones to the position below it in the lower half, and x has the pixels of both side by
    side.

    Shapes: x (N, x_size), channels last with the padding in it, or where `paired` is a number (C, H', W, 2);
        packed (T + 1, width) as `pack_conv2d` made it; y (N, places, width), y_size numbers an image.
    """
    for image in range(n):
        for k in range(0, width, LANES):
            for first in range(0, places_n, TILE):
                _add_tile(
                    x, image * x_size, places, places_n, first, taps, taps_n, packed, k, width,
                    packed, taps_n * width + k, np.int64(0),
                    y, image * y_size + k, width, paired,
                )  # fmt: skip


@kernel
def backward_conv2d(  # type: ignore[no-untyped-def]
    dy, dy_size, x, x_size, places, places_n, taps, taps_n, filters, width, paired, dpacked, dweight, dbias, n
):
    """dweight = sum over n, p, q of dy x; dbias = sum of dy. For a convolution whose x is the images: no dx.

    The product is the forward one with places and taps exchanged.

    Shapes: as in the forward pass; dweight (K, T), dpacked is scratch like packed.
    """
    zero = fill(load(x, 0), dpacked.dtype.type(0))
    for t in range(taps_n + 1):
        for k in range(0, width, LANES):
            store(dpacked, t * width + k, zero)
    for image in range(n):
        for k in range(0, width, LANES):
            for first in range(0, taps_n, TILE):
                _add_tile(
                    x, image * x_size, taps, taps_n, first, places, places_n, dy, image * dy_size + k, width,
                    dpacked, k, width, dpacked, k, width, paired,
                )  # fmt: skip
            total0, total1 = load(dpacked, taps_n * width + k), zero
            at = image * dy_size + k
            for place in range(0, places_n - 1, 2):
                total0 = add(total0, load(dy, at + place * width))
                total1 = add(total1, load(dy, at + (place + 1) * width))
            if places_n % 2:
                total1 = add(total1, load(dy, at + (places_n - 1) * width))
            store(dpacked, taps_n * width + k, add(total0, total1))
    copies = 1 if paired is None else 2
    for k in range(filters):
        for t in range(taps_n + 1):
            at = t * width + k * copies
            both = dpacked[at] if paired is None else dpacked[at] + dpacked[at + 1]
            if t < taps_n:
                dweight[k * taps_n + t] = both
            else:
                dbias[k] = both


@kernel
def backward_pooled_conv2d(  # type: ignore[no-untyped-def]
    routed, codes, windows, width, x, x_size, frames, frame_size, filters, taps, corners,
    row_x, row_w, row_n, vectors, patch_x, patch_w, patch_n, shifts, dweight, dbias, dx, wants_dx,
    lists, values, n,
):  # fmt: skip
    """dweight, dbias and dx from the gradient of the maxima that follow this convolution.

    Of the positions of a pooling window only the one with the maximum has a gradient, and that only if it is
    above 0, so at most one product in four is made: dweight[k] = sum over n and windows of routed[k] x at the
    code's corner, and dx at that corner = sum over k of routed[k] weight[k].

    Shapes: routed and codes (N, windows, width), code 4 where nothing goes back; x, dx (N, x_size), channels
        last; frames as `frame_conv2d` made them; dweight (K, T). Scratch: lists (int64) and values.
    """
    counts, bases = lists, part(lists, filters)
    zero = fill(load(x, 0), x.dtype.type(0))
    for i in range(filters * taps):
        dweight[i] = 0
    for k in range(filters):
        dbias[k] = 0
    together = min(n, images_together(x_size))
    listed = together * windows  # room for the list of each filter; the list of a window comes first
    for first in range(0, n, together):
        for k in range(filters):
            counts[k] = filters + k * listed
        for image in range(first, min(first + together, n)):
            if wants_dx:
                for i in range(0, x_size, LANES):
                    store(dx, image * x_size + i, zero)
            for window in range(windows):
                end = np.int64(0)
                for k in range(filters):
                    # Without a branch: which code comes next cannot be foretold.
                    at = (image * windows + window) * width + k
                    code, value = codes[at], routed[at]
                    some = np.int64(code < 4)
                    dbias[k] += value
                    to = counts[k]
                    bases[to], values[to] = image * x_size + corners[window * 5 + code], value
                    counts[k] = to + some
                    bases[end], values[end] = k * frame_size + shifts[code], value
                    end += some
                if wants_dx:
                    corner = image * x_size + corners[window * 5]
                    _add_rows(
                        frames, patch_w, patch_n, bases, np.int64(0), values, end, dx, corner, patch_x, None
                    )
        for k in range(filters):
            begin = filters + k * listed
            _add_rows(x, row_x, vectors, bases, begin, values, counts[k], dweight, k * taps, row_w, row_n)


@kernel
def images_together(x_size):  # type: ignore[no-untyped-def]
    """How many images' x the first cache holds: for so many, dweight is kept in registers."""
    return max(1, 8192 // x_size)


TILE = 10
"""Sums that a product keeps in registers: FMA takes 4 cycles and 2 start in each, so 8 at least."""


@kernel
def _add_tile(  # type: ignore[no-untyped-def]
    a,
    a_at,
    rows,
    rows_n,
    first,
    steps,
    steps_n,
    b,
    b_at,
    b_step,
    start,
    start_at,
    start_step,
    c,
    c_at,
    c_step,
    paired,
):
    """c[row] = start[row] + sum over t of a[rows[row] + steps[t]] b[t], for TILE rows from the first.

    A row past the last one is the last one again.
    """
    last = rows_n - 1
    i0, i1, i2, i3, i4 = (
        min(first, last),
        min(first + 1, last),
        min(first + 2, last),
        min(first + 3, last),
        min(first + 4, last),
    )
    i5, i6, i7, i8, i9 = (
        min(first + 5, last),
        min(first + 6, last),
        min(first + 7, last),
        min(first + 8, last),
        min(first + 9, last),
    )
    o0, o1, o2, o3, o4 = a_at + rows[i0], a_at + rows[i1], a_at + rows[i2], a_at + rows[i3], a_at + rows[i4]
    o5, o6, o7, o8, o9 = a_at + rows[i5], a_at + rows[i6], a_at + rows[i7], a_at + rows[i8], a_at + rows[i9]
    sum0 = load(start, start_at + i0 * start_step)
    sum1 = load(start, start_at + i1 * start_step)
    sum2 = load(start, start_at + i2 * start_step)
    sum3 = load(start, start_at + i3 * start_step)
    sum4 = load(start, start_at + i4 * start_step)
    sum5 = load(start, start_at + i5 * start_step)
    sum6 = load(start, start_at + i6 * start_step)
    sum7 = load(start, start_at + i7 * start_step)
    sum8 = load(start, start_at + i8 * start_step)
    sum9 = load(start, start_at + i9 * start_step)
    for t in range(steps_n):
        step = steps[t]
        v = load(b, b_at)
        sum0 = fma(fetch(a, step + o0, paired), v, sum0)
        sum1 = fma(fetch(a, step + o1, paired), v, sum1)
        sum2 = fma(fetch(a, step + o2, paired), v, sum2)
        sum3 = fma(fetch(a, step + o3, paired), v, sum3)
        sum4 = fma(fetch(a, step + o4, paired), v, sum4)
        sum5 = fma(fetch(a, step + o5, paired), v, sum5)
        sum6 = fma(fetch(a, step + o6, paired), v, sum6)
        sum7 = fma(fetch(a, step + o7, paired), v, sum7)
        sum8 = fma(fetch(a, step + o8, paired), v, sum8)
        sum9 = fma(fetch(a, step + o9, paired), v, sum9)
        b_at += b_step
    store(c, c_at + i0 * c_step, sum0)
    store(c, c_at + i1 * c_step, sum1)
    store(c, c_at + i2 * c_step, sum2)
    store(c, c_at + i3 * c_step, sum3)
    store(c, c_at + i4 * c_step, sum4)
    store(c, c_at + i5 * c_step, sum5)
    store(c, c_at + i6 * c_step, sum6)
    store(c, c_at + i7 * c_step, sum7)
    store(c, c_at + i8 * c_step, sum8)
    store(c, c_at + i9 * c_step, sum9)


@kernel
def _add_rows(a, a_rows, rows_n, bases, begin, values, end, c, c_at, c_rows, row_n):  # type: ignore[no-untyped-def]
    """c[c_rows] += sum over t from begin to end of values[t] a[bases[t] + a_rows], vector by vector.

    Only the first row_n numbers of each vector are added, or all of them where it is None.
    """
    last = rows_n - 1
    zero = fill(load(a, 0), a.dtype.type(0))
    for first in range(0, rows_n, TILE):
        i0, i1, i2, i3, i4 = (
            min(first, last),
            min(first + 1, last),
            min(first + 2, last),
            min(first + 3, last),
            min(first + 4, last),
        )
        i5, i6, i7, i8, i9 = (
            min(first + 5, last),
            min(first + 6, last),
            min(first + 7, last),
            min(first + 8, last),
            min(first + 9, last),
        )
        o0, o1, o2, o3, o4 = a_rows[i0], a_rows[i1], a_rows[i2], a_rows[i3], a_rows[i4]
        o5, o6, o7, o8, o9 = a_rows[i5], a_rows[i6], a_rows[i7], a_rows[i8], a_rows[i9]
        sum0, sum1, sum2, sum3, sum4 = zero, zero, zero, zero, zero
        sum5, sum6, sum7, sum8, sum9 = zero, zero, zero, zero, zero
        for t in range(begin, end):
            base = bases[t]
            v = splat(values, t)
            sum0 = fma(v, load(a, base + o0), sum0)
            sum1 = fma(v, load(a, base + o1), sum1)
            sum2 = fma(v, load(a, base + o2), sum2)
            sum3 = fma(v, load(a, base + o3), sum3)
            sum4 = fma(v, load(a, base + o4), sum4)
            sum5 = fma(v, load(a, base + o5), sum5)
            sum6 = fma(v, load(a, base + o6), sum6)
            sum7 = fma(v, load(a, base + o7), sum7)
            sum8 = fma(v, load(a, base + o8), sum8)
            sum9 = fma(v, load(a, base + o9), sum9)
        count = min(TILE, rows_n - first)
        _add_first(c, c_at + c_rows[i0], sum0, row_n, i0)
        if count > 1:
            _add_first(c, c_at + c_rows[i1], sum1, row_n, i1)
        if count > 2:
            _add_first(c, c_at + c_rows[i2], sum2, row_n, i2)
        if count > 3:
            _add_first(c, c_at + c_rows[i3], sum3, row_n, i3)
        if count > 4:
            _add_first(c, c_at + c_rows[i4], sum4, row_n, i4)
        if count > 5:
            _add_first(c, c_at + c_rows[i5], sum5, row_n, i5)
        if count > 6:
            _add_first(c, c_at + c_rows[i6], sum6, row_n, i6)
        if count > 7:
            _add_first(c, c_at + c_rows[i7], sum7, row_n, i7)
        if count > 8:
            _add_first(c, c_at + c_rows[i8], sum8, row_n, i8)
        if count > 9:
            _add_first(c, c_at + c_rows[i9], sum9, row_n, i9)


@kernel
def _add_first(c, at, value, row_n, row):  # type: ignore[no-untyped-def]
    """c += value, or the first numbers of it where row_n says how many."""
    if row_n is None:
        store(c, at, add(load(c, at), value))
    else:
        store_first(c, at, add(load(c, at), value), row_n[row])
