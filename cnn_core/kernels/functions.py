"""Exponential, hyperbolic tangent and normal distribution of vectors, in float32.

Written of sums and products, so that they run on all lanes at once; a library's take one number at a time.
Within a few units in the last place of 1; tests/cnn_core/test_operations.py holds them to
SciPy. A NaN stays one.
"""

import functools

import numpy as np

from cnn_core.kernels.cache import kernel
from cnn_core.kernels.simd import (
    add,
    divide,
    fill,
    fma,
    multiply,
    power_of_two,
    subtract,
    where_less,
)

f = np.float32

LOG2_E = f(1.4426950408889634)
# ln 2 as a sum, so that n ln 2 is exact enough to be taken off x: the first has 12 bits.
LN2_HIGH, LN2_LOW = f(0.693359375), f(-2.12194440e-4)
# A number so large that to add it rounds to a whole one.
ROUND = f(1.5 * 2**23)

quick = functools.partial(kernel, error_model="numpy")


@quick
def exponential(x):  # type: ignore[no-untyped-def]
    """e^x, for x below 88; below -87 it stays that of -87, which is 1e-38.

    x = n ln 2 + r, |r| <= ln(2) / 2, so e^x = 2^n e^r, and 8 terms of the series of e^r are enough.
    """
    low = fill(x, f(-87))
    x = where_less(x, low, low, x)
    n = subtract(fma(x, fill(x, LOG2_E), fill(x, ROUND)), fill(x, ROUND))
    r = fma(n, fill(x, -LN2_LOW), fma(n, fill(x, -LN2_HIGH), x))
    y = fill(x, f(1 / 5040))
    y = fma(y, r, fill(x, f(1 / 720)))
    y = fma(y, r, fill(x, f(1 / 120)))
    y = fma(y, r, fill(x, f(1 / 24)))
    y = fma(y, r, fill(x, f(1 / 6)))
    y = fma(y, r, fill(x, f(1 / 2)))
    y = fma(y, r, fill(x, f(1)))
    y = fma(y, r, fill(x, f(1)))
    return multiply(y, power_of_two(n))


@quick
def hyperbolic_tangent(x):  # type: ignore[no-untyped-def]
    """tanh(x): a quotient of two polynomials in x^2, fitted for the least relative error up to 9.1.

    Beyond that tanh is 1 in float32.
    """
    top = fill(x, f(9))
    x = where_less(top, x, top, x)
    bottom = fill(x, f(-9))
    x = where_less(x, bottom, bottom, x)
    z = multiply(x, x)
    above = fma(z, fill(x, f(1.31762964e-08)), fill(x, f(2.04803475e-05)))
    above = fma(z, above, fill(x, f(3.48776277e-03)))
    above = fma(z, above, fill(x, f(0.133744356)))
    above = multiply(fma(z, above, fill(x, f(0.999999977))), x)
    below = fma(z, fill(x, f(7.70355646e-07)), fill(x, f(3.27283919e-04)))
    below = fma(z, below, fill(x, f(0.0258472081)))
    below = fma(z, below, fill(x, f(0.467077494)))
    below = fma(z, below, fill(x, f(1)))
    return divide(above, below)


@quick
def bell(x):  # type: ignore[no-untyped-def]
    """exp(-x^2 / 2)."""
    return exponential(multiply(multiply(x, x), fill(x, f(-0.5))))


@quick
def normal_below(x, density):  # type: ignore[no-untyped-def]
    """The share of a standard normal below x, given `bell(x)`.

    Above |x| it is bell(x) times a polynomial in 1 / (1 + 0.3 |x|), fitted for the least relative error; the
    form is that of Abramowitz and Stegun, 7.1.26.
    """
    zero, one = fill(x, f(0)), fill(x, f(1))
    size = where_less(x, zero, subtract(zero, x), x)
    t = divide(one, fma(size, fill(x, f(0.3)), one))
    y = fma(t, fill(x, f(0.0356751032)), fill(x, f(-0.157204351)))
    y = fma(t, y, fill(x, f(0.206355502)))
    y = fma(t, y, fill(x, f(-0.0536852917)))
    y = fma(t, y, fill(x, f(0.128562387)))
    y = fma(t, y, fill(x, f(0.0999132993)))
    y = fma(t, y, fill(x, f(0.12075398)))
    y = fma(t, y, fill(x, f(0.119629298)))
    beyond = multiply(multiply(y, t), density)
    return add(where_less(x, zero, zero, one), where_less(x, zero, beyond, subtract(zero, beyond)))
