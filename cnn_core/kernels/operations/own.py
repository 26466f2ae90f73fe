"""A layer of a user's own in the compiled loop: `forward` and `backward` as they stand, compiled by numba.

They may mix the images of a batch, so each is called once for all of them: the first of two passes notes how
many there are and, on the way back, calls `backward`; the second one calls `forward`. Arrays are copied from
channels last to the textbook's (N, C, H, W) and back.

Before a layer is compiled it is run in NumPy, and what is compiled must give the same: numba takes some
functions for others of the same name, and does not say so. What numba does not take runs from Python
(composed.py), and a line says why. What is compiled is kept by its content (identity.py).
"""

import contextlib
import functools
import math
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from cnn_core.kernels.cache import folder, keep
from cnn_core.kernels.dropout import mix
from cnn_core.kernels.operations.identity import identity
from cnn_core.kernels.operations.operation import Columns, Operation, Pass, Room, compiled, kinds
from cnn_core.kernels.operations.trial import Functions, Shape, functions_of, require_equal, shapes_of
from cnn_core.kernels.pointer import address
from cnn_core.layers import Layer

own_kernel = njit(nogil=True, no_cpython_wrapper=True, error_model="numpy")


def own_operation(layer: Layer, shape: Shape) -> Operation | None:
    """The kernels of a layer for images of `shape`; None if it has to run from Python, which a line says."""
    try:
        return _operation(layer, shape)
    except TypeError:
        _tell(
            type(layer).__name__, "runs from Python: its hyperparameters have no hash; write tuples for lists"
        )
        return None


@functools.cache
def _operation(layer: Any, shape: Shape) -> Operation | None:
    try:
        shapes, functions = shapes_of(layer, shape), functions_of(layer)
        signature = (*map(_axes, shapes[:2]), *shapes[2:])
        name = identity(*functions, *signature)
        tried = None if name is None else folder() / f"{name}.tried"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if tried is None or not tried.exists():
                _tell(type(layer).__name__, "is compiled, once on this machine (a few seconds)")
                require_equal(layer, shapes, functions)
            found = _build(functions, name, *signature)
        with contextlib.suppress(OSError):
            if tried is not None:
                tried.touch()
        return found
    except Exception as error:  # whatever numba, or the layer itself, makes of it
        said = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = [line for line in said if not line.startswith("Failed in nopython mode")]
        reason = (said[0] if said else type(error).__name__)[:200]
        _tell(type(layer).__name__, f"runs from Python: {reason}")
        return None


@functools.cache
def _tell(name: str, what: str) -> None:
    print(f"cnn_core: {name} {what}", file=sys.stderr, flush=True)


def _axes(shape: Shape) -> Shape | int:
    """How many, where the table's columns say the rest: the same kernels run images of any size."""
    return len(shape) if len(shape) in (1, 3) else shape


@functools.cache
def _build(
    functions: Functions, name: str | None, before: Shape | int, after: Shape | int,
    learned: tuple[Shape, ...], tracked: tuple[Shape, ...], drawn: Shape | None,
) -> Operation:  # fmt: skip
    own, forward_own, backward_own, evaluate_own, track = functions
    parameters, add_slopes, parted = _views(learned), _adding(learned), _PARTED[bool(learned)]
    statistics, noise, track = _views(tracked), _noise(drawn), track if tracked else _ignore
    shape_x, shape_y = _shape(before), _shape(after)

    # Noise by `sums`, which both passes have, and no other layer.
    @own_kernel
    def run_forward(op, state, n, training, key):  # type: ignore[no-untyped-def]
        memory = state.memory
        x = _gather(memory, op.x, op.x_size, n, op.h * op.w, op.c).reshape(shape_x(n, op.h, op.w, op.c))
        weights, averages = parameters(memory, op.weight), statistics(memory, op.stats)
        if training:
            track(own, x, *averages)
            given = weights + noise(n, mix(key, op.sums))
            y = forward_own(own, x, *given)
            _scatter(memory, op.y, op.y_size, n, op.p * op.q, op.k, y)
        else:
            known = weights + averages
            answer = evaluate_own(own, x, *known)
            _scatter(memory, op.y, op.y_size, n, op.p * op.q, op.k, answer)

    @own_kernel
    def run_backward(op, state, n, key):  # type: ignore[no-untyped-def]
        memory = state.memory
        x = _gather(memory, op.x, op.x_size, n, op.h * op.w, op.c).reshape(shape_x(n, op.h, op.w, op.c))
        dy = _gather(memory, op.dy, op.y_size, n, op.p * op.q, op.k).reshape(shape_y(n, op.p, op.q, op.k))
        given = parameters(memory, op.weight) + noise(n, mix(key, op.sums))
        dx, slopes = parted(backward_own(own, dy, x, *given))
        add_slopes(memory, op.dweight, slopes)
        _scatter(memory, op.dx, op.x_size, n, op.h * op.w, op.c, dx)

    return _passes(run_forward, run_backward, name)


@compiled
def _count(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """Note how many images there are."""
    state.sums[op.sums] = last


def _passes(run_forward: Any, run_backward: Any, name: str | None) -> Operation:
    """Each at the first image, for all of them; kept on disk by their name."""

    @own_kernel
    def forward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
        """Fill y."""
        if first == 0:
            try:
                run_forward(op, state, int(state.sums[op.sums]), training, key)
            except Exception:
                op.raised = 1

    @own_kernel
    def backward(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
        """Fill dx, and add to the parameters' gradients."""
        if first == 0:
            try:
                run_backward(op, state, int(state.sums[op.sums]), key)
            except Exception:
                op.raised = 1

    for kernel in (forward, backward):
        if name is not None:
            keep(kernel, name)
        address(kernel, *kinds())  # now, so that what numba refuses is known
    return Operation((Pass(_count, backward), Pass(forward, _nothing)), _columns)


def _columns(_layer: Layer, room: Room) -> Columns:
    """Behind Flatten an image lies as it did before: channels last."""
    h, w, c = room.lying
    return {"sums": room.sums(1), "h": h, "w": w, "c": c}


@compiled
def _nothing(op, state, first, last, training, key):  # type: ignore[no-untyped-def]
    """The first pass does it, on the way back."""


@own_kernel
def _ignore(own, x):  # type: ignore[no-untyped-def]
    """What a layer without statistics tracks."""


@own_kernel
def _gather(memory, at, pitch, n, positions, channels):  # type: ignore[no-untyped-def]
    """Images, channels first, flat."""
    found = np.empty((n, channels, positions), np.float32)
    for image in range(n):
        for position in range(positions):
            for channel in range(channels):
                found[image, channel, position] = memory[at + image * pitch + position * channels + channel]
    return found


@own_kernel
def _scatter(memory, at, pitch, n, positions, channels, images):  # type: ignore[no-untyped-def]
    """The way back, of images in any type of numbers."""
    flat = np.ascontiguousarray(images).reshape((n, channels, positions))
    for image in range(n):
        for position in range(positions):
            for channel in range(channels):
                memory[at + image * pitch + position * channels + channel] = flat[image, channel, position]


_PARTED = (
    own_kernel(lambda back: (back, ())),
    own_kernel(lambda back: (back[0], back[1:])),
)
"""dx and the parameters' gradients: of a layer without parameters, and with some."""


def _shape(shape: Shape | int) -> Any:
    """A function that gives the shape of n images: of so many axes, or of this very shape."""
    if isinstance(shape, tuple):
        return own_kernel(lambda n, h, w, c: (n, *shape))  # noqa: ARG005
    if shape == 3:
        return own_kernel(lambda n, h, w, c: (n, c, h, w))
    return own_kernel(lambda n, h, w, c: (n, h * w * c))


def _views(shapes: Sequence[Shape]) -> Any:
    """A function that gives a tuple of arrays which lie in memory one after another."""
    if not shapes:
        return own_kernel(lambda memory, at: ())  # noqa: ARG005
    shape, size, rest = shapes[0], math.prod(shapes[0]), _views(shapes[1:])
    return own_kernel(lambda memory, at: (memory[at : at + size].reshape(shape), *rest(memory, at + size)))


def _adding(shapes: Sequence[Shape]) -> Any:
    """A function that adds a tuple of arrays to what lies in memory one after another."""
    if not shapes:
        return own_kernel(lambda memory, at, slopes: None)  # noqa: ARG005
    size, rest = math.prod(shapes[0]), _adding(shapes[1:])

    @own_kernel
    def add(memory, at, slopes):  # type: ignore[no-untyped-def]
        memory[at : at + size] += np.ascontiguousarray(slopes[0]).reshape(size)
        rest(memory, at + size, slopes[1:])

    return add


def _noise(shape: Shape | None) -> Any:
    """A function that gives a tuple of uniform numbers in [0, 1) for so many images, or an empty one."""
    if shape is None:
        return own_kernel(lambda n, key: ())  # noqa: ARG005

    @own_kernel
    def draw(n, key):  # type: ignore[no-untyped-def]
        found = np.empty((n, *shape), np.float32)
        flat = found.reshape(-1)
        for i in range(flat.size):
            flat[i] = np.float32(mix(key, i) >> np.uint64(40)) * np.float32(2.0**-24)
        return (found,)

    return draw
