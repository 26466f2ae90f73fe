"""Convolution of any size, stride and padding, by the tiles of kernels/conv2d.py and its tables of offsets.

    y[n,p,q,k] = bias[k] + sum over i,j,c of weight[k,i,j,c] x[n, p stride + i, q stride + j, c]

With padding, x is first copied into a frame of zeros. Forward pass and dweight are sums over taps and over
places, ten vectors of filters at a time; dx goes from each place to the rows of x that its window covers,
with the weights in rows of whole vectors, zeros behind them.

Tables: places (where the window of each output position begins), taps (how far from there each of the
T = R R C is), row_x and row_w (how far from a window's and a filter's beginning each vector of their rows
is), bases (where each filter's rows begin), turns (places in an order in which neighbours do not overlap: to
add to what was just written is to wait until it is there).
"""

import numpy as np

from cnn_core.kernels.conv2d import add_tiles, pack_conv2d
from cnn_core.kernels.operations.operation import Columns, Operation, Pass, Room, align, compiled
from cnn_core.kernels.simd import LANES, add, fill, load, part, splat, store
from cnn_core.kernels.tile import (
    TILE,
    add_loaded,
    first_places,
    load_tile,
    look_up,
    spread,
    store_tile,
)
from cnn_core.layers import Conv2d

FILTERS = 32
"""Whose weights stay in the first cache while dx is made. 64 channels, 128 filters: 224 us back, not 279."""


@compiled
def prepare(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Lay the weights out for both passes; begin the sums of dweight at 0."""
    memory, taps = state.memory, op.size * op.size * op.c
    weight, packed = part(memory, op.weight), part(memory, op.packed)
    pack_conv2d(weight, part(memory, op.bias), op.k, taps, np.int64(0), op.width, packed)
    if training:
        begin_gradient(op, memory)


@compiled
def begin_gradient(op, memory):  # type: ignore[no-untyped-def]
    """The sums of dweight at 0; weights in rows of whole vectors, for dx."""
    taps, run = op.size * op.size * op.c, op.size * op.c
    zero = fill(load(memory, 0), np.float32(0))
    for i in range(0, (taps + 1) * op.width, LANES):
        store(memory, op.dpacked + i, zero)
    if op.wants_dx:
        to = op.frames
        row = -(-run // LANES) * LANES
        for i in range(op.k * op.size):
            for j in range(run):
                memory[to + i * row + j] = memory[op.weight + i * run + j]


@compiled
def forward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill y. Filters from the last ones on: what is written beyond them belongs to the next position."""
    memory, offsets = state.memory, state.offsets
    places, taps, packed = part(offsets, op.places), part(offsets, op.taps), part(memory, op.packed)
    places_n, taps_n = op.p * op.q, op.size * op.size * op.c
    if op.padding:
        frame(op, memory, first, last)
    x, y = part(memory, op.framed), part(memory, op.y)
    for image in range(first, last):
        for k in range(op.width - LANES, -1, -LANES):
            add_tiles(
                x, image * op.framed_size, places, places_n, taps, taps_n, packed, k, op.width,
                packed, taps_n * op.width + k, np.int64(0), y, image * op.y_size + k, op.k, None,
            )  # fmt: skip


@compiled
def backward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Add to the sums of dweight and dbias; fill dx, if a layer before wants it."""
    memory, offsets = state.memory, state.offsets
    places, taps, dpacked = part(offsets, op.places), part(offsets, op.taps), part(memory, op.dpacked)
    places_n, taps_n = op.p * op.q, op.size * op.size * op.c
    x, dy = part(memory, op.framed), part(memory, op.dy)
    for image in range(first, last):
        for k in range(0, op.width, LANES):
            at = image * op.y_size + k
            add_tiles(
                x, image * op.framed_size, taps, taps_n, places, places_n, dy, at, op.k,
                dpacked, k, op.width, dpacked, k, op.width, None,
            )  # fmt: skip
            total = load(dpacked, taps_n * op.width + k)
            other = fill(total, np.float32(0))
            for place in range(0, places_n - 1, 2):
                total = add(total, load(dy, at + place * op.k))
                other = add(other, load(dy, at + (place + 1) * op.k))
            if places_n % 2:
                total = add(total, load(dy, at + (places_n - 1) * op.k))
            store(dpacked, taps_n * op.width + k, add(total, other))
    if op.wants_dx:
        for image in range(first, last):
            fill_dx(op, state, image)


@compiled
def fill_dx(op, state, image):  # type: ignore[no-untyped-def]
    """dx of one image, by way of one in a frame if there is padding."""
    memory, offsets = state.memory, state.offsets
    places, row_x, row_w = part(offsets, op.places), part(offsets, op.row_x), part(offsets, op.row_w)
    bases, frames, turns = part(offsets, op.bases), part(memory, op.frames), part(offsets, op.turns)
    at = op.dframed if op.padding else op.dx + image * op.x_size
    dx = part(memory, at)
    zero = fill(load(memory, 0), np.float32(0))
    for i in range(0, (op.h + 2 * op.padding) * op.pitch, LANES):
        store(dx, i, zero)
    dy = op.dy + image * op.y_size
    for first in range(0, op.rows_n, TILE):
        own = first_places(first, op.rows_n - 1)
        sources, targets = look_up(row_w, own, 0), look_up(row_x, own, 0)
        for some in range(0, op.k, FILTERS):
            for turn in range(op.p * op.q):
                place = turns[turn]
                rows = spread(targets, places[place], 1)
                sums = load_tile(dx, rows)
                for k in range(some, min(some + FILTERS, op.k)):
                    value = splat(memory, dy + place * op.k + k)
                    sums = add_loaded(sums, frames, sources, bases[k], value)
                store_tile(dx, rows, sums)
    if op.padding:
        unframe(op, memory, dx, image)


@compiled
def unframe(op, memory, framed, image):  # type: ignore[no-untyped-def]
    """Copy one image's dx out of its frame."""
    run = op.w * op.c
    for row in range(op.h):
        source = (row + op.padding) * op.pitch + op.padding * op.c
        to = op.dx + image * op.x_size + row * run
        for i in range(0, run, LANES):
            store(memory, to + i, load(framed, source + i))


@compiled
def frame(op, memory, first, last):  # type: ignore[no-untyped-def]
    """Copy x into its frame. Beyond a row's end nothing may be written: zeros are there."""
    run = op.w * op.c
    whole = run - run % LANES
    for image in range(first, last):
        for row in range(op.h):
            source = op.x + image * op.x_size + row * run
            to = op.framed + image * op.framed_size + (row + op.padding) * op.pitch + op.padding * op.c
            for i in range(0, whole, LANES):
                store(memory, to + i, load(memory, source + i))
            for i in range(whole, run):
                memory[to + i] = memory[source + i]


@compiled
def finish(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """dweight and dbias from their sums."""
    memory = state.memory
    taps = op.size * op.size * op.c
    for k in range(op.k):
        for t in range(taps):
            memory[op.dweight + k * taps + t] = memory[op.dpacked + t * op.width + k]
        memory[op.dbias + k] = memory[op.dpacked + taps * op.width + k]


def columns(layer: Conv2d, room: Room) -> Columns:
    (h, w, c), (p, q, k) = room.before, room.after
    size, stride, padding = layer.size, layer.stride, layer.padding
    pitch, width, run = (w + 2 * padding) * c, align(k, LANES), size * c
    row, taps = align(run, LANES), size * size * c
    vectors = [(i, v) for i in range(size) for v in range(0, run, LANES)]
    found = {
        "size": size, "stride": stride, "padding": padding, "pitch": pitch, "width": width,
        "packed": room.numbers((taps + 1) * width), "dpacked": room.numbers((taps + 1) * width),
        "places": room.table([stride * (a * pitch + b * c) for a in range(p) for b in range(q)]),
        "taps": room.table(
            [i * pitch + j * c + t for i in range(size) for j in range(size) for t in range(c)]
        ),
        "rows_n": len(vectors),
    }  # fmt: skip
    if padding:
        framed = align((h + 2 * padding) * pitch)
        found |= {"framed": room.numbers_per_image(framed), "framed_size": framed}
    if room.wants_dx:
        found |= {
            "frames": room.numbers(k * size * row),
            "row_x": room.table([i * pitch + v for i, v in vectors]),
            "row_w": room.table([i * row + v for i, v in vectors]),
            "bases": room.table([number * size * row for number in range(k)]),
            "turns": room.table(
                [
                    a * q + b
                    for i in range(size)
                    for j in range(size)
                    for a in range(i, p, size)
                    for b in range(j, q, size)
                ]
            ),
        }
        if padding:
            found["dframed"] = room.numbers((h + 2 * padding) * pitch)
    return found


CONV2D = Operation((Pass(forward, backward),), columns, prepare, finish)
