"""Convolution by 3 x 3 or 5 x 5 weights, stride 1, of many channels, by fewer products (kernels/winograd.py).

TILES of 4 x 4 positions, or 2 x 2, at a time, of whatever images: their pixels are transformed (V),
multiplied by the transformed weights (U), point by point, and what comes of it (M) transformed back. The
backward pass transforms the gradient once (dM) and multiplies twice: by V for that of the weights, by U for
that of the pixels.

    V   (point, tile, C)                M   (point, tile, LANES), a vector of filters at a time
    U   (K / LANES, point, C, LANES)    dM  (point, tile, K)
    U'  (C / LANES, point, K, LANES)    dV  (point, tile, LANES), a vector of channels at a time; dU as U'

Where the tiles of a whole step go together, as those of small batches do, one part each of U, U' and dU has
room enough: a part is made, or turned to dweight, while the second cache has it.

The point 1 of both axes takes part in all positions alike: there the bias is added, and the gradient summed.
x lies in a frame of zeros, of whole tiles; what a tile has beyond the last position is left out.
"""

import numpy as np

from cnn_core.kernels.conv2d import pack_conv2d
from cnn_core.kernels.operations.conv2d import frame, unframe
from cnn_core.kernels.operations.operation import Columns, Operation, Pass, Room, align, compiled
from cnn_core.kernels.simd import LANES, add, fill, load, part, store
from cnn_core.kernels.tile import (
    EIGHT,
    add_fetched,
    add_to_array,
    fill_tile,
    first_eight,
    first_four,
    load_tile,
    spread,
    store_tile,
)
from cnn_core.kernels.winograd import (
    POINTS,
    SIDE,
    add_pixels_back,
    transform_pixels,
    transform_sums,
    transform_sums_back,
    transform_weights,
    transform_weights_back,
)
from cnn_core.layers import Conv2d

TILES = 48
"""How many go together at most, so many that it is worth while to load the weights."""
ONE = SIDE + 1
"""The point 1 of both axes."""


@compiled
def prepare(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """U; for training U' too. Where a step's tiles all go together, they are made where they are used."""
    memory, packed, taps = state.memory, part(state.memory, op.packed), op.size * op.size
    at_once = training and last <= state.chunk and last * op.tile_rows * op.tile_columns <= TILES
    memory[op.at_once] = 1 if at_once else 0
    memory[op.fresh] = 1
    pack_conv2d(part(memory, op.weight), part(memory, op.bias), op.k, taps * op.c, np.int64(0), op.k, packed)
    if at_once:
        return
    for k in range(0, op.k, LANES):
        _transform_filters(op, memory, k, op.u + k // LANES * POINTS * op.u_pitch)
    if training and op.wants_dx:
        for c in range(0, op.c, LANES):
            _transform_channels(op, memory, c, op.u_turned + c // LANES * POINTS * op.turned_pitch)


@compiled
def forward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill y."""
    memory = state.memory
    if op.framed != op.x:
        frame(op, memory, first, last)
    tiles, at_once = op.tile_rows * op.tile_columns, memory[op.at_once] > 0
    for begin in range(first * tiles, last * tiles, TILES):
        count = min(TILES, last * tiles - begin)
        _transform_pixels(op, memory, begin, count)
        for k in range(0, op.k, LANES):
            filters = op.u + (0 if at_once else k // LANES * POINTS * op.u_pitch)
            if at_once:
                _transform_filters(op, memory, k, filters)
            for point in range(POINTS):
                start = fill(load(memory, 0), np.float32(0))
                if point == ONE:
                    start = load(memory, op.bias + k)
                v, m = op.v + point * op.v_pitch, op.m + point * op.m_pitch
                _multiply(memory, v, count, op.c, filters + point * op.u_pitch, start, m)
            for tile in range(count):
                image, row, column = _place(op, begin + tile)
                source, y = op.m + tile * LANES, op.y + image * op.y_size + k
                at = y + (row * op.q + column) * op.k
                if row + op.out <= op.p and column + op.out <= op.q:
                    _transform_sums(op, memory, source, at, op.q * op.k, op.k)
                else:
                    _transform_sums(op, memory, source, op.partial, op.out * LANES, LANES)
                    for i in range(min(op.out, op.p - row)):
                        for j in range(min(op.out, op.q - column)):
                            value = load(memory, op.partial + (i * op.out + j) * LANES)
                            store(memory, at + (i * op.q + j) * op.k, value)


@compiled
def backward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Add to the sums of dU and dbias; fill dx, if a layer before wants it."""
    memory = state.memory
    zero = fill(load(memory, 0), np.float32(0))
    tiles, at_once = op.tile_rows * op.tile_columns, memory[op.at_once] > 0
    if op.wants_dx:
        for i in range(first * op.framed_size, last * op.framed_size, LANES):
            store(memory, op.dframed + i, zero)
    for begin in range(first * tiles, last * tiles, TILES):
        count = min(TILES, last * tiles - begin)
        _transform_pixels(op, memory, begin, count)
        for tile in range(count):
            _transform_gradient(op, memory, begin + tile, op.dm + tile * op.k)
        fresh = memory[op.fresh] > 0  # what the sums have is of the step before
        memory[op.fresh] = 0
        for k in range(0, op.k, LANES):
            total = zero if fresh else load(memory, op.dpacked + k)
            for tile in range(count):
                total = add(total, load(memory, op.dm + ONE * op.dm_pitch + tile * op.k + k))
            store(memory, op.dpacked + k, total)
        for c in range(0, op.c, LANES):
            sums = op.du + (0 if at_once else c // LANES * POINTS * op.turned_pitch)
            for point in range(POINTS):
                dm, v = op.dm + point * op.dm_pitch, op.v + point * op.v_pitch + c
                _add_products(memory, dm, op.k, count, v, op.c, sums + point * op.turned_pitch, fresh)
            if at_once:
                _fill_dweight(op, memory, c, sums)
        if op.wants_dx:
            for c in range(0, op.c, LANES):
                channels = op.u_turned + (0 if at_once else c // LANES * POINTS * op.turned_pitch)
                if at_once:
                    _transform_channels(op, memory, c, channels)
                for point in range(POINTS):
                    dm, dv = op.dm + point * op.dm_pitch, op.m + point * op.m_pitch
                    _multiply(memory, dm, count, op.k, channels + point * op.turned_pitch, zero, dv)
                for tile in range(count):
                    image, row, column = _place(op, begin + tile)
                    add_pixels_back(
                        memory, op.m + tile * LANES, SIDE * op.m_pitch, op.m_pitch,
                        memory, op.dframed + image * op.framed_size + row * op.pitch + column * op.c + c,
                        op.pitch, op.c,
                    )  # fmt: skip
    if op.wants_dx and op.dframed != op.dx:
        for image in range(first, last):
            unframe(op, memory, part(memory, op.dframed + image * op.framed_size), image)


@compiled
def finish(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """dweight and dbias from their sums."""
    memory = state.memory
    if memory[op.at_once] == 0:
        for c in range(0, op.c, LANES):
            _fill_dweight(op, memory, c, op.du + c // LANES * POINTS * op.turned_pitch)
    for k in range(0, op.k, LANES):
        store(memory, op.dbias + k, load(memory, op.dpacked + k))


@compiled
def _transform_filters(op, memory, k, to):  # type: ignore[no-untyped-def]
    """U of a vector of filters."""
    packed = part(memory, op.packed)
    for c in range(op.c):
        _transform_weights(
            op, packed, c * op.k + k, op.size * op.c * op.k, op.c * op.k,
            memory, to + c * LANES, SIDE * op.u_pitch, op.u_pitch,
        )  # fmt: skip


@compiled
def _transform_channels(op, memory, c, to):  # type: ignore[no-untyped-def]
    """U' of a vector of channels."""
    for k in range(op.k):
        _transform_weights(
            op, memory, op.weight + k * op.size * op.size * op.c + c, op.size * op.c, op.c,
            memory, to + k * LANES, SIDE * op.turned_pitch, op.turned_pitch,
        )  # fmt: skip


@compiled
def _fill_dweight(op, memory, c, sums):  # type: ignore[no-untyped-def]
    """dweight of a vector of channels, from dU."""
    step = SIDE * op.turned_pitch
    for k in range(op.k):
        source, to = sums + k * LANES, op.dweight + k * op.size * op.size * op.c + c
        if op.size == 3:
            transform_weights_back(3, memory, source, step, op.turned_pitch, memory, to, 3 * op.c, op.c)
        else:
            transform_weights_back(5, memory, source, step, op.turned_pitch, memory, to, 5 * op.c, op.c)


@compiled
def _place(op, tile):  # type: ignore[no-untyped-def]
    """Image, row and column where a tile begins."""
    tiles = op.tile_rows * op.tile_columns
    image, rest = tile // tiles, tile % tiles
    return image, rest // op.tile_columns * op.out, rest % op.tile_columns * op.out


@compiled
def _transform_pixels(op, memory, begin, count):  # type: ignore[no-untyped-def]
    """V of so many tiles."""
    for tile in range(count):
        image, row, column = _place(op, begin + tile)
        at = op.framed + image * op.framed_size + row * op.pitch + column * op.c
        for c in range(0, op.c, LANES):
            transform_pixels(
                memory, at + c, op.pitch, op.c,
                memory, op.v + tile * op.c + c, SIDE * op.v_pitch, op.v_pitch,
            )  # fmt: skip


@compiled
def _transform_gradient(op, memory, tile, to):  # type: ignore[no-untyped-def]
    """dM of a tile."""
    image, row, column = _place(op, tile)
    at = op.dy + image * op.y_size + (row * op.q + column) * op.k
    zero = fill(load(memory, 0), np.float32(0))
    whole = row + op.out <= op.p and column + op.out <= op.q
    for k in range(0, op.k, LANES):
        if whole:
            _transform_sums_back(op, memory, at + k, op.q * op.k, op.k, to + k)
        else:
            for i in range(op.out):
                for j in range(op.out):
                    inside = row + i < op.p and column + j < op.q
                    value = load(memory, at + k + (i * op.q + j) * op.k) if inside else zero
                    store(memory, op.partial + (i * op.out + j) * LANES, value)
            _transform_sums_back(op, memory, op.partial, op.out * LANES, LANES, to + k)


@compiled
def _transform_weights(op, source, at, row, column, memory, to, to_row, to_column):  # type: ignore[no-untyped-def]
    """U of a channel and a vector of filters, or the other way round."""
    if op.size == 3:
        transform_weights(3, source, at, row, column, memory, to, to_row, to_column)
    else:
        transform_weights(5, source, at, row, column, memory, to, to_row, to_column)


@compiled
def _transform_sums(op, memory, source, to, row, column):  # type: ignore[no-untyped-def]
    """Y of a tile."""
    if op.size == 3:
        transform_sums(4, memory, source, SIDE * op.m_pitch, op.m_pitch, memory, to, row, column)
    else:
        transform_sums(2, memory, source, SIDE * op.m_pitch, op.m_pitch, memory, to, row, column)


@compiled
def _transform_sums_back(op, memory, source, row, column, to):  # type: ignore[no-untyped-def]
    """dM of a tile."""
    if op.size == 3:
        transform_sums_back(4, memory, source, row, column, memory, to, SIDE * op.dm_pitch, op.dm_pitch)
    else:
        transform_sums_back(2, memory, source, row, column, memory, to, SIDE * op.dm_pitch, op.dm_pitch)


@compiled
def _multiply(memory, a_at, rows, steps, b_at, start, c_at):  # type: ignore[no-untyped-def]
    """c = start + a b. Shapes: a (rows, steps); b (steps, LANES); c (rows, LANES)."""
    if rows <= 4:
        few = first_four(0, rows - 1)
        sources, targets = spread(few, a_at, steps), spread(few, c_at, LANES)
        even, odd = fill_tile(start, few), fill_tile(fill(start, np.float32(0)), few)
        for t in range(0, steps, 2):
            even = add_fetched(even, memory, sources, t, None, load(memory, b_at + t * LANES))
            odd = add_fetched(odd, memory, sources, t + 1, None, load(memory, b_at + (t + 1) * LANES))
        store_tile(memory, targets, even)
        add_to_array(memory, targets, odd, rows, None, few)
        return
    for first in range(0, rows, EIGHT):
        own = first_eight(first, rows - 1)
        places, sums = spread(own, a_at, steps), fill_tile(start, own)
        for t in range(steps):
            sums = add_fetched(sums, memory, places, t, None, load(memory, b_at + t * LANES))
        store_tile(memory, spread(own, c_at, LANES), sums)


@compiled
def _add_products(memory, a_at, rows, steps, b_at, b_step, c_at, fresh):  # type: ignore[no-untyped-def]
    """c += a^T b, or = where it is `fresh`. Shapes: a (steps, rows); b (steps, LANES); c (rows, LANES)."""
    zero = fill(load(memory, 0), np.float32(0))
    for first in range(0, rows, EIGHT):
        own = first_eight(first, rows - 1)
        places, to = spread(own, a_at, 1), spread(own, c_at, LANES)
        sums = fill_tile(zero, own) if fresh else load_tile(memory, to)
        for t in range(steps):
            sums = add_fetched(sums, memory, places, t * rows, None, load(memory, b_at + t * b_step))
        store_tile(memory, to, sums)


def columns(layer: Conv2d, room: Room) -> Columns:
    (h, w, c), (p, q, k) = room.before, room.after
    out, edge = SIDE + 1 - layer.size, layer.size - 1
    tile_rows, tile_columns = -(-p // out), -(-q // out)
    rows, pitch = tile_rows * out + edge, (tile_columns * out + edge) * c
    # A cache line more: steps of a power of 2 would meet in the same place of the cache.
    v_pitch, m_pitch, dm_pitch = (TILES * width + LANES for width in (c, LANES, k))
    u_pitch, turned_pitch = (LANES * width + LANES for width in (c, k))
    found = {
        "size": layer.size, "stride": 1, "padding": layer.padding, "pitch": pitch,
        "together": -(-TILES // (tile_rows * tile_columns)),
        "out": out, "tile_rows": tile_rows, "tile_columns": tile_columns,
        "v_pitch": v_pitch, "m_pitch": m_pitch, "dm_pitch": dm_pitch,
        "u_pitch": u_pitch, "turned_pitch": turned_pitch,
        "packed": room.numbers((layer.size**2 * c + 1) * k), "dpacked": room.numbers(k),
        "u": room.numbers(POINTS * u_pitch * (k // LANES)),
        "du": room.numbers(POINTS * turned_pitch * (c // LANES)),
        "v": room.numbers(POINTS * v_pitch), "m": room.numbers(POINTS * m_pitch),
        "dm": room.numbers(POINTS * dm_pitch), "partial": room.numbers(out * out * LANES),
        "fresh": room.numbers(1), "at_once": room.numbers(1),
    }  # fmt: skip
    if room.wants_dx:
        found["u_turned"] = room.numbers(POINTS * turned_pitch * (c // LANES))
    if (rows, pitch) != (h, w * c):
        size = align(rows * pitch)
        found |= {"framed": room.numbers_per_image(size), "framed_size": size}
        if room.wants_dx:
            found["dframed"] = room.numbers_per_image(size)
    return found


WINOGRAD_CONV2D = Operation((Pass(forward, backward),), columns, prepare, finish)
