"""Functions of a user's own layer, compiled by numba, and whether they give what they give in NumPy."""

import dataclasses
import functools
import inspect
from collections import namedtuple
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from cnn_core.layers import Layer

Shape = tuple[int, ...]

f = np.float32
users = njit(nogil=True, error_model="numpy", boundscheck=True)
"""For functions whose indices nobody has looked at."""

TRIED = 3
"""Images that a layer is tried on."""


class Functions(NamedTuple):
    """A layer's functions, compiled, and its hyperparameters as what they know as `self`."""

    own: Any
    forward: Any
    backward: Any
    evaluate: Any
    track: Any


class Shapes(NamedTuple):
    """Of an image before and after a layer; of what it learns, tracks and draws for an image."""

    before: Shape
    after: Shape
    parameters: tuple[Shape, ...]
    statistics: tuple[Shape, ...]
    noise: Shape | None


def shapes_of(layer: Layer, shape: Shape) -> Shapes:
    learned, tracked = (
        tuple(array.shape for array in arrays.values())
        for arrays in (layer.parameters(shape, np.random.default_rng(0)), layer.statistics(shape))
    )
    return Shapes(shape, layer.output_shape(shape), learned, tracked, layer.noise(shape))


@functools.cache
def functions_of(layer: Any) -> Functions:
    kind = type(layer)
    names = [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
    own = namedtuple(f"{kind.__name__}Fields", names)(*(getattr(layer, name) for name in names))
    found = {name: getattr(kind, name, None) for name in ("forward", "backward", "evaluate", "track")}
    for name, function in found.items():
        if function is not None and not inspect.isfunction(function):
            raise TypeError(f"{name} must be a function to be compiled, found {type(function).__name__}")
    functions = Functions(own, *(each and users(each) for each in found.values()))
    if found["evaluate"] is Layer.evaluate:
        return functions._replace(evaluate=functions.forward)
    return functions


def require_equal(layer: Layer, shapes: Shapes, functions: Functions) -> None:
    """Raise what the layer raises, or ValueError if it gives other numbers compiled than from Python."""
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((TRIED, *shape)).astype(f) for shape in shapes[:2])
    learned = [array.astype(f) for array in layer.parameters(shapes.before, rng).values()]
    running = [array.astype(f) for array in layer.statistics(shapes.before).values()]
    noise = [] if shapes.noise is None else [rng.random((TRIED, *shapes.noise)).astype(f)]
    given, own = (*learned, *noise), functions.own
    y = layer.forward(x, *given)
    if np.shape(y) != dy.shape:
        raise ValueError(f"forward gives {np.shape(y)}, and output_shape says {dy.shape}")
    _compare("forward", y, functions.forward(own, x, *given))
    _compare("backward", layer.backward(dy, x, *given), functions.backward(own, dy, x, *given))
    if running:
        copies = [array.copy() for array in running]
        layer.track(x, *running)
        functions.track(own, x, *copies)
        _compare("track", tuple(running), tuple(copies))
    evaluated = layer.evaluate(x, *learned, *running)
    _compare("evaluate", evaluated, functions.evaluate(own, x, *learned, *running))


def _compare(name: str, wanted: Any, found: Any) -> None:
    if isinstance(wanted, tuple) != isinstance(found, tuple):
        raise ValueError(f"{name} gives another type when it is compiled")
    pairs = zip(wanted, found, strict=True) if isinstance(wanted, tuple) else [(wanted, found)]
    for own, other in pairs:
        scale = np.nanmax(np.abs(own), initial=0)
        if not np.allclose(other, own, rtol=1e-3, atol=1e-5 * scale, equal_nan=True):
            raise ValueError(f"{name} gives other numbers when it is compiled")
