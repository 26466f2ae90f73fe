"""Compiles the engine once a machine: numba keeps the result, a lock keeps others from doing it twice."""

import contextlib
import fcntl
import functools
import hashlib
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numba
import numpy as np
from numba.core.registry import cpu_target


@functools.cache
def load_engine() -> ModuleType:
    """Import the engine and have its kernels ready, from numba's cache or compiled now.

    Of several processes that need them at once, one compiles and the others wait for it.
    """
    engine = _import_engine()
    folder = Path(str(engine.run.stats.cache_path))
    folder.mkdir(parents=True, exist_ok=True)
    sources, machine = _fingerprints()
    marker = folder / f"cnn_core-{sources}-{machine}.compiled"
    if marker.exists():
        _warm(engine)
        return engine
    with (folder / "cnn_core.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists():
            print(
                "cnn_core: compiling kernels, once on this machine (a few seconds)",
                file=sys.stderr,
                flush=True,
            )
        if not list(folder.glob(f"cnn_core-{sources}-*.compiled")):
            # numba looks at the file of a function alone, not at those of the functions it calls.
            for stale in (*folder.glob("engine.*.nb?"), *folder.glob("cnn_core-*.compiled")):
                stale.unlink(missing_ok=True)
        with _plain_optimisation():
            _warm(engine)
        marker.touch()
    return engine


@contextlib.contextmanager
def _plain_optimisation() -> Iterator[None]:
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


def _import_engine() -> ModuleType:
    """Import the engine; numba decides there and then where its cache is.

    That is beside the source, else in the user's cache directory; where neither can be written to, it is
    a directory of this user's among the temporary ones.
    """
    try:
        from cnn_core import engine
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        for name in [name for name in sys.modules if name.startswith(("cnn_core.layers", "cnn_core.layout"))]:
            del sys.modules[name]
        numba.config.CACHE_DIR = str(_temporary_directory())
        from cnn_core import engine
    return engine


def _temporary_directory() -> Path:
    """The same one for each process of this user, unless somebody else has taken its name."""
    path = Path(tempfile.gettempdir()) / f"cnn_core-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if path.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        return Path(tempfile.mkdtemp(prefix="cnn_core-"))
    return path


def _fingerprints() -> tuple[str, str]:
    """What compiled code depends on: sources and versions; and the CPU, as a directory may be shared."""
    versions = f"{numba.__version__} {np.__version__} {platform.python_version()}"
    digest = hashlib.sha256(versions.encode())
    package = Path(__file__).parent
    names = ("engine.py", "layout.py", "network.py", "simd.py")
    for source in (*(package / name for name in names), *sorted((package / "layers").glob("*.py"))):
        digest.update(source.read_bytes())
    machine = hashlib.sha256(repr(cpu_target.target_context.codegen().magic_tuple()).encode())
    return digest.hexdigest()[:16], machine.hexdigest()[:8]


def _warm(engine: ModuleType) -> None:
    """Run the compiled function once, on a network of one filter and an image of 6 x 6."""
    from cnn_core.config import Config
    from cnn_core.network import build_network, initial_parameters, initial_statistics

    config = Config(conv_channels=(1,), kernel_size=3, batch_size=1)
    network = build_network(config, (1, 6, 6), 2)
    parameters = initial_parameters(network, config.init, np.random.default_rng(0))
    state = engine.allocate(network, parameters, initial_statistics(network), 1)
    image, label, order = np.zeros((1, 1, 6, 6), np.float32), np.zeros(1, np.int32), np.zeros(1, np.int64)
    engine.train_epoch(state, image, label, order, 1, 0.1, 0.5, 1)
