"""Convolution to few filters, which would leave half of each vector empty: two positions share it.

As in the engine's first convolution (kernels/conv2d.py): even lanes belong to a position in the upper half of
the output, odd ones to that `below` rows under it; x is laid out with the pixels of both side by side,
(C, rows, W, 2). What is computed is that of operations/conv2d.py, and so is dx.
"""

import numpy as np

from cnn_core.kernels.conv2d import add_tiles, pack_conv2d
from cnn_core.kernels.operations import conv2d
from cnn_core.kernels.operations.operation import Columns, Operation, Pass, Room, align, compiled
from cnn_core.kernels.paired import add_to_weights, forward_columns, tiling
from cnn_core.kernels.simd import (
    HALF,
    LANES,
    add,
    evens,
    fill,
    interleave,
    load,
    load_half,
    odds,
    part,
    store,
)
from cnn_core.layers import Conv2d


@compiled
def prepare(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Lay the weights out for both passes; begin the sums of dweight at 0."""
    memory, taps = state.memory, op.size * op.size * op.c
    pack_conv2d(
        part(memory, op.weight),
        part(memory, op.bias),
        op.k,
        taps,
        np.int64(1),
        LANES,
        part(memory, op.packed),
    )
    if training:
        conv2d.begin_gradient(op, memory)


@compiled
def forward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Fill y, each half in its order: what is written beyond the filters belongs to the next position."""
    memory, offsets = state.memory, state.offsets
    places, taps = part(offsets, op.paired_places), part(offsets, op.taps)
    packed, both = part(memory, op.packed), part(memory, op.both)
    places_n, taps_n = op.below * op.q, op.size * op.size * op.c
    x = part(memory, op.framed)
    for image in range(first, last):
        _pair(op, memory, image)
        framed = image * op.framed_size
        if op.beside:
            forward_columns(
                op.few, op.wide, op.q, x, framed, op.below, places, taps, taps_n, packed, both, np.int64(0)
            )
        else:
            add_tiles(
                x, framed, places, places_n, taps, taps_n, packed, 0, LANES,
                packed, taps_n * LANES, np.int64(0), both, 0, LANES, np.int64(1),
            )  # fmt: skip
        upper = op.y + image * op.y_size
        for place in range(places_n):
            store(memory, upper + place * op.k, evens(load(both, place * LANES)))
        lower = upper + places_n * op.k
        for place in range((op.p - op.below) * op.q):
            store(memory, lower + place * op.k, odds(load(both, place * LANES)))


@compiled
def backward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Add to the sums of dweight and dbias; fill dx, if a layer before wants it."""
    memory, offsets = state.memory, state.offsets
    places, taps, dpacked = part(offsets, op.paired_places), part(offsets, op.taps), part(memory, op.dpacked)
    places_n, taps_n = op.below * op.q, op.size * op.size * op.c
    x, both = part(memory, op.framed), part(memory, op.both)
    whole = (op.p - op.below) * op.q
    nothing = evens(fill(load(memory, 0), np.float32(0)))
    for image in range(first, last):
        total = load(dpacked, taps_n * LANES)
        upper = op.dy + image * op.y_size
        lower = upper + places_n * op.k
        for place in range(places_n):
            below = load_half(memory, lower + place * op.k) if place < whole else nothing
            dy = interleave(load_half(memory, upper + place * op.k), below)
            total = add(total, dy)
            store(both, place * LANES, dy)
        store(dpacked, taps_n * LANES, total)
        if op.beside_back:
            add_to_weights(
                op.size, op.c, op.q, x, image * op.framed_size, op.below, places, taps,
                both, np.int64(0), dpacked,
            )  # fmt: skip
        else:
            add_tiles(
                x, image * op.framed_size, taps, taps_n, places, places_n, both, 0, LANES,
                dpacked, 0, LANES, dpacked, 0, LANES, np.int64(1),
            )  # fmt: skip
        if op.wants_dx:
            conv2d.fill_dx(op, state, image)


@compiled
def _pair(op, memory, image):  # type: ignore[no-untyped-def]
    """Lay an image out; around it are zeros already."""
    source = op.x + image * op.x_size
    for c in range(op.c):
        for row in range(op.rows):
            to = op.framed + image * op.framed_size + (c * op.rows + row) * op.paired_pitch + 2 * op.padding
            upper = row - op.padding
            lower = upper + op.below * op.stride
            if op.c == 1 and upper >= 0 and lower < op.h and op.w >= HALF:
                for w in range(0, op.w, HALF):
                    w = min(w, op.w - HALF)
                    above = load_half(memory, source + upper * op.w + w)
                    store(memory, to + 2 * w, interleave(above, load_half(memory, source + lower * op.w + w)))
                continue
            if 0 <= upper < op.h:
                for w in range(op.w):
                    memory[to + 2 * w] = memory[source + (upper * op.w + w) * op.c + c]
            if 0 <= lower < op.h:
                for w in range(op.w):
                    memory[to + 2 * w + 1] = memory[source + (lower * op.w + w) * op.c + c]


@compiled
def finish(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """dweight and dbias from their sums: of each filter two."""
    memory = state.memory
    taps = op.size * op.size * op.c
    for k in range(op.k):
        for t in range(taps):
            at = op.dpacked + t * LANES + 2 * k
            memory[op.dweight + k * taps + t] = memory[at] + memory[at + 1]
        at = op.dpacked + taps * LANES + 2 * k
        memory[op.dbias + k] = memory[at] + memory[at + 1]


def columns(layer: Conv2d, room: Room) -> Columns:
    (_, w, c), (p, q, _) = room.before, room.after
    size, stride = layer.size, layer.stride
    below, pitch = -(-p // 2), 2 * (w + 2 * layer.padding)
    rows = (below - 1) * stride + size
    framed = align(c * rows * pitch)
    plane = rows * pitch
    return {
        **conv2d.columns(layer, room),
        **tiling(layer.filters, q, size, stride),
        "below": below, "rows": rows, "paired_pitch": pitch, "framed_size": framed,
        "framed": room.numbers_per_image(framed), "both": room.numbers(below * q * LANES),
        "paired_places": room.table(
            [stride * (a * pitch + 2 * b) for a in range(below) for b in range(q)]
        ),
        "taps": room.table(
            [i * pitch + 2 * j + t * plane for i in range(size) for j in range(size) for t in range(c)]
        ),
    }  # fmt: skip


PAIRED_CONV2D = Operation((Pass(forward, backward),), columns, prepare, finish)
