"""Winograd's minimal filtering: what a tile of a convolution needs, by 36 products instead of 144 or 100.

    Y = A^T [(G g G^T) (B^T d B)] A            y = g * d, a tile of it
    dd = B [U dM] B^T,  dg = G^T [V dM] G      with U = G g G^T, V = B^T d B, dM = A dY A^T

d has 6 x 6 pixels, g R x R weights, Y as many positions as are left, 7 - R a side: 4 x 4 for R = 3, 2 x 2 for
R = 5. In brackets, products are taken number by number, and over the channels they are sums of products: 36
products of matrices. A and G evaluate polynomials at the points 0, 1, -1, 2, -2 and infinity. Rounding is
about five times that of the plain sums, 2e-6 of a typical number.
Source: Winograd (1980); Lavin and Gray, "Fast algorithms for convolutional neural networks" (2016).

Each transformation here is one operation on vectors, of a channel a lane:

    transform(source, at, row, column, target, to, target_row, target_column)

reads the numbers (i, j) from source[at + i row + j column] on, and writes what comes of them likewise. How
many numbers a side Y has, or g, is given first, as a literal.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cnn_core.kernels.simd import LANES, Vector, load, store
from cnn_core.kernels.tile import operation

SIDE = 6
"""Rows and columns of d, and of what is multiplied."""
POINTS = SIDE * SIDE
FACTORS = (1 / 4, -1 / 6, -1 / 6, 1 / 24, 1 / 24, 1)
"""One over the products of a point's distances from the others: of Lagrange's interpolation."""


class _Vectors:
    """Sums of vectors, as LLVM's code."""

    def __init__(self, builder: Any, kind: Any) -> None:
        self.builder, self.kind = builder, kind

    def add(self, a: Any, b: Any) -> Any:
        return self.builder.fadd(a, b)

    def sub(self, a: Any, b: Any) -> Any:
        return self.builder.fsub(a, b)

    def scale(self, factor: float, a: Any) -> Any:
        return self.builder.fmul(self._constant(factor), a)

    def fma(self, factor: float, a: Any, b: Any) -> Any:
        """factor a + b"""
        product = self.builder.fmul(self._constant(factor), a, flags=("contract",))
        return self.builder.fadd(product, b, flags=("contract",))

    def _constant(self, factor: float) -> Any:
        return ir.Constant(self.kind, [float(factor)] * self.kind.count)


def _pixels(v: _Vectors, d: list[Any]) -> list[Any]:
    """B^T d"""
    near, far = v.fma(-4, d[1], d[3]), v.fma(-4, d[2], d[4])
    odd, even = v.sub(d[3], d[1]), v.sub(d[4], d[2])
    return [
        v.fma(4, d[0], v.fma(-5, d[2], d[4])),
        v.add(far, near), v.sub(far, near),
        v.fma(2, odd, even), v.fma(-2, odd, even),
        v.fma(4, d[1], v.fma(-5, d[3], d[5])),
    ]  # fmt: skip


def _pixels_back(v: _Vectors, t: list[Any]) -> list[Any]:
    """B t"""
    one, minus = v.add(t[1], t[2]), v.sub(t[2], t[1])
    two, less = v.add(t[3], t[4]), v.sub(t[4], t[3])
    return [
        v.scale(4, t[0]),
        v.fma(4, v.add(minus, t[5]), v.scale(2, less)),
        v.sub(v.fma(-5, t[0], v.scale(-4, one)), two),
        v.sub(v.fma(-5, t[5], v.scale(-2, less)), minus),
        v.add(v.add(t[0], one), two),
        t[5],
    ]


def _evaluate(v: _Vectors, a: list[Any]) -> list[Any]:
    """A a: the polynomial of these coefficients at each point."""
    ones, twos = [a[0], a[1]], [a[0], v.scale(2, a[1])]
    for power, coefficient in enumerate(a[2:], 2):
        ones[power % 2] = v.add(ones[power % 2], coefficient)
        twos[power % 2] = v.fma(2**power, coefficient, twos[power % 2])
    return [a[0], v.add(*ones), v.sub(*ones), v.add(*twos), v.sub(*twos), a[-1]]


def _evaluate_back(v: _Vectors, t: list[Any], count: int) -> list[Any]:
    """A^T t, for so many coefficients."""
    ones, twos = (v.add(t[1], t[2]), v.sub(t[1], t[2])), (v.add(t[3], t[4]), v.sub(t[3], t[4]))
    found = [v.fma(2**power, twos[power % 2], ones[power % 2]) for power in range(count)]
    return [v.add(t[0], found[0]), *found[1:-1], v.add(found[-1], t[5])]


def _weights(v: _Vectors, g: list[Any]) -> list[Any]:
    """G g"""
    return [v.scale(factor, a) for factor, a in zip(FACTORS, _evaluate(v, g), strict=True)]


def _weights_back(v: _Vectors, u: list[Any], count: int) -> list[Any]:
    """G^T u"""
    return _evaluate_back(v, [v.scale(factor, a) for factor, a in zip(FACTORS, u, strict=True)], count)


Line = Callable[[_Vectors, list[Any]], list[Any]]


def _transform(line: Line, side: int, source: Any, target: Any, *, adds: bool = False) -> Any:
    """The operation that applies `line` to the columns of side x side vectors, then to the rows."""
    kind = Vector(source.dtype, LANES)
    read, found = operation(load, source, types.intp), operation(load, target, types.intp)
    write = operation(store, target, types.intp, kind)

    def codegen(context, builder, _signature, args):  # type: ignore[no-untyped-def]
        source_, at, row, column, target_, to, target_row, target_column = args
        vectors = _Vectors(builder, context.get_value_type(kind))

        def place(start: Any, row: Any, i: int, column: Any, j: int) -> Any:
            down = builder.mul(row, ir.Constant(row.type, i))
            return builder.add(builder.add(start, down), builder.mul(column, ir.Constant(row.type, j)))

        columns = [
            line(
                vectors,
                [read(context, builder, source_, place(at, row, i, column, j)) for i in range(side)],
            )
            for j in range(side)
        ]
        for i in range(len(columns[0])):
            for j, value in enumerate(line(vectors, [column[i] for column in columns])):
                where = place(to, target_row, i, target_column, j)
                whole = vectors.add(found(context, builder, target_, where), value) if adds else value
                write(context, builder, target_, where, whole)
        return context.get_dummy_value()

    index = types.intp
    return types.void(source, index, index, index, target, index, index, index), codegen


@intrinsic
def transform_pixels(_typing, source, at, row, column, target, to, target_row, target_column):  # type: ignore[no-untyped-def]
    """V = B^T d B"""
    return _transform(_pixels, SIDE, source, target)


@intrinsic
def add_pixels_back(_typing, source, at, row, column, target, to, target_row, target_column):  # type: ignore[no-untyped-def]
    """dd += B dV B^T"""
    return _transform(_pixels_back, SIDE, source, target, adds=True)


@intrinsic(prefer_literal=True)
def transform_sums(_typing, count, source, at, row, column, target, to, target_row, target_column):  # type: ignore[no-untyped-def]
    """Y = A^T M A"""
    return _transform_of(count, lambda v, m: _evaluate_back(v, m, count.literal_value), SIDE, source, target)


@intrinsic(prefer_literal=True)
def transform_sums_back(_typing, count, source, at, row, column, target, to, target_row, target_column):  # type: ignore[no-untyped-def]
    """dM = A dY A^T"""
    return _transform_of(count, _evaluate, None, source, target)


@intrinsic(prefer_literal=True)
def transform_weights(_typing, count, source, at, row, column, target, to, target_row, target_column):  # type: ignore[no-untyped-def]
    """U = G g G^T"""
    return _transform_of(count, _weights, None, source, target)


@intrinsic(prefer_literal=True)
def transform_weights_back(_typing, count, source, at, row, column, target, to, target_row, target_column):  # type: ignore[no-untyped-def]
    """dg = G^T dU G"""
    return _transform_of(count, lambda v, u: _weights_back(v, u, count.literal_value), SIDE, source, target)


def _transform_of(count: Any, line: Line, side: int | None, source: Any, target: Any) -> Any:
    """`_transform` of `side` vectors a side, or of as many as the literal says."""
    if not isinstance(count, types.IntegerLiteral):
        return None
    signature, codegen = _transform(line, side or count.literal_value, source, target)
    return signature.return_type(count, *signature.args), lambda context, builder, given, args: codegen(
        context, builder, given, args[1:]
    )
