"""Two entries of a directory change places at once: who looks meanwhile finds either, and never none."""

import ctypes
import os
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # Linux, since glibc 2.28
_RENAME_SWAP = 2  # macOS


def exchange(one: Path, other: Path) -> bool:
    """Whether both have changed places: not every system and file system can. Nothing is raised."""
    here, there = os.fsencode(one), os.fsencode(other)
    library = ctypes.CDLL(None)
    try:
        if sys.platform == "darwin":
            failed = library.renamex_np(here, there, ctypes.c_uint(_RENAME_SWAP))
        else:
            failed = library.renameat2(_AT_FDCWD, here, _AT_FDCWD, there, ctypes.c_uint(_RENAME_EXCHANGE))
    except AttributeError:
        return False
    return failed == 0  # type: ignore[no-any-return]
