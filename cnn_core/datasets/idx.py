"""IDX files, plain or gzipped: the format that MNIST was published in."""

import gzip
import math
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np

from cnn_core.config import ConfigError
from cnn_core.datasets.source import Pixels, Source, as_labels, choose, official, plain, spread

IMAGE_AXES, LABEL_AXES = 3, 1
_UNSIGNED_BYTE = 0x08
_CHUNK = 1 << 20


_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<part>train|t10k|test)[-_.]?(?P<what>images|labels)[-_.]idx[13][-_.]ubyte(\.gz)?",
    re.IGNORECASE,
)
_CLASSES = {"mnist": 10, "fashionmnist": 10, "kmnist": 10}
"""Of other datasets the labels tell."""
_GZIP = b"\x1f\x8b"


def find_idx_files(folder: Path, name: str) -> Source | None:
    """Return the images of all pairs of one dataset, train first.

    Names as they were published and as browsers, Kaggle and torchvision leave them: train-images-idx3-ubyte
    or train-images.idx3-ubyte, plain or .gz, in a folder of the same name, after the dataset's name or not.

    Raises: ConfigError if a file is damaged or lacks its other half, or there are several datasets.
    """
    found: dict[str, dict[tuple[str, str], Path]] = {}
    for path in sorted(folder.iterdir()):
        match, file = _NAME.fullmatch(path.name), path / path.name if path.is_dir() else path
        if match and file.is_file():
            part = "train" if match["part"].lower() == "train" else match["part"].lower()
            found.setdefault(match["prefix"], {}).setdefault((part, match["what"].lower()), file)
    if not found:
        return None
    prefix = choose(found, name, folder)
    own, parts = found[prefix], list[tuple[str, Source]]()
    for part in ("train", "t10k", "test"):
        images, labels = own.get((part, "images")), own.get((part, "labels"))
        if images and labels:
            parts.append(
                ("train" if part == "train" else "test", find_idx(images, labels, _CLASSES.get(plain(name))))
            )
        elif images or labels:
            names = f"{prefix}{part}-images-idx3-ubyte", f"{prefix}{part}-labels-idx1-ubyte"
            there, missing = names if images else names[::-1]
            raise ConfigError(
                f"{folder}: found {there} without {missing}; put {missing} or {missing}.gz beside it"
            )
    return official(parts)


def find_idx(images: Path, labels: Path, classes: int | None) -> Source:
    """Return the images of one file with the labels of another; these tell `classes` if it is None.

    Format, all numbers big-endian: 2 zero bytes, a type (0x08: unsigned byte), the number of axes, one
    uint32 for the length of each axis, then the values, the last axis fastest.

    Raises: ConfigError if a file is not such a file, or is truncated, or the two differ in length.
    Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", file formats.
    """
    count, rows, columns = _measure(images, IMAGE_AXES)
    (label_count,) = _measure(labels, LABEL_AXES)
    if label_count != count:
        raise ConfigError(
            f"{labels}: found {label_count} labels; expected {count}, one for each of {images.name}"
        )
    shape, lowest = (count, 1, rows, columns), 0
    if classes is None:
        lowest, highest = spread(as_labels(_read(labels, LABEL_AXES), labels, 256), labels)
        classes = highest + 1
    return Source(
        (images, labels),
        shape,
        classes,
        lambda: (
            _read(images, IMAGE_AXES).reshape(shape),
            as_labels(_read(labels, LABEL_AXES), labels, classes),
        ),
        lowest,
    )


def _measure(path: Path, axes: int) -> tuple[int, ...]:
    """Return the lengths of the axes, having seen that the file is as long as they make it."""
    with _open(path) as file:
        shape = _read_header(file, path, axes)
        expected = 4 + 4 * axes + math.prod(shape)
        found = path.stat().st_size
        if _is_gzip(path):
            if _size_by_trailer(path) == expected % 2**32:
                return shape
            # Truncated; or written in several parts, which is rare and legal, and the trailer is the last's.
            found = 4 + 4 * axes + _skip(file, math.prod(shape) + 1)
        if found != expected:
            raise _wrong_size(path, shape, found, expected)
    return shape


def _read(path: Path, axes: int) -> Pixels:
    with _open(path) as file:
        shape = _read_header(file, path, axes)
        # One byte more than promised tells what is too long: a few MB of gzip may unpack to any number of GB.
        values = _take(file, math.prod(shape) + 1)
    if len(values) != math.prod(shape):
        header = 4 + 4 * axes
        raise _wrong_size(path, shape, header + len(values), header + math.prod(shape))
    return np.frombuffer(values, np.uint8).reshape(shape)


def _is_gzip(path: Path) -> bool:
    """By its first bytes: browsers unpack and keep the name, or the other way round."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def _take(file: IO[bytes], most: int) -> bytes:
    """Read up to `most` bytes, as they come: `read(most)` makes room for all of a header that lies."""
    return b"".join(_chunks(file, most))


def _skip(file: IO[bytes], most: int) -> int:
    """Read past up to `most` bytes, keeping none, and return how many there were."""
    return sum(map(len, _chunks(file, most)))


def _chunks(file: IO[bytes], most: int) -> Iterator[bytes]:
    while most > 0 and (chunk := file.read(min(most, _CHUNK))):
        most -= len(chunk)
        yield chunk


def _read_header(file: IO[bytes], path: Path, axes: int) -> tuple[int, ...]:
    header = file.read(4 + 4 * axes)
    magic = bytes((0, 0, _UNSIGNED_BYTE, axes))
    if header[:4] != magic:
        what = "images" if axes == IMAGE_AXES else "labels"
        raise ConfigError(
            f"{path}: starts with {header[:4].hex() or 'nothing'}; IDX {what} start with {magic.hex()}, "
            f"so this is another kind of file"
        )
    if len(header) < 4 + 4 * axes:
        raise ConfigError(f"{path}: truncated in its header, {len(header)} bytes; copy or download it again")
    return tuple(int(length) for length in np.frombuffer(header, ">u4", offset=4))


def _size_by_trailer(path: Path) -> int:
    """Return the unpacked size modulo 2^32 that ends a gzip file (RFC 1952): nothing need be unpacked.

    What ends a truncated one is four bytes of something else: 1 in 2^32 passes here, to fail when read.
    """
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        return int.from_bytes(file.read(4), "little")


def _wrong_size(path: Path, shape: tuple[int, ...], found: int, expected: int) -> ConfigError:
    return ConfigError(
        f"{path}: found {found} bytes unpacked; its header says {shape}, which takes {expected}: "
        f"truncated or damaged, copy or download it again"
    )


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, unpacking `.gz`; what damage does to unpacking becomes one ConfigError."""
    try:
        with gzip.open(path) if _is_gzip(path) else path.open("rb") as file:
            yield cast(IO[bytes], file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ConfigError(f"{path}: damaged gzip file ({error}); copy or download it again") from error
