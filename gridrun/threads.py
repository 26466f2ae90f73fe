"""What of the machine a worker may use: so many threads of BLAS, OpenMP, numba; one of the GPUs.

One thread, unless said otherwise: jobs x threads would fight for the cores, and a sum's rounding may depend
on how many threads share it.
"""

import os
from collections.abc import Mapping, Sequence

# What each library reads when it is loaded, and not later.
NAMES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def count_threads(asked: int | None, environment: Mapping[str, str] = os.environ) -> int:
    """The threads of a worker: those asked for, else the user's OMP_NUM_THREADS, else 1."""
    if asked is not None:
        return asked
    # "4,2" is OpenMP's way to say how many within each of the four.
    said = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(said) if said.isascii() and said.isdigit() and 0 < int(said) < 10_000 else 1


def thread_limits(threads: int) -> dict[str, str]:
    """Environment variables that hold every library to so many threads."""
    return dict.fromkeys(NAMES, str(threads))


def gpu_limits(gpus: Sequence[int], slot: int) -> dict[str, str]:
    """The environment variable that lets a worker see one GPU: the slots are dealt over those there are."""
    return {"CUDA_VISIBLE_DEVICES": str(gpus[slot % len(gpus)])} if gpus else {}
