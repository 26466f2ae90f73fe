"""What every dataset offers: the files in use, their size by the headers, and a way to read them."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
    lowest: int = 0
    """The lowest label, where `read` gives labels as the files have them."""
    test_count: int = 0
    """So many images, the last ones, are the test images of the official split; 0 if nobody says."""


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


def spread(labels: Labels, path: Path) -> tuple[int, int]:
    """The lowest and the highest label. Raises: ConfigError if there is none."""
    if not labels.size:
        raise ConfigError(f"{path}: holds no image; copy or download it again")
    return int(labels.min()), int(labels.max())


def official(parts: Sequence[tuple[str, Source]]) -> Source | None:
    """The images of all parts, those of "train" before those of "test"; None if there is none.

    Classes that all files count from 1 are counted from 0.
    """
    if not parts:
        return None
    ordered = [source for part, source in parts if part == "train"]
    tests = [source for part, source in parts if part == "test"]
    whole = join([*ordered, *tests])
    return replace(whole, test_count=sum(test.shape[0] for test in tests) if ordered else 0)


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
    shift = int(min(part.lowest for part in parts) == 1)
    classes = max(part.classes for part in parts) - shift
    return Source(files, shape, classes, lambda: _read_all(parts, shift))


def _read_all(parts: list[Source], shift: int) -> tuple[Pixels, Labels]:
    pixels, labels = zip(*(part.read() for part in parts), strict=True)
    return np.concatenate(pixels), np.concatenate(labels) - np.int32(shift)


def plain(name: str) -> str:
    """A name without what people write differently: Fashion-MNIST and fashion_mnist are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def named_parts(folder: Path, name: str, ending: str) -> list[tuple[str, Path]]:
    """The files train and test of one dataset, or the file of its name, with the part that each is.

    Raises: ConfigError if there are those of several datasets.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() == ending and path.name[0] != "." and path.is_file():
            match = re.fullmatch(r"(.*?)[-_. ]?(train|test)", path.stem, re.IGNORECASE)
            prefix, part = (match[1], match[2].lower()) if match else (path.stem, "train")
            if match or plain(prefix) == plain(name):
                found.setdefault(prefix, {}).setdefault(part, path)
    if not found:
        return []
    own = found[choose(found, name, folder)]
    return [(part, own[part]) for part in ("train", "test") if part in own]


def choose(prefixes: Collection[str], name: str, folder: Path) -> str:
    """Which beginning of file names is the dataset's. Raises: ConfigError if that is not clear."""
    own = [prefix for prefix in prefixes if plain(prefix) == plain(name)]
    left = own or [prefix for prefix in prefixes if not prefix] or list(prefixes)
    if len(left) > 1:
        found = ", ".join(sorted(prefix.strip("-_. ") for prefix in left))
        raise ConfigError(f"{folder}: found several datasets, {found}; write one of these as dataset")
    return left[0]


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
