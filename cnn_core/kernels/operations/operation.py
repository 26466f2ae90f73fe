"""What a layer's kernels are given, and what they say about themselves.

    kernel(op, state, first, last, training, key)

runs one pass over the images `first` to before `last` of those in memory. `op` is the layer's row of the
table, `state` has the memory, `key` (uint64) names what is random in this step; without `training` it is
evaluation.

Images in memory have their channels last, (H, W, C) without gaps; a vector is one position of D channels.
Each begins at a cache line, and a pass goes over them in order: so LANES numbers may be written where fewer
are left, as the next position, or the next image, is written later.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numba import from_dtype, typeof, types
from numpy.typing import NDArray

from cnn_core.kernels.cache import kernel
from cnn_core.layers import Layer

Columns = Mapping[str, float]

compiled = functools.partial(kernel, error_model="numpy")
"""A kernel, in which 1 / 0 is infinity, as in the textbook's arrays, and no exception."""


def _fields(text: str, kind: type = np.int64) -> list[tuple[str, type]]:
    return [(name, kind) for name in text.split()]


OPERATION = np.dtype(
    # Its kernels' addresses, 0 where there is none; `waits`: the whole batch must have done what is before.
    # `raised`: a kernel of a user's own has met an exception.
    _fields("prepare forward backward finish waits number raised")
    # With how many images at a time it is at its best, if its columns say so.
    + _fields("together")
    # The shapes (H, W, C) of an image before and (P, Q, K) after it, and how many numbers these have.
    + _fields("h w c p q k inputs outputs")
    # Where in the memory input, output and their gradients begin, and how far apart images are. `wants_dx` is
    # 0 where no layer before has parameters.
    + _fields("x x_size dx y y_size dy wants_dx")
    # Parameters, their gradients, running statistics.
    + _fields("weight bias dweight dbias stats")
    # Hyperparameters, as the layer has them; `factor` is a slope or a rate.
    + _fields("size stride padding groups")
    + _fields("factor", np.float64)
    # Of a convolution: its input in a frame of zeros, one image's gradient of that, weights as the passes
    # read them, and tables (conv2d.py).
    + _fields("framed framed_size pitch dframed packed dpacked frames width")
    + _fields("places taps row_x row_w rows_n bases turns")
    # Where two positions share a vector (paired_conv2d.py).
    + _fields("both below rows paired_pitch paired_places beside beside_back few wide")
    # Of one by Winograd's tiles (winograd_conv2d.py).
    + _fields("out tile_rows tile_columns u u_turned du fresh at_once v m dm partial")
    + _fields("u_pitch turned_pitch v_pitch m_pitch dm_pitch")
    # Of others: numbers for each image or channel, and tables of windows.
    + _fields("codes mean inverse scale shift sums above lower left right")
)
"""A row of the table that the loop runs, 0 where an operation has no use for a column."""


class State(NamedTuple):
    """All that a network needs to run, allocated once.

    `memory` begins with the `parameters`, at `gradient` are their gradients, at `statistics` the running
    averages; then comes what the columns of the table say. Images of `shape` (H, W, C) are at `x`, `x_size`
    apart; the logits of `classes` at `y`, `y_size` apart, their gradient at `dy`. `chunk` images go through
    the layers together, of at most `batch` a step.
    """

    table: NDArray[Any]
    offsets: NDArray[np.int64]
    memory: NDArray[np.float32]
    sums: NDArray[np.float64]
    parameters: int
    gradient: int
    statistics: int
    shape: tuple[int, int, int]
    x: int
    x_size: int
    y: int
    y_size: int
    dy: int
    classes: int
    batch: int
    chunk: int


@functools.cache
def kinds() -> tuple[Any, ...]:
    """The types of what a kernel is given: one for the states of all networks."""
    numbers = np.zeros(0, OPERATION), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0)
    state = State(*numbers, 0, 0, 0, (0, 0, 0), 0, 0, 0, 0, 0, 0, 0, 0)
    return (
        from_dtype(OPERATION), typeof(state), types.int64, types.int64, types.boolean, types.uint64,
    )  # fmt: skip


class Room(Protocol):
    """Gives an operation places in memory, when a network is laid out."""

    before: tuple[int, int, int]
    """(H, W, C)"""
    after: tuple[int, int, int]
    lying: tuple[int, int, int]
    """As `before`, but for a vector behind Flatten: the image that it still is in memory."""
    wants_dx: bool

    def numbers(self, count: int) -> int:
        """Room for so many float32 numbers."""

    def numbers_per_image(self, count: int) -> int:
        """Room for so many, for each image in memory, from one cache line to another."""

    def sums(self, count: int) -> int:
        """Room for so many float64 numbers."""

    def table(self, values: list[int]) -> int:
        """Where these are among the offsets."""


def no_columns(_layer: Any, _room: Room) -> Columns:
    return {}


@dataclass(frozen=True)
class Pass:
    """A forward pass over some images, and the backward one."""

    forward: Any
    backward: Any


@dataclass(frozen=True)
class Operation:
    """A layer's kernels.

    Of several passes each waits until the whole batch has done the one before, in both directions. `prepare`
    comes before each step and is told all its images, `finish` after its backward passes, for none. `columns`
    adds to the table what this layer alone needs. One that `overwrites` may leave dx where x was.
    """

    passes: tuple[Pass, ...]
    columns: Callable[[Any, Room], Columns] = no_columns
    prepare: Any = None
    finish: Any = None
    overwrites: bool = False

    def kernels(self, number: int) -> dict[str, Any]:
        """Those of one pass, by column; with the first go what is before and after all."""
        own = {"forward": self.passes[number].forward, "backward": self.passes[number].backward}
        if number == 0:
            own |= {"prepare": self.prepare, "finish": self.finish}
        return {name: kernel for name, kernel in own.items() if kernel is not None}


Table = dict[type[Layer], Operation | Callable[[Any, tuple[int, ...]], Operation]]


def align(size: int, unit: int = 16) -> int:
    """`size` up to whole cache lines of float32."""
    return -(-size // unit) * unit
