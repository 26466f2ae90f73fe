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
from cnn_core.layers import Conv2d, Layer, Linear, MaxPool2d

FLOAT = 4
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
    """A lower bound: parameters with what goes beside them, and the layers' outputs of one batch."""
    shapes = shapes_before(layers, shape)
    own = sum(count_parameters(layer, before) for layer, before in zip(layers, shapes, strict=True))
    rows = int(config.average) if config.average > 1 else int(config.average < 1)
    copies = 3 + len(build_rule(config, (), shape).optimiser.keeps) + rows  # the gradient; what is yielded
    kept = (Conv2d, Linear, MaxPool2d) if fuse(layers, shape) else Layer  # kernels take the others on the way
    values = sum(
        math.prod(layer.output_shape(before))
        for layer, before in zip(layers, shapes, strict=True)
        if isinstance(layer, kept)
    )
    batch = min(config.batch_size, config.train_size)
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
