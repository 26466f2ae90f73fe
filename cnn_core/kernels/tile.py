"""A tile: the vectors, TILE as a rule, that a sum of products keeps in registers, as one value.

    own = first_places(first, last)
    sums = load_tile(start, own)
    for t in range(steps):
        sums = add_loaded(sums, a, own, bases[t], splat(b, t))
    store_tile(c, own, sums)

Places are as many indices of an array, one for each vector. Both are tuples to numba; LLVM takes them apart,
and keeps each part in a register. As in simd.py, no bounds are checked.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from cnn_core.kernels.simd import LANES, Vector, add, fetch, fma, load, store, store_first

TILE = 10
"""FMA takes 4 cycles and 2 start in each, so 8 sums at least."""

EIGHT = 8
NINE = 9
"""Where what is added up comes in multiples of these: no row of a tile is in vain."""


@intrinsic
def first_places(_typing, first, last):  # type: ignore[no-untyped-def]
    """first, first + 1, ...: TILE of them; past `last`, `last` again."""
    return _first(TILE)


@intrinsic
def first_eight(_typing, first, last):  # type: ignore[no-untyped-def]
    """The same, EIGHT of them: with these a tile has as many vectors."""
    return _first(EIGHT)


@intrinsic
def first_four(_typing, first, last):  # type: ignore[no-untyped-def]
    """The same, four of them: two such tiles at a time are eight sums."""
    return _first(4)


@intrinsic
def first_nine(_typing, first, last):  # type: ignore[no-untyped-def]
    """The same, nine of them."""
    return _first(NINE)


@intrinsic
def spread(_typing, places, start, step):  # type: ignore[no-untyped-def]
    """start + step place, for each."""

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        def place(row: int) -> Any:
            return builder.add(args[1], builder.mul(builder.extract_value(args[0], row), args[2]))

        return pack(context, builder, places, place)

    return places(places, types.intp, types.intp), codegen


@intrinsic
def look_up(_typing, table, places, start):  # type: ignore[no-untyped-def]
    """start + table[place], for each."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        data = context.make_array(signature.args[0])(context, builder, args[0]).data

        def place(row: int) -> Any:
            found = builder.load(builder.gep(data, [builder.extract_value(args[1], row)]))
            return builder.add(args[2], found)

        return pack(context, builder, places, place)

    return places(table, places, types.intp), codegen


@intrinsic
def fill_tile(_typing, vector, places):  # type: ignore[no-untyped-def]
    """The tile whose vectors, one for each place, are all `vector`."""
    kind = types.UniTuple(vector, places.count)
    return kind(vector, places), lambda context, builder, _, args: pack(
        context, builder, kind, lambda _: args[0]
    )


@intrinsic
def load_tile(_typing, array, places):  # type: ignore[no-untyped-def]
    """The vectors that begin at each place of the array."""
    kind = types.UniTuple(Vector(array.dtype, LANES), places.count)
    loader = operation(load, array, types.intp)

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        def vector(row: int) -> Any:
            return loader(context, builder, args[0], builder.extract_value(args[1], row))

        return pack(context, builder, kind, vector)

    return kind(array, places), codegen


@intrinsic
def add_fetched(_typing, sums, a, places, base, paired, b):  # type: ignore[no-untyped-def]
    """sum + fetch(a, base + place, paired) b, for each; see `simd.fetch`."""
    fetcher, adder = operation(fetch, a, types.intp, paired), operation(fma, b, b, b)

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        def vector(row: int) -> Any:
            at = builder.add(args[3], builder.extract_value(args[2], row))
            value = fetcher(context, builder, args[1], at, args[4])
            return adder(context, builder, value, args[5], builder.extract_value(args[0], row))

        return pack(context, builder, sums, vector)

    return sums(sums, a, places, types.intp, paired, b), codegen


@intrinsic
def add_loaded(_typing, sums, a, places, base, b):  # type: ignore[no-untyped-def]
    """sum + load(a, base + place) b, for each."""
    loader, adder = operation(load, a, types.intp), operation(fma, b, b, b)

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        def vector(row: int) -> Any:
            at = builder.add(args[3], builder.extract_value(args[2], row))
            value = loader(context, builder, args[1], at)
            return adder(context, builder, args[4], value, builder.extract_value(args[0], row))

        return pack(context, builder, sums, vector)

    return sums(sums, a, places, types.intp, b), codegen


@intrinsic
def store_tile(_typing, array, places, sums):  # type: ignore[no-untyped-def]
    """Write each vector to its place."""
    writer = operation(store, array, types.intp, sums.dtype)

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        for row in range(places.count):
            at, value = (builder.extract_value(both, row) for both in args[1:])
            writer(context, builder, args[0], at, value)
        return context.get_dummy_value()

    return types.void(array, places, sums), codegen


@intrinsic
def add_to_array(_typing, array, places, sums, count, lengths, own):  # type: ignore[no-untyped-def]
    """array += sum at its place, for the first `count`; lengths[own] numbers of each vector, all if None."""
    element = sums.dtype
    loader, adder = operation(load, array, types.intp), operation(add, element, element)
    partly = not isinstance(lengths, types.NoneType)
    if partly:
        writer = operation(store_first, array, types.intp, element, types.int64)
    else:
        writer = operation(store, array, types.intp, element)

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        whole, places_, sums_, count_, lengths_, own_ = args
        for row in range(places.count):
            with builder.if_then(builder.icmp_signed("<", ir.Constant(count_.type, row), count_)):
                at, value = builder.extract_value(places_, row), builder.extract_value(sums_, row)
                found = adder(context, builder, loader(context, builder, whole, at), value)
                length = []
                if partly:
                    data = context.make_array(signature.args[4])(context, builder, lengths_).data
                    length = [builder.load(builder.gep(data, [builder.extract_value(own_, row)]))]
                writer(context, builder, whole, at, found, *length)
        return context.get_dummy_value()

    return types.void(array, places, sums, types.intp, lengths, own), codegen


def _first(count: int) -> Any:
    kind = types.UniTuple(types.intp, count)

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        def place(row: int) -> Any:
            index = builder.add(args[0], ir.Constant(args[0].type, row))
            return builder.select(builder.icmp_signed("<", index, args[1]), index, args[1])

        return pack(context, builder, kind, place)

    return kind(types.intp, types.intp), codegen


def operation(function: Any, *kinds: Any) -> Callable[..., Any]:
    """An operation of simd.py on values of these types, to be written into the code of another."""
    signature, codegen = function._defn(None, *kinds)
    return lambda context, builder, *args: codegen(context, builder, signature, args)


def pack(context: Any, builder: Any, kind: Any, value: Callable[[int], Any]) -> Any:
    """The tuple of value(0), value(1), ..."""
    packed = cgutils.get_null_value(context.get_value_type(kind))
    for row in range(kind.count):
        packed = builder.insert_value(packed, value(row), row)
    return packed
