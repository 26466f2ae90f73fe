"""How much memory a training takes at least, and how much there is: told before, not by a killed process."""

import contextlib
import math
import os
import resource
from collections.abc import Sequence
from pathlib import Path

from cnn_core.architecture import build_rule, count_parameters, shapes_before
from cnn_core.config import Config, ConfigError
from cnn_core.fuse import fuse
from cnn_core.layers import BatchNorm2d, Dropout, Flatten, Layer, ReLU

FLOAT = 4
ON_THE_WAY = BatchNorm2d, Dropout, Flatten, ReLU
"""Layers whose outputs kernels need not keep."""
LIMIT = Path("/sys/fs/cgroup/memory.max")
"""What a container may have, on Linux."""


def require_memory(config: Config, layers: Sequence[Layer], shape: tuple[int, ...]) -> None:
    """Raise ConfigError if training would take more memory than this machine has."""
    needed, there = needed_bytes(config, layers, shape), available_bytes()
    if needed > there:
        raise ConfigError(
            f"batch_size {config.batch_size}, conv_channels {list(config.conv_channels)} and members"
            f" {config.members} take at least {needed / 2**30:.1f} GiB of memory, here are"
            f" {there / 2**30:.1f}; write smaller numbers"
        )


def needed_bytes(config: Config, layers: Sequence[Layer], shape: tuple[int, ...]) -> int:
    """A lower bound: parameters with what goes beside them, and the layers' outputs of one batch.

    Or of one image, where some images of a batch at a time go through all layers (loop.py).
    """
    shapes = shapes_before(layers, shape)
    own = sum(count_parameters(layer, before) for layer, before in zip(layers, shapes, strict=True))
    rows = int(config.average) if config.average > 1 else int(config.average < 1)
    copies = 3 + len(build_rule(config, (), shape).optimiser.keeps) + rows  # the gradient; what is yielded
    values = sum(
        math.prod(layer.output_shape(before))
        for layer, before in zip(layers, shapes, strict=True)
        if not isinstance(layer, ON_THE_WAY)
    )
    whole = fuse(layers, shape) or any(isinstance(layer, BatchNorm2d) for layer in layers)
    batch = min(config.batch_size, config.train_size) if whole else 1
    return FLOAT * config.members * (copies * own + batch * values)


def available_bytes() -> float:
    """The memory of this machine, or what this process may have of it."""
    found = [math.inf]
    with contextlib.suppress(OSError, ValueError):  # where the system does not tell
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(OSError, ValueError):  # "max"
        found.append(int(LIMIT.read_text()))
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        found.append(limit)
    return min(each for each in found if each > 0)
