"""What every dataset offers: the files in use, their size by the headers, and a way to read them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import ConfigError

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int32]
AnyArray = NDArray[Any]


@dataclass(frozen=True)
class Source:
    """The images of one dataset, found and measured but not yet read.

    Shapes: `read()` returns pixels (N, C, H, W), 0 to 255, and labels (N,), 0 to classes - 1.
    Raises: `read()` raises ConfigError if a file does not hold what its header promised.
    """

    files: tuple[Path, ...]
    """Every file that `read` reads, in the order in which their images are joined."""
    shape: tuple[int, int, int, int]
    """N, C, H, W."""
    classes: int
    read: Callable[[], tuple[Pixels, Labels]]


def as_bytes(values: AnyArray, path: Path, what: str) -> Pixels:
    """Return `values` as bytes, which some writers store as floats.

    Raises: ConfigError if a value is not an integer from 0 to 255, since a cast would change it unseen.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "iuf":
        raise ConfigError(f"{path}: {what} has type {values.dtype}; expected whole numbers from 0 to 255")
    # Two passes instead of one comparison after the cast: a cast of NaN or 300 is undefined, and warns.
    if values.size and not (values.min() >= 0 and values.max() <= 255):
        raise ConfigError(
            f"{path}: {what} goes from {values.min()} to {values.max()}; expected whole numbers from 0 to 255"
        )
    cast = values.astype(np.uint8)
    if not np.array_equal(cast, values):
        raise ConfigError(f"{path}: {what} has fractions; expected whole numbers from 0 to 255")
    return cast


def as_labels(values: AnyArray, path: Path, classes: int) -> Labels:
    """Return `values` as flat class numbers.

    Raises: ConfigError if one is not a class number below `classes`.
    """
    labels = as_bytes(values, path, "a label").reshape(-1).astype(np.int32)
    if labels.size and labels.max() >= classes:
        raise ConfigError(
            f"{path}: found label {labels.max()}; expected class numbers from 0 to {classes - 1}"
        )
    return labels


def join(parts: list[Source]) -> Source:
    """Return the images of all `parts`, one after the other.

    Raises: ConfigError if their images differ in channels, rows or columns.
    """
    first = parts[0]
    for part in parts[1:]:
        if part.shape[1:] != first.shape[1:]:
            raise ConfigError(
                f"{part.files[0]}: found images {part.shape[1:]}; "
                f"expected {first.shape[1:]} as in {first.files[0]}"
            )
    files = tuple(path for part in parts for path in part.files)
    shape = (sum(part.shape[0] for part in parts), *first.shape[1:])
    return Source(files, shape, first.classes, lambda: _read_all(parts))


def _read_all(parts: list[Source]) -> tuple[Pixels, Labels]:
    pixels, labels = zip(*(part.read() for part in parts), strict=True)
    return np.concatenate(pixels), np.concatenate(labels)


@contextmanager
def parsing(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a library's parser stumbles over in a damaged file into one ConfigError.

    Every Exception is caught, because zipfile and NumPy do not say all that they raise. Seen with flipped
    and missing bytes: ValueError, UnicodeDecodeError, EOFError, struct.error, zlib.error,
    zipfile.BadZipFile, tokenize.TokenError (NumPy's header). An OSError with a number comes from the
    system, and is not damage.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, ConfigError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{path}: not {kind}, or damaged ({reason}); copy or download it again") from error
