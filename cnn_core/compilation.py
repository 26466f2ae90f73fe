"""Compiles kernels once a machine: one process does it, the others wait for it."""

import contextlib
import fcntl
import functools
import hashlib
import sys
from collections.abc import Iterator
from types import ModuleType

import numba
import numpy as np
from numba.core.registry import cpu_target

from cnn_core import engine
from cnn_core.architecture import build_layers, initial_parameters, initial_statistics
from cnn_core.config import Config, ConfigError
from cnn_core.fuse import fuse
from cnn_core.kernels import cache


@functools.cache
def load_engine() -> ModuleType:
    """Have the engine's kernels ready, from the cache or compiled now, and return it.

    Raises: ConfigError if numba is told not to compile.
    """
    with compiling("engine"):
        _warm()
    return engine


@contextlib.contextmanager
def compiling(module: str, *kinds: str) -> Iterator[None]:
    """Have kernels ready, from the cache or compiled: of this module with these kinds of layers or rules.

    Raises: ConfigError if numba is told not to compile.
    """
    if numba.config.DISABLE_JIT:
        raise ConfigError("NUMBA_DISABLE_JIT is set, and the layers run compiled only; unset it")
    if _is_compiled(module, *kinds):
        yield
        return
    with _lock():
        if not _is_compiled(module, *kinds):
            _begin()
        with plain_optimisation():
            yield
        with contextlib.suppress(OSError):
            for name in (module, *kinds):
                (cache.folder() / _marker(name)).touch()


@functools.cache
def _begin() -> None:
    """Say it, once a process: layers and rules are compiled one after another."""
    print("cnn_core: compiling kernels, once on this machine (a few seconds)", file=sys.stderr, flush=True)
    cache.sweep()


def _is_compiled(module: str, *kinds: str) -> bool:
    with contextlib.suppress(OSError):  # no directory can be written to
        folder = cache.folder()
        markers = all((folder / _marker(name)).exists() for name in (module, *kinds))
        return markers and any(folder.rglob(f"{module}.run-*.nbc"))
    return False


def _marker(name: str) -> str:
    """What says that this CPU's kernels are there: a directory may be shared by several kinds of CPUs."""
    machine = repr((cpu_target.target_context.codegen().magic_tuple(), name))
    return f"{hashlib.sha256(machine.encode()).hexdigest()[:8]}.compiled"


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """Let one process at a time compile; where there are no locks, each does, and nothing worse."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            file = stack.enter_context((cache.folder() / "lock").open("a"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def plain_optimisation() -> Iterator[None]:
    """Spare LLVM's dearer passes: the kernels' vectors are made by hand, and run as fast without.

    9.8 s instead of 12.7 s from an empty cache. What else this process compiles is made as ever: its machine
    code is set up before, and the setting goes back.
    """
    cpu_target.target_context.codegen()
    before = numba.config.OPT
    numba.config.OPT = type(before)(1)
    try:
        yield
    finally:
        numba.config.OPT = before


def _warm() -> None:
    """Run the compiled function once, on a network of one filter and an image of 6 x 6."""
    config = Config(conv_channels=(1,), kernel_size=3, batch_size=1)
    shape = (1, 6, 6)
    layers = build_layers(config, shape, 2)
    parameters = initial_parameters(layers, shape, config.init, np.random.default_rng(0))
    program = fuse(layers, shape)
    assert program
    state = engine.allocate(program, parameters, initial_statistics(layers, shape), 1)
    image, label, order = np.zeros((1, 1, 6, 6), np.float32), np.zeros(1, np.int32), np.zeros(1, np.int64)
    engine.train_epoch(state, image, label, order, 1, 0.1, 0.5, 1)
