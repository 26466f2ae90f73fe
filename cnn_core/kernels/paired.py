"""The passes of a paired convolution: what is loaded of an image serves many products.

A paired image (kernels/conv2d.py) has each pixel of its upper half beside one of its lower half. As no
instruction multiplies by a pair in memory, a tile of places or of taps takes a load for each product.

Forward, positions fill the vectors, HALF columns of both halves: with few filters there are more of them. A
tile is, for some filters k and vectors v of a row's columns,

    sums[k, v] = bias[k] + sum over taps t of weight[k, t] x[row, columns of v, t]

and it is turned around before it is stored, so that what follows finds the filters of a position side by
side. Back, a tile has all taps of a channel, and takes neighbouring positions, which share their pixels:

    sums[t] += dy[position] x[position, t]

Each sum is made in the same order as by the other tiles: the same bits. For six 5 x 5 filters on 28 x 28
pixels 1.75 instead of 3.45 us, and 2.2 instead of 3.4 back.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cnn_core.kernels.cache import kernel
from cnn_core.kernels.simd import HALF, LANES, Vector, fetch, fma, load, splat, store, turn
from cnn_core.kernels.tile import operation, pack

FEW, MOST = (6, 8) if HALF == 8 else (HALF, HALF)
"""Filters of a tile: where so few are enough, or as many as paired convolutions have."""
NARROW, WIDE = 2, 3 if HALF == 8 else 2
"""Its vectors of columns: with MOST filters WIDE ones fill the registers."""

SIZES = (3, 5) if LANES == 16 else (3,)
"""Kernels whose taps have room in the registers."""
AT_ONCE = 4
"""Positions of a row that are taken at a time, back."""


def tiling(filters: int, columns: int, size: int, stride: int) -> dict[str, int]:
    """What a table says of it: whether either pass goes `beside`, by tiles of which size forward."""
    vectors = -(-columns // HALF)
    return {
        "beside": stride == 1 and columns >= HALF,
        "beside_back": stride == 1 and size in SIZES,
        "few": filters <= FEW,
        "wide": -(-vectors // WIDE) * WIDE <= -(-vectors // NARROW) * NARROW,  # makes no more of a row twice
    }


@kernel
def forward_columns(  # type: ignore[no-untyped-def]
    few, wide, columns, x, x_at, rows, places, taps, taps_n, packed, y, y_at
):  # fmt: skip
    """Fill y (rows, columns, LANES): each filter's two numbers beside each other, zeros behind the last.

    `few` and `wide` as `tiling` says. No table's row, here and below: engine and loop compile them once.

    Shapes: x (C, H', W, 2); places (rows columns,), the windows of each position; packed (T + 1, LANES) as
    `pack_conv2d` made it.
    """
    one = np.int64(1)
    if few and wide:
        _fill(one, one, x, x_at, rows, columns, places, taps, taps_n, packed, y, y_at)
    elif few:
        _fill(one, None, x, x_at, rows, columns, places, taps, taps_n, packed, y, y_at)
    elif wide:
        _fill(None, one, x, x_at, rows, columns, places, taps, taps_n, packed, y, y_at)
    else:
        _fill(None, None, x, x_at, rows, columns, places, taps, taps_n, packed, y, y_at)


@kernel
def _fill(few, wide, x, x_at, rows, columns, places, taps, taps_n, packed, y, y_at):  # type: ignore[no-untyped-def]
    """`few` is a number for tiles of FEW filters, else None; `wide` one for WIDE vectors."""
    for row in range(rows):
        at, first = x_at + places[row * columns], 0
        while first < columns:
            own = _first_columns(first, columns - HALF, wide)
            sums = _begin(packed, taps_n * LANES, own, few)
            for t in range(taps_n):
                sums = _add_tap(sums, x, at + taps[t], own, packed, t * LANES)
            _store(y, y_at + row * columns * LANES, own, sums)
            first += len(own) * HALF


@kernel
def add_to_weights(  # type: ignore[no-untyped-def]
    size, channels, columns, x, x_at, rows, places, taps, dy, dy_at, dpacked
):  # fmt: skip
    """dpacked += dy x of one image, for weights of 3 x 3 or 5 x 5 taps.

    Shapes: x, places as forward; dy (rows, columns, LANES); dpacked (T, LANES).
    """
    step, pitch = channels * LANES, taps[size * channels]
    for c in range(channels):
        at, to = x_at + taps[c], c * LANES
        if size == 3:
            _add_places(3, columns, x, at, pitch, rows, places, dy, dy_at, dpacked, to, step)
        else:
            _add_places(5, columns, x, at, pitch, rows, places, dy, dy_at, dpacked, to, step)


@kernel
def _add_places(size, columns, x, x_at, pitch, rows, places, dy, dy_at, dpacked, to, step):  # type: ignore[no-untyped-def]
    """The same for one channel, whose taps have dpacked[to], ..., `step` apart."""
    whole = columns - columns % AT_ONCE
    sums = _load_taps(size, dpacked, to, step)
    for row in range(rows):
        at, source = x_at + places[row * columns], dy_at + row * columns * LANES
        for column in range(0, whole, AT_ONCE):
            sums = _add_pixels(size, AT_ONCE, sums, x, at + 2 * column, pitch, dy, source + column * LANES)
        for column in range(whole, columns):
            sums = _add_pixels(size, 1, sums, x, at + 2 * column, pitch, dy, source + column * LANES)
    _store_taps(dpacked, to, step, sums)


@intrinsic
def _first_columns(_typing, first, last, wide):  # type: ignore[no-untyped-def]
    """first, first + HALF, ... for each vector of columns; past `last`, `last` instead."""
    kind = types.UniTuple(types.intp, NARROW if isinstance(wide, types.NoneType) else WIDE)

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        def column(vector: int) -> Any:
            index = builder.add(args[0], ir.Constant(args[0].type, HALF * vector))
            return builder.select(builder.icmp_signed("<", index, args[1]), index, args[1])

        return pack(context, builder, kind, column)

    return kind(types.intp, types.intp, wide), codegen


@intrinsic
def _begin(_typing, packed, at, own, few):  # type: ignore[no-untyped-def]
    """The biases, once for each vector of columns."""
    filters = MOST if isinstance(few, types.NoneType) else FEW
    kind = types.UniTuple(Vector(packed.dtype, LANES), filters * own.count)
    load_weight = operation(splat, packed, types.intp)

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        def bias(number: int) -> Any:
            lane = ir.Constant(args[1].type, number // own.count * 2)
            return load_weight(context, builder, args[0], builder.add(args[1], lane))

        return pack(context, builder, kind, bias)

    return kind(packed, types.intp, own, few), codegen


@intrinsic
def _add_tap(_typing, sums, x, at, own, packed, tap):  # type: ignore[no-untyped-def]
    """sums + weight x of one tap, whose weights are packed[tap], packed[tap + 2], ..."""
    load_pixels, load_weight = operation(load, x, types.intp), operation(splat, packed, types.intp)
    add_product = operation(fma, sums.dtype, sums.dtype, sums.dtype)

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        sums_, x_, at_, own_, packed_, tap_ = args
        pixels, found = [], []
        for vector in range(own.count):
            twice = builder.mul(builder.extract_value(own_, vector), ir.Constant(at_.type, 2))
            pixels.append(load_pixels(context, builder, x_, builder.add(at_, twice)))
        for number in range(sums.count):
            k, vector = divmod(number, own.count)
            if vector == 0:
                at = builder.add(tap_, ir.Constant(tap_.type, 2 * k))
                weight = load_weight(context, builder, packed_, at)
            before = builder.extract_value(sums_, number)
            found.append(add_product(context, builder, pixels[vector], weight, before))
        return pack(context, builder, sums, found.__getitem__)

    return sums(sums, x, types.intp, own, packed, types.intp), codegen


@intrinsic
def _store(_typing, y, at, own, sums):  # type: ignore[no-untyped-def]
    """Turn the sums around and write them: those of a column c to y[at + c LANES]."""
    write = operation(store, y, types.intp, sums.dtype)

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        y_, at_, own_, sums_ = args
        filters = sums.count // own.count
        for vector in range(own.count):
            rows = [builder.extract_value(sums_, k * own.count + vector) for k in range(filters)]
            rows += [ir.Constant(rows[0].type, [0.0] * LANES)] * (HALF - filters)
            turn(builder, rows, unit=2)
            first = builder.mul(builder.extract_value(own_, vector), ir.Constant(at_.type, LANES))
            for column, row in enumerate(rows):
                place = builder.add(first, ir.Constant(at_.type, column * LANES))
                write(context, builder, y_, builder.add(at_, place), row)
        return context.get_dummy_value()

    return types.void(y, types.intp, own, sums), codegen


@intrinsic(prefer_literal=True)
def _load_taps(_typing, size, sums, at, step):  # type: ignore[no-untyped-def]
    """The sums of size x size taps, `step` apart."""
    if not isinstance(size, types.IntegerLiteral):
        return None
    kind = types.UniTuple(Vector(sums.dtype, LANES), size.literal_value**2)
    read = operation(load, sums, types.intp)

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        _, sums_, at_, step_ = args
        return pack(
            context, builder, kind, lambda t: read(context, builder, sums_, _on(builder, at_, step_, t))
        )

    return kind(size, sums, types.intp, types.intp), codegen


@intrinsic
def _store_taps(_typing, target, at, step, sums):  # type: ignore[no-untyped-def]
    """Write them back."""
    write = operation(store, target, types.intp, sums.dtype)

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        target_, at_, step_, sums_ = args
        for t in range(sums.count):
            value = builder.extract_value(sums_, t)
            write(context, builder, target_, _on(builder, at_, step_, t), value)
        return context.get_dummy_value()

    return types.void(target, types.intp, types.intp, sums), codegen


@intrinsic(prefer_literal=True)
def _add_pixels(_typing, size, count, sums, x, at, pitch, dy, dy_at):  # type: ignore[no-untyped-def]
    """sums + dy x of so many neighbouring positions, one after another; the first one sees x[at]."""
    if not (isinstance(size, types.IntegerLiteral) and isinstance(count, types.IntegerLiteral)):
        return None
    side, positions, vector = size.literal_value, count.literal_value, sums.dtype
    read, read_pair = operation(load, dy, types.intp), operation(fetch, x, types.intp, types.int64)
    add_product = operation(fma, vector, vector, vector)

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        _, _, sums_, x_, at_, pitch_, dy_, dy_at_ = args
        one = ir.Constant(at_.type, 1)
        found = [builder.extract_value(sums_, t) for t in range(sums.count)]
        gradients = [
            read(context, builder, dy_, _on(builder, dy_at_, one, p * LANES)) for p in range(positions)
        ]
        for i in range(side):
            row = _on(builder, at_, pitch_, i)
            for column in range(side + positions - 1):
                pixels = read_pair(context, builder, x_, _on(builder, row, one, 2 * column), one)
                for p in range(positions):
                    if 0 <= column - p < side:
                        t = i * side + column - p
                        found[t] = add_product(context, builder, pixels, gradients[p], found[t])
        return pack(context, builder, sums, found.__getitem__)

    index = types.intp
    return sums(size, count, sums, x, index, index, dy, index), codegen


def _on(builder: Any, start: Any, step: Any, number: int) -> Any:
    """start + number step"""
    return builder.add(start, builder.mul(step, ir.Constant(step.type, number)))
