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

from functools import partial

import numpy as np

from cnn_core.kernels.cache import kernel
from cnn_core.kernels.paired import add_to_weights, forward_columns
from cnn_core.kernels.simd import LANES, add, fill, lanes_of, load, part, splat, store, transpose, where_less
from cnn_core.kernels.tile import (
    EIGHT,
    NINE,
    TILE,
    add_fetched,
    add_loaded,
    add_to_array,
    fill_tile,
    first_eight,
    first_nine,
    first_places,
    load_tile,
    look_up,
    spread,
    store_tile,
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
def frame_conv2d(op, state):  # type: ignore[no-untyped-def]
    """Lay weights out as the backward pass reads them: each filter in two frames of zeros.

    Read from one row or another, a filter is where it has to be among the pixels that a pooling window's four
    positions see together: in the first frame for the window's left positions, in the second for its right
    ones. So what is read begins at a cache line.

    Shapes: weight (K, R, R C); frames (2, K, R + stride, frame_pitch), whose zeros are there. The first
        `stride` rows of a frame are zeros, and so end the one before it.
    """
    weight, frames = part(state.memory, op.weight), part(state.memory, op.frames)
    filters, size, run = op.k, op.size, op.size * op.c
    frame_pitch, frame_size = op.frame_pitch, op.frame_size
    right = filters * frame_size + op.stride * op.c
    zero = fill(load(weight, 0), weight.dtype.type(0))
    for vector in range(0, run, LANES):
        length = fill(zero, weight.dtype.type(run - vector))
        for k in range(filters):
            for i in range(size):
                weights = load(weight, (k * size + i) * run + vector)
                weights = where_less(lanes_of(zero), length, weights, zero)
                to = k * frame_size + (op.stride + i) * frame_pitch + vector
                store(frames, to, weights)
                store(frames, to + right, weights)


@kernel
def forward_conv2d(op, state, paired, n):  # type: ignore[no-untyped-def]
    """Fill y, filters beyond the K-th with zeros.

    With few filters, an image's upper and lower half share the vectors: even lanes belong to a position in
    the upper half, odd ones to the position below it in the lower half, and x has the pixels of both side by
    side. `paired` is then a number, else None.

    Shapes: x (N, x_size), channels last with the padding in it, or where `paired` is a number (C, H', W, 2);
        packed (T + 1, width) as `pack_conv2d` made it; y (N, places, width), y_size numbers an image.
    """
    x, y, packed = part(state.memory, op.x), part(state.memory, op.y), part(state.memory, op.packed)
    places, taps = part(state.offsets, op.places), part(state.offsets, op.taps)
    places_n, taps_n, width = op.taps - op.places, op.corners - op.taps, op.width
    x_size, y_size = op.x_size, op.y_size
    for image in range(n):
        if paired is not None and op.beside:
            forward_columns(
                op.few, op.wide, op.q, x, image * x_size, op.rows, places, taps, taps_n, packed,
                y, image * y_size,
            )  # fmt: skip
            continue
        for k in range(0, width, LANES):
            add_tiles(
                x, image * x_size, places, places_n, taps, taps_n, packed, k, width,
                packed, taps_n * width + k, np.int64(0), y, image * y_size + k, width, paired,
            )  # fmt: skip


@kernel
def backward_conv2d(op, state, paired, n):  # type: ignore[no-untyped-def]
    """dweight = sum over n, p, q of dy x; dbias = sum of dy. For a convolution whose x is the images: no dx.

    The product is the forward one with places and taps exchanged.

    Shapes: as in the forward pass; dweight (K, T), dpacked is scratch like packed.
    """
    memory, x_size, dy_size, filters, width = state.memory, op.x_size, op.y_size, op.k, op.width
    x, dy, dpacked = part(memory, op.x), part(memory, op.dy), part(memory, op.dpacked)
    dweight, dbias = part(memory, op.dweight), part(memory, op.dbias)
    places, taps = part(state.offsets, op.places), part(state.offsets, op.taps)
    places_n, taps_n = op.taps - op.places, op.corners - op.taps
    zero = fill(load(x, 0), dpacked.dtype.type(0))
    for t in range(taps_n + 1):
        for k in range(0, width, LANES):
            store(dpacked, t * width + k, zero)
    for image in range(n):
        if paired is not None and op.beside_back:
            add_to_weights(
                op.size, op.c, op.q, x, image * x_size, op.rows, places, taps, dy, image * dy_size, dpacked
            )
        else:
            for k in range(0, width, LANES):
                add_tiles(
                    x, image * x_size, taps, taps_n, places, places_n,
                    dy, image * dy_size + k, width, dpacked, k, width, dpacked, k, width, paired,
                )  # fmt: skip
        for k in range(0, width, LANES):
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
def backward_pooled_conv2d(op, state, wants_dx, n):  # type: ignore[no-untyped-def]
    """dweight, dbias and dx from the gradient of the maxima that follow this convolution.

    Of the positions of a pooling window only the one with the maximum has a gradient, and that only if it is
    above 0, so at most one product in four is made: dweight[k] = sum over n and windows of routed[k] x at the
    code's corner, and dx at that corner = sum over k of routed[k] weight[k].

    Shapes: routed and codes (N, windows, width), code 4 where nothing goes back; x, dx (N, x_size), channels
        last; frames as `frame_conv2d` made them; dweight (K, T). Scratch: bases (int64), values, sums
        (width,).
    """
    memory, offsets, bases = state.memory, state.offsets, state.lists
    x, dx, routed, codes = (
        part(memory, op.x), part(memory, op.dx), part(memory, op.routed), part(state.codes, op.codes)
    )  # fmt: skip
    frames, values, sums = part(memory, op.frames), part(memory, op.values), part(memory, op.sums)
    dweight, dbias = part(memory, op.dweight), part(memory, op.dbias)
    corners, shifts, row_n = part(offsets, op.corners), part(offsets, op.shifts), part(offsets, op.row_n)
    row_x, row_w, vectors = part(offsets, op.row_x), part(offsets, op.row_w), op.row_n - op.row_w
    patch_x, patch_w = part(offsets, op.patch_x), part(offsets, op.patch_w)
    patch_n, taps, filters = op.shifts - op.patch_w, op.corners - op.taps, op.k
    windows, width, x_size, frame_size = op.windows, op.width, op.x_size, op.frame_size
    zero = fill(load(x, 0), x.dtype.type(0))
    for i in range(filters * taps):
        dweight[i] = 0
    together = min(n, images_together(x_size))
    for first in range(0, n, together):
        last = min(first + together, n)
        for k in range(0, width, LANES):
            total = load(sums, k) if first else zero
            for window in range(first * windows, last * windows):
                total = add(total, load(routed, window * width + k))
            store(sums, k, total)
        # The lists are made without a branch: which code comes next cannot be foretold.
        for k in range(filters):
            end = np.int64(0)
            for image in range(first, last):
                for window in range(windows):
                    at = (image * windows + window) * width + k
                    code = codes[at]
                    bases[end] = image * x_size + corners[window * 5 + code]
                    values[end] = routed[at]
                    end += np.int64(code < 4)
            _add_rows(x, row_x, vectors, bases, values, end, dweight, k * taps, row_w, row_n)
        if not wants_dx:
            continue
        for image in range(first, last):
            for i in range(0, x_size, LANES):
                store(dx, image * x_size + i, zero)
            for window in range(windows):
                at, end = (image * windows + window) * width, np.int64(0)
                for k in range(filters):
                    code = codes[at + k]
                    bases[end] = k * frame_size + shifts[code]
                    values[end] = routed[at + k]
                    end += np.int64(code < 4)
                corner = image * x_size + corners[window * 5]
                _add_rows(frames, patch_w, patch_n, bases, values, end, dx, corner, patch_x, None)
    for k in range(filters):
        dbias[k] = sums[k]


@kernel
def images_together(x_size):  # type: ignore[no-untyped-def]
    """How many images' x the first cache holds: for so many, dweight is kept in registers."""
    return max(1, 8192 // x_size)


@kernel
def add_tiles(  # type: ignore[no-untyped-def]
    a, a_at, rows, rows_n, steps, steps_n, b, b_at, b_step, start, start_at, start_step, c, c_at, c_step,
    paired,
):  # fmt: skip
    """c[row] = start[row] + sum over t of a[rows[row] + steps[t]] b[t], a tile of rows at a time.

    A row of a tile past the last one is the last one again. All tiles are made in one call: to pass so much
    takes as long as 60 products.
    """
    last = rows_n - 1
    if -(-rows_n // EIGHT) * EIGHT < -(-rows_n // TILE) * TILE:
        for first in range(0, rows_n, EIGHT):
            _add_tile(
                first_eight(first, last), a, a_at, rows, steps, steps_n, b, b_at, b_step, start, start_at,
                start_step, c, c_at, c_step, paired,
            )  # fmt: skip
    else:
        for first in range(0, rows_n, TILE):
            _add_tile(
                first_places(first, last), a, a_at, rows, steps, steps_n, b, b_at, b_step, start, start_at,
                start_step, c, c_at, c_step, paired,
            )  # fmt: skip


@partial(kernel, inline="always")
def _add_tile(  # type: ignore[no-untyped-def]
    own, a, a_at, rows, steps, steps_n, b, b_at, b_step, start, start_at, start_step, c, c_at, c_step, paired
):  # fmt: skip
    places, at = look_up(rows, own, a_at), b_at
    sums = load_tile(start, spread(own, start_at, start_step))
    for t in range(steps_n):
        sums = add_fetched(sums, a, places, steps[t], paired, load(b, at))
        at += b_step
    store_tile(c, spread(own, c_at, c_step), sums)


@partial(kernel, inline="always")
def _add_rows(a, a_rows, rows_n, bases, values, count, c, c_at, c_rows, row_n):  # type: ignore[no-untyped-def]
    """c[c_rows] += sum over t < count of values[t] a[bases[t] + a_rows], vector by vector.

    Only the first row_n numbers of each vector are added, or all of them where it is None.
    """
    if rows_n % NINE == 0:
        for first in range(0, rows_n, NINE):
            own = first_nine(first, rows_n - 1)
            _add_rows_of_tile(own, first, a, a_rows, rows_n, bases, values, count, c, c_at, c_rows, row_n)
    else:
        for first in range(0, rows_n, TILE):
            own10 = first_places(first, rows_n - 1)
            _add_rows_of_tile(own10, first, a, a_rows, rows_n, bases, values, count, c, c_at, c_rows, row_n)


@partial(kernel, inline="always")
def _add_rows_of_tile(own, first, a, a_rows, rows_n, bases, values, count, c, c_at, c_rows, row_n):  # type: ignore[no-untyped-def]
    places = look_up(a_rows, own, 0)
    sums = fill_tile(fill(load(a, 0), a.dtype.type(0)), own)
    for t in range(count):
        sums = add_loaded(sums, a, places, bases[t], splat(values, t))
    add_to_array(c, look_up(c_rows, own, c_at), sums, rows_n - first, row_n, own)
