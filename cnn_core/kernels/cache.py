"""Where compiled kernels are kept: a directory for each version of the sources, so that none is ever stale.

numba looks at the file of a function alone: neither at the functions it calls nor at what `simd.py` makes of
them. Here the directory's name is a digest of all the sources and of what compiles them.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

PACKAGE = Path(__file__).parents[1]

# Directories of other versions that are left alone: other branches, other Pythons.
KEPT = 4


@functools.cache
def folder() -> Path:
    """The directory of this version's kernels, made if need be.

    It lies in NUMBA_CACHE_DIR, or beside the source, or in the user's cache directory, or among the temporary
    files: the first of these that can be written to.
    """
    name = f"cnn_core-{_digest()}"
    given = [Path(numba.config.CACHE_DIR)] if numba.config.CACHE_DIR else []
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    for parent in (*given, PACKAGE / "__pycache__", Path(cache).expanduser() / "cnn_core"):
        with contextlib.suppress(OSError, RuntimeError):
            (parent / name).mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=parent / name).close()
            return parent / name
    return _temporary_directory() / name


def sweep() -> None:
    """Remove the directories of versions that have not been compiled for long."""
    with contextlib.suppress(OSError):
        others = [path for path in folder().parent.glob("cnn_core-*") if path != folder() and path.is_dir()]
        for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT:]:
            shutil.rmtree(path, ignore_errors=True)


def entry(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function that Python calls."""
    return _kept(njit(nogil=True, **options)(function), function)


def kernel(function: Callable[..., Any], **options: Any) -> Any:
    """Compile a function that compiled code alone calls: without a way in from Python, a sixth faster."""
    compiled = njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(function)
    return _kept(compiled, function)


def _kept(compiled: Any, function: Callable[..., Any]) -> Any:
    """The same, found again by the next process; where nothing can be written, compiled by each."""
    with contextlib.suppress(OSError, RuntimeError), _cache_in(folder()):
        compiled._cache = _KernelCache(function)
    return compiled


def keep(compiled: Any, name: str) -> None:
    """Have a compiled function found again by its name: that stands for all that it calls and closes over."""
    with contextlib.suppress(OSError, RuntimeError), _cache_in(folder()):
        compiled._cache = _KernelCache(compiled.py_func, name)


class _KernelCache(FunctionCache):  # type: ignore[misc]
    """numba's cache of a function; where a file is damaged, or can't be written, the function is compiled.

    numba loads whatever lies there: a file that is cut raises EOFError, and of one whose bits have changed
    the machine code is run.
    """

    def __init__(self, function: Callable[..., Any], name: str = "") -> None:
        super().__init__(function)
        self._name = name
        locator = self._impl.locator
        self._cache_file = _SealedFile(
            locator.get_cache_path(), self._impl.filename_base, locator.get_source_stamp()
        )

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        if self._name:
            return sig, codegen.magic_tuple(), self._name
        return super()._index_key(sig, codegen)

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


class _SealedFile(IndexDataCacheFile):  # type: ignore[misc]
    """The index and the machine code of a function, each behind its digest: else it is not there."""

    def load(self, key: Any) -> Any:
        with contextlib.suppress(_Damaged):
            return super().load(key)

    def _load_index(self) -> Any:
        with contextlib.suppress(OSError, _Damaged):
            version, stamp, overloads = pickle.loads(_unseal(Path(self._index_path)))
            if (version, stamp) == (self._version, self._source_stamp):
                return overloads
        return {}

    def _save_index(self, overloads: Any) -> None:
        with self._open_for_write(self._index_path) as file:
            file.write(self._dump((self._version, self._source_stamp, overloads)))

    def _load_data(self, name: str) -> Any:
        return pickle.loads(_unseal(Path(self._data_path(name))))

    def _dump(self, obj: Any) -> bytes:
        data: bytes = super()._dump(obj)
        return hashlib.sha256(data).digest() + data


class _Damaged(Exception):
    """A file does not match its digest."""


def _unseal(file: Path) -> bytes:
    """Raises: OSError if there is none, _Damaged."""
    content = file.read_bytes()
    seal, data = content[:32], content[32:]
    if hashlib.sha256(data).digest() != seal:
        raise _Damaged
    return data


@contextlib.contextmanager
def _cache_in(path: Path) -> Iterator[None]:
    """A function's place is chosen when it is decorated; those of others go where they went."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(path)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def _digest() -> str:
    versions = f"{numba.__version__} {np.__version__} {platform.python_version()}"
    digest = hashlib.sha256(versions.encode())
    # Every file: a list by hand would forget a new one, and stale kernels run silently.
    for source in sorted(PACKAGE.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _temporary_directory() -> Path:
    """The same one for each process of this user, unless somebody else has taken its name."""
    path = Path(tempfile.gettempdir()) / f"cnn_core-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if path.is_symlink() or not path.is_dir() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        return Path(tempfile.mkdtemp(prefix="cnn_core-"))
    return path
