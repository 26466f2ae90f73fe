"""Vectors for compiled functions: `LANES` numbers that the CPU treats as one.

numba compiles loops and leaves it to LLVM to find vectors in them, which it does for long plain loops and not
for short ones with several sums at once. Here a vector is a value like any other, so that a kernel says what
is kept in registers: `sum0 = fma(splat(x, i), load(weight, j), sum0)`.

`load` and `store` take a flat array and an index, and check no bounds: a kernel may read, and write zeros or
what is overwritten later, up to a vector past what is its own; every array has `SLACK` numbers behind its
last one. A *half* is a vector of `HALF` numbers.
Sums within a vector are made in one fixed order, so that equal inputs give equal bits.

Longer than other files, as it is one list: each function is an operation and the few lines of LLVM's language
that it stands for, and what they share stands below them.
"""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from numba.np.arrayobj import populate_array


def _has(feature: str) -> bool:
    """Whether numba compiles for a CPU with that: this one, unless its settings name another."""
    if config.CPU_FEATURES is not None:
        return f"+{feature}" in config.CPU_FEATURES.split(",")
    return bool(llvm.get_host_cpu_features().get(feature))


LANES = 16 if _has("avx512f") else 8
"""Numbers a vector: float32 ones fill a register of AVX-512 or AVX, and two of narrower CPUs."""
HALF = LANES // 2
GOLDEN = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio, by which SplitMix64 counts."""
SLACK = 2 * LANES
"""Numbers that every array has behind its last one."""

_INT = ir.IntType(32)


class Vector(types.Type):  # type: ignore[misc]
    """The type of `lanes` numbers of one kind."""

    def __init__(self, element: types.Type, lanes: int) -> None:
        self.element, self.lanes = element, lanes
        super().__init__(name=f"Vector({element}, {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Vector) -> None:
        element = manager.lookup(kind.element).get_data_type()
        super().__init__(manager, kind, ir.VectorType(element, kind.lanes))


@intrinsic
def part(_typing, array, start):  # type: ignore[no-untyped-def]
    """The flat array from `start` on, as a view that owns nothing.

    A slice would count its references, atomically: with a dozen of them an operation, a third of a step.
    """

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        whole = context.make_array(array)(context, builder, args[0])
        view = context.make_array(array)(context, builder)
        size = builder.sub(whole.nitems, args[1])
        populate_array(
            view,
            data=builder.gep(whole.data, [args[1]]),
            shape=cgutils.pack_array(builder, [size]),
            strides=whole.strides,
            itemsize=whole.itemsize,
            meminfo=None,
        )
        return view._getvalue()

    return array(array, types.intp), codegen


@intrinsic
def load(_typing, array, index):  # type: ignore[no-untyped-def]
    """The vector of array[index], array[index + 1], ..."""
    return _loader(array, LANES)


@intrinsic
def load_half(_typing, array, index):  # type: ignore[no-untyped-def]
    """The half of array[index], array[index + 1], ..."""
    return _loader(array, HALF)


@intrinsic
def splat(_typing, array, index):  # type: ignore[no-untyped-def]
    """The vector whose lanes are all array[index]."""
    kind = Vector(array.dtype, LANES)

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return _repeat(builder, builder.load(_pointer(context, builder, signature, args)), LANES)

    return kind(array, types.intp), codegen


@intrinsic
def fetch(_typing, array, index, paired):  # type: ignore[no-untyped-def]
    """`splat`; or, unless `paired` is None, array[index] in the even lanes and the next in the odd ones."""
    kind = Vector(array.dtype, LANES)
    if isinstance(paired, types.NoneType):
        _, codegen = splat._defn(_typing, array, index)

        def load_one(context, builder, signature, args):  # type: ignore[no-untyped-def]
            _keep_order(builder)
            return codegen(context, builder, signature, args[:2])

        return kind(array, types.intp, paired), load_one

    def load_pair(context, builder, signature, args):  # type: ignore[no-untyped-def]
        _keep_order(builder)
        pointer = _pointer(context, builder, signature, args)
        two = builder.load(builder.bitcast(pointer, ir.VectorType(pointer.type.pointee, 2).as_pointer()))
        two.align = array.dtype.bitwidth // 8
        return _shuffle(builder, two, [0, 1] * HALF)

    return kind(array, types.intp, paired), load_pair


@intrinsic
def store(_typing, array, index, value):  # type: ignore[no-untyped-def]
    """Write a vector or a half to array[index], array[index + 1], ..., or its codes to an array of bytes."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pointer = _pointer(context, builder, signature, args)
        vector = args[2]
        if array.dtype != value.element:  # the codes of a maximum: small whole numbers
            element = context.get_value_type(array.dtype)
            vector = builder.fptosi(vector, ir.VectorType(element, value.lanes))
        place = builder.bitcast(pointer, vector.type.as_pointer())
        builder.store(vector, place).align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


@intrinsic
def store_first(_typing, array, index, value, count):  # type: ignore[no-untyped-def]
    """Write the first `count` numbers of a vector, all of them if it has no more."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        vector = args[2]
        pointer = _pointer(context, builder, signature, args)
        place = builder.bitcast(pointer, vector.type.as_pointer())
        lanes = ir.Constant(ir.VectorType(ir.IntType(64), value.lanes), list(range(value.lanes)))
        mask = builder.icmp_signed("<", lanes, _repeat(builder, args[3], value.lanes))
        name = f"llvm.masked.store.v{value.lanes}f{value.element.bitwidth}.p0"
        shape = ir.FunctionType(ir.VoidType(), [vector.type, place.type, _INT, mask.type])
        function = builder.module.globals.get(name) or ir.Function(builder.module, shape, name)
        builder.call(function, [vector, place, ir.Constant(_INT, value.element.bitwidth // 8), mask])
        return context.get_dummy_value()

    return types.void(array, types.intp, value, types.int64), codegen


@intrinsic
def fill(_typing, vector, number):  # type: ignore[no-untyped-def]
    """A vector like `vector` whose lanes are all `number`."""

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        return _repeat(builder, args[1], vector.lanes)

    return vector(vector, vector.element), codegen


@intrinsic
def widen(_typing, vector, number):  # type: ignore[no-untyped-def]
    """The vector with its lanes as numbers of the type of `number` (float64)."""
    wide = Vector(number, vector.lanes)

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        return args[0] if wide == vector else builder.fpext(args[0], context.get_value_type(wide))

    return wide(vector, number), codegen


@intrinsic
def fma(_typing, a, b, c):  # type: ignore[no-untyped-def]
    """a b + c, rounded once where the CPU can."""

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        product = builder.fmul(args[0], args[1], flags=("contract",))
        return builder.fadd(product, args[2], flags=("contract",))

    return a(a, a, a), codegen


@intrinsic
def add(_typing, a, b):  # type: ignore[no-untyped-def]
    """a + b"""
    return a(a, a), lambda _c, builder, _s, args: builder.fadd(*args)


@intrinsic
def subtract(_typing, a, b):  # type: ignore[no-untyped-def]
    """a - b"""
    return a(a, a), lambda _c, builder, _s, args: builder.fsub(*args)


@intrinsic
def multiply(_typing, a, b):  # type: ignore[no-untyped-def]
    """a b"""
    return a(a, a), lambda _c, builder, _s, args: builder.fmul(*args)


@intrinsic
def divide(_typing, a, b):  # type: ignore[no-untyped-def]
    """a / b"""
    return a(a, a), lambda _c, builder, _s, args: builder.fdiv(*args)


@intrinsic
def root(_typing, a):  # type: ignore[no-untyped-def]
    """The square root of a."""

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [args[0].type]), args)

    return a(a), codegen


@intrinsic
def power_of_two(_typing, a):  # type: ignore[no-untyped-def]
    """2^a, for whole numbers from -126 to 127 in float32."""

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        whole = ir.VectorType(_INT, a.lanes)
        exponent = builder.add(builder.fptosi(args[0], whole), ir.Constant(whole, [127] * a.lanes))
        bits = builder.shl(exponent, ir.Constant(whole, [23] * a.lanes))
        return builder.bitcast(bits, args[0].type)

    return a(a), codegen


@intrinsic
def lanes_of(_typing, like):  # type: ignore[no-untyped-def]
    """The vector 0, 1, 2, ..."""

    def codegen(context, _builder, _signature, _args):  # type: ignore[no-untyped-def]
        return ir.Constant(context.get_value_type(like), list(map(float, range(like.lanes))))

    return like(like), codegen


@intrinsic
def where_less(_typing, a, b, yes, no):  # type: ignore[no-untyped-def]
    """`yes` in the lanes where a < b, `no` elsewhere; a NaN is not less than anything."""
    return yes(a, a, yes, yes), _chooser("<")


@intrinsic
def where_equal(_typing, a, b, yes, no):  # type: ignore[no-untyped-def]
    """`yes` in the lanes where a == b, `no` elsewhere."""
    return yes(a, a, yes, yes), _chooser("==")


@intrinsic
def where_nan(_typing, test, yes, no):  # type: ignore[no-untyped-def]
    """`yes` in the lanes where `test` is NaN, `no` elsewhere."""

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        return builder.select(builder.fcmp_unordered("uno", args[0], args[0]), args[1], args[2])

    return yes(test, yes, yes), codegen


@intrinsic
def total(_typing, vector):  # type: ignore[no-untyped-def]
    """The sum of a vector's lanes: halves are added until one number is left."""

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        rest, lanes = args[0], vector.lanes
        while lanes > 1:
            lanes //= 2
            rest = builder.fadd(_slice(builder, rest, 0, lanes), _slice(builder, rest, lanes, lanes))
        return builder.extract_element(rest, ir.Constant(_INT, 0))

    return vector.element(vector), codegen


@intrinsic
def evens(_typing, vector):  # type: ignore[no-untyped-def]
    """The half that is a vector's lanes 0, 2, 4, ..."""
    return _every_second(vector, 0)


@intrinsic
def odds(_typing, vector):  # type: ignore[no-untyped-def]
    """The half that is a vector's lanes 1, 3, 5, ..."""
    return _every_second(vector, 1)


@intrinsic
def interleave(_typing, first, second):  # type: ignore[no-untyped-def]
    """The vector with one half in its even lanes and another in its odd ones."""
    vector = Vector(first.element, first.lanes * 2)
    lanes = [lane // 2 + lane % 2 * first.lanes for lane in range(vector.lanes)]

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        return _merge(builder, args[0], args[1], lanes)

    return vector(first, second), codegen


@intrinsic
def transpose(_typing, source, at, step, target, to, pitch):  # type: ignore[no-untyped-def]
    """target[to + t pitch + k] = source[at + k step + t] for k and t below LANES."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source_, at_, step_, target_, to_, pitch_ = args
        rows = []
        for k in range(LANES):
            index = builder.add(at_, builder.mul(step_, ir.Constant(step_.type, k)))
            rows.append(_read(context, builder, signature.args[0], source_, index))
        turn(builder, rows)
        for t, row in enumerate(rows):
            index = builder.add(to_, builder.mul(pitch_, ir.Constant(pitch_.type, t)))
            data = context.make_array(signature.args[3])(context, builder, target_).data
            place = builder.bitcast(builder.gep(data, [index]), row.type.as_pointer())
            builder.store(row, place).align = source.dtype.bitwidth // 8
        return context.get_dummy_value()

    index = types.intp
    return types.void(source, index, index, target, index, index), codegen


@intrinsic
def draw(_typing, key, first, step):  # type: ignore[no-untyped-def]
    """Random bits for the vectors of a window's four positions: 16 for each of their lanes.

    Lane l of position p takes the (l % 4)-th 16 bits of SplitMix64's finaliser (Steele et al., OOPSLA 2014)
    of key + (first + p step + l // 4) 0x9E3779B97F4A7C15. `key` and counters are unsigned, of 64 bits.
    """
    words = LANES // 4
    wide = types.uint64

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        kind = ir.VectorType(ir.IntType(64), 4 * words)

        def constant(value: int) -> Any:
            return ir.Constant(kind, [value] * (4 * words))

        position = ir.Constant(kind, [lane // words for lane in range(4 * words)])
        word = ir.Constant(kind, [lane % words for lane in range(4 * words)])
        key, first, step = args
        golden = ir.Constant(key.type, GOLDEN)
        steps = builder.mul(position, _repeat(builder, step, 4 * words))  # the same in every call of a loop
        begin = _repeat(builder, builder.add(key, builder.mul(first, golden)), 4 * words)
        z = builder.add(begin, builder.mul(builder.add(word, steps), constant(GOLDEN)))
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z = builder.mul(builder.xor(z, builder.lshr(z, constant(shift))), constant(factor))
        z = builder.xor(z, builder.lshr(z, constant(31)))
        return builder.bitcast(z, ir.VectorType(ir.IntType(16), 16 * words))

    return Vector(types.uint16, 16 * words)(wide, wide, wide), codegen


@intrinsic(prefer_literal=True)
def keep(_typing, value, bits, position, threshold):  # type: ignore[no-untyped-def]
    """`value`, with 0 in the lanes whose random bits for that position (0 to 3) are below `threshold`."""
    if not isinstance(position, types.IntegerLiteral):
        return None
    at = position.literal_value

    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        vector, drawn, _, limit = args
        stride = drawn.type.count // 4
        own = _shuffle(builder, drawn, list(range(at * stride, at * stride + vector.type.count)))
        kept = builder.icmp_unsigned(">=", own, _repeat(builder, limit, vector.type.count))
        return builder.select(kept, vector, ir.Constant(vector.type, [0.0] * vector.type.count))

    return value(value, bits, position, types.uint16), codegen


def _loader(array: Any, lanes: int) -> Any:
    kind = Vector(array.dtype, lanes)

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return _read(context, builder, signature.args[0], args[0], args[1], lanes)

    return kind(array, types.intp), codegen


@intrinsic
def load_codes(_typing, codes, index, like):  # type: ignore[no-untyped-def]
    """Codes of one byte at codes[index], ..., as numbers of the kind of `like`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pointer = _pointer(context, builder, signature, args)
        bytes_ = ir.VectorType(ir.IntType(8), like.lanes)
        value = builder.load(builder.bitcast(pointer, bytes_.as_pointer()))
        value.align = 1
        return builder.sitofp(value, context.get_value_type(like))

    return like(codes, types.intp, like), codegen


def turn(builder: Any, rows: list[Any], unit: int = 1) -> None:
    """Transpose LANES / unit vectors, of as many elements of `unit` lanes, in place."""
    distance = 1
    while distance < len(rows):  # swap the off-diagonal blocks of ever larger squares
        far = distance * unit
        near = [i if not i // unit & distance else i + LANES - far for i in range(LANES)]
        next_ = [i + far if not i // unit & distance else i + LANES for i in range(LANES)]
        for k in range(len(rows)):
            if not k & distance:
                one, two = rows[k], rows[k + distance]
                rows[k], rows[k + distance] = (
                    _merge(builder, one, two, near),
                    _merge(builder, one, two, next_),
                )
        distance *= 2


def _keep_order(builder: Any) -> None:
    """Where a load is no part of an FMA, keep LLVM from making ten of them first, into registers it has not.

    No instruction comes of it. 40 instead of 52 us an image when compiled for AVX2; AVX-512 needs none.
    """
    if LANES == 8:
        builder.fence("seq_cst", "singlethread")


def _read(context: Any, builder: Any, kind: Any, array: Any, index: Any, lanes: int = LANES) -> Any:
    pointer = builder.gep(context.make_array(kind)(context, builder, array).data, [index])
    value = builder.load(builder.bitcast(pointer, ir.VectorType(pointer.type.pointee, lanes).as_pointer()))
    value.align = kind.dtype.bitwidth // 8
    return value


def _merge(builder: Any, one: Any, two: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(one, two, ir.Constant(ir.VectorType(_INT, len(lanes)), lanes))


def _pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Where args[0][args[1]] lies."""
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    return builder.gep(data, [args[1]])


def _chooser(relation: str) -> Any:
    def codegen(_context, builder, _signature, args):  # type: ignore[no-untyped-def]
        a, b, yes, no = args
        return builder.select(builder.fcmp_ordered(relation, a, b), yes, no)

    return codegen


def _every_second(vector: Any, first: int) -> Any:
    half, lanes = Vector(vector.element, vector.lanes // 2), list(range(first, vector.lanes, 2))
    return half(vector), lambda _c, builder, _s, args: _shuffle(builder, args[0], lanes)


def _shuffle(builder: Any, vector: Any, lanes: list[int]) -> Any:
    undefined = ir.Constant(vector.type, ir.Undefined)
    return builder.shuffle_vector(vector, undefined, ir.Constant(ir.VectorType(_INT, len(lanes)), lanes))


def _slice(builder: Any, vector: Any, first: int, count: int) -> Any:
    return _shuffle(builder, vector, list(range(first, first + count)))


def _repeat(builder: Any, value: Any, lanes: int) -> Any:
    kind = ir.VectorType(value.type, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(_INT, 0))
    return _shuffle(builder, one, [0] * lanes)
