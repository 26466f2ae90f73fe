"""The forward pass of a paired convolution: positions fill the vectors, not filters.

A paired image (kernels/conv2d.py) has each pixel of its upper half beside one of its lower half. A vector
holds HALF columns of it, both halves of each: with few filters there are more positions than filters to fill
vectors with, and what is loaded of the image serves all filters. A tile is

    sums[k, v] = bias[k] + sum over taps t of weight[k, t] x[row, columns of v, t]

for some filters k and vectors v of a row's columns. It is turned around before it is stored, so that what
follows finds the filters of a position side by side. Each sum is made one tap after another: the same bits as
without columns. Half the time of tiles of filters: 1.75 instead of 3.45 us for six 5 x 5 filters on 28 x 28.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cnn_core.kernels.cache import kernel
from cnn_core.kernels.simd import HALF, LANES, Vector, fma, load, splat, store, turn
from cnn_core.kernels.tile import operation, pack

FEW, MOST = (6, 8) if HALF == 8 else (HALF, HALF)
"""Filters of a tile: where so few are enough, or as many as paired convolutions have."""
NARROW, WIDE = 2, 3 if HALF == 8 else 2
"""Its vectors of columns: with MOST filters WIDE ones fill the registers."""


def tiling(filters: int, columns: int, stride: int) -> dict[str, int]:
    """What a table says of it: whether `beside` each other columns can be made, by tiles of which size."""
    vectors = -(-columns // HALF)
    wide = -(-vectors // WIDE) * WIDE <= -(-vectors // NARROW) * NARROW  # makes no more of a row twice
    return {"beside": stride == 1 and columns >= HALF, "few": filters <= FEW, "wide": wide}


@kernel
def forward_columns(op, x, x_at, rows, places, taps, taps_n, packed, y, y_at):  # type: ignore[no-untyped-def]
    """Fill y (rows, op.q, LANES): each filter's two numbers beside each other, zeros behind the last.

    Shapes: x (C, H', W, 2); places (rows op.q,), the windows of each position; packed (T + 1, LANES) as
    `pack_conv2d` made it.
    """
    one = np.int64(1)
    if op.few and op.wide:
        _fill(one, one, x, x_at, rows, op.q, places, taps, taps_n, packed, y, y_at)
    elif op.few:
        _fill(one, None, x, x_at, rows, op.q, places, taps, taps_n, packed, y, y_at)
    elif op.wide:
        _fill(None, one, x, x_at, rows, op.q, places, taps, taps_n, packed, y, y_at)
    else:
        _fill(None, None, x, x_at, rows, op.q, places, taps, taps_n, packed, y, y_at)


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
