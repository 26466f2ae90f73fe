"""Compiles the engine once a machine: numba keeps the result, a lock keeps others from doing it twice."""

import fcntl
import functools
import hashlib
import platform
import sys
from pathlib import Path
from types import ModuleType

import numba
import numpy as np
import scipy.linalg  # noqa: F401  numba's np.dot calls the BLAS that this loads
from threadpoolctl import ThreadpoolController


@functools.cache
def load_engine() -> ModuleType:
    """Import the engine and have its kernels ready, from numba's cache or compiled now.

    BLAS is held to one thread in this process: these products are too small to share, and their rounding
    must not depend on how many threads did.
    """
    from cnn_core import engine

    ThreadpoolController().limit(limits=1, user_api="blas")
    folder = Path(str(engine.run_epoch.stats.cache_path))
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / f"cnn_core-{_fingerprint()}.compiled"
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
            # numba looks at the file of a function alone, not at those of the functions it calls.
            for stale in (*folder.glob("engine.*.nb?"), *folder.glob("cnn_core-*.compiled")):
                stale.unlink(missing_ok=True)
        _warm(engine)
        marker.touch()
    return engine


def _fingerprint() -> str:
    """What compiled code depends on: the sources, and the versions of what compiles them."""
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__} {platform.python_version()}".encode())
    package = Path(__file__).parent
    for source in sorted([package / "engine.py", package / "network.py", *(package / "layers").glob("*.py")]):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _warm(engine: ModuleType) -> None:
    """Run every compiled function once, on a network of one filter and images of 6 x 6."""
    from cnn_core.config import Config
    from cnn_core.network import build_network, initial_parameters, initial_statistics

    config = Config(conv_channels=(1,), kernel_size=3, batch_size=1)
    network = build_network(config, (1, 6, 6), 2)
    parameters = initial_parameters(network, config.init, np.random.default_rng(0))
    statistics = initial_statistics(network)
    buffers = engine.Buffers.allocate(network, 1).arrays()
    images, labels = np.zeros((1, 1, 6, 6), np.float32), np.zeros(1, np.int32)
    for array in (images, labels):
        array.flags.writeable = False  # as those of a dataset are: to numba, another type
    state = (network.table, parameters, statistics, buffers)
    engine.run_epoch(*state, images, labels, np.zeros(1, np.int64), np.float32(0.1), 0.5, np.uint64(1))
    engine.run_evaluation(*state, images, labels)
    engine.run_prediction(*state, np.zeros((1, 1, 6, 6), np.float32))
