"""Tells OpenBLAS what CPU it runs on, where it guesses too low."""

import os
import platform
from pathlib import Path

VARIABLE = "OPENBLAS_CORETYPE"
# What OpenBLAS's SkylakeX kernels need.
FLAGS = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}


def choose_core_type(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """Set OPENBLAS_CORETYPE from the CPU's own flags, unless the user has; return what was set.

    Another BLAS ignores the variable. It is read when OpenBLAS is loaded: numba's np.dot uses SciPy's copy,
    which is not there yet when this package is imported first.
    """
    if VARIABLE in os.environ or platform.machine() not in ("x86_64", "AMD64"):
        return None
    try:
        with cpuinfo.open(encoding="ascii", errors="replace") as lines:
            flags = next(
                (set(line.split(":")[1].split()) for line in lines if line.startswith("flags")), set()
            )
    except OSError:
        return None
    if not flags >= FLAGS:
        return None
    os.environ[VARIABLE] = "SkylakeX"
    return "SkylakeX"
