"""Layers that run compiled one at a time, where no fused block takes them.

What each computes stands in `cnn_core.layers`; the tests hold the two to each other.
"""

from collections.abc import Callable
from typing import Any

from cnn_core.layers import Layer

Functions = tuple[Callable[..., Any], Callable[..., Any]]

KERNELS: dict[type[Layer], Functions] = {}
"""forward(layer, x, ...) and backward(layer, dy, x, ...), as `Layer` has them; arrays are contiguous."""


def functions(layer: Layer) -> Functions:
    """A layer's two passes: compiled if there is a kernel, else the textbook's."""
    return KERNELS.get(type(layer), (type(layer).forward, type(layer).backward))
