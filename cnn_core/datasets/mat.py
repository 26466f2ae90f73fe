"""`mnist-original.mat`: MNIST as a MATLAB file, the form in which mldata.org once served it.

Read here and not by scipy.io.loadmat, because that takes the process down on a damaged file: of 400 bytes
in and around the headers, set to eight values each in turn, 24 changes ended SciPy 1.17.1 by SIGSEGV or
SIGBUS (it indexes by type codes that it does not check). It also takes 0.2 s to import.

Format ("Level 5", MATLAB 5 to 7): a header of 128 bytes, then elements. An element is a tag, two uint32
(type, bytes), and its data, padded to 8 bytes; or, up to 4 bytes of data, two uint16 (type, bytes) and the
data. A variable is an element of type MATRIX that holds the elements flags, dimensions, name and values, or
an element of type COMPRESSED that holds such an element packed by zlib. Values are stored column by column,
in the smallest type that can hold them.

Source: The MathWorks, "MAT-File Format" (R2019b), chapter 1.
"""

import math
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from cnn_core.config import ConfigError
from cnn_core.datasets.source import AnyArray, Labels, Pixels, Source, as_bytes, as_labels, parsing, plain

SIDE = 28

_HEADER = 128
_TAG = struct.Struct("<II")
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
_NUMERIC_CLASSES = range(6, 16)
"""Of an array; below are cells, structures, objects, text and sparse matrices, which are passed over."""
_COMPLEX = 0x08
_HEAD = 4096
"""Bytes of a variable that are looked at for its flags, dimensions and name."""
_PADDING = 8
_KIND = "a MATLAB file of version 5 to 7"


@dataclass(frozen=True)
class _Array:
    """A numeric array: where its values are, in bytes from the start of the element, unpacked."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    start: int
    element: "_Element"


@dataclass(frozen=True)
class _Element:
    """A variable's element without its tag: where it is in the file, and its sizes there and unpacked."""

    at: int
    size: int
    packed: bool
    unpacked_size: int


def find_mat(path: Path, classes: int) -> Source:
    """Return the images of `data` (784, N), one a column, rows first, with the classes of `label` (1, N).

    Raises: ConfigError if the file is damaged or holds something else.
    """
    arrays = _arrays(path)
    data, label = arrays.get("data"), arrays.get("label")
    if data is None or label is None or data.shape != (SIDE**2, math.prod(label.shape)):
        raise ConfigError(f"{path}: found {_list(arrays)}; expected data ({SIDE**2}, N) and label (1, N)")
    shape = (data.shape[1], 1, SIDE, SIDE)

    def read() -> tuple[Pixels, Labels]:
        with parsing(path, _KIND), path.open("rb") as file:
            columns, labels = _read(file, data), _read(file, label)
        pixels = np.ascontiguousarray(as_bytes(columns, path, "data").T).reshape(shape)
        return pixels, as_labels(labels, path, classes)

    # OpenML and mldata.org keep MNIST's order: the training images first.
    return Source((path,), shape, classes, read, test_count=10_000 if shape[0] == 70_000 else 0)


def find_mat_file(folder: Path, name: str) -> Source | None:
    """Return the images of mnist-original.mat or mnist.mat."""
    for file in ("mnist-original.mat", "mnist.mat"):
        if plain(name) == "mnist" and (folder / file).is_file():
            return find_mat(folder / file, 10)
    return None


def find_svhn_mat(path: Path) -> Source:
    """Return the images of `X` (32, 32, 3, N), rows first, with the classes of `y` (N, 1), 10 meaning 0.

    Raises: ConfigError if the file is damaged or holds something else.
    """
    arrays = _arrays(path)
    images, label = arrays.get("X"), arrays.get("y")
    if images is None or label is None or images.shape != (32, 32, 3, math.prod(label.shape)):
        raise ConfigError(f"{path}: found {_list(arrays)}; expected X (32, 32, 3, N) and y (N, 1)")

    def read() -> tuple[Pixels, Labels]:
        with parsing(path, _KIND), path.open("rb") as file:
            values, labels = _read(file, images), _read(file, label)
        pixels = np.ascontiguousarray(as_bytes(values, path, "X").transpose(3, 2, 0, 1))
        return pixels, as_labels(labels, path, 11) % np.int32(10)

    return Source((path,), (images.shape[3], 3, 32, 32), 10, read)


def _arrays(path: Path) -> dict[str, _Array]:
    """The numeric arrays of a file. Raises: ConfigError if it is damaged, or of another version."""
    with parsing(path, _KIND), path.open("rb") as file:
        head = file.read(_HEADER)
        if version := _other_version(head):
            raise ConfigError(
                f"{path}: is a MATLAB file of version {version}, which is not read; "
                f"save it again in MATLAB with save(..., '-v7'), or in Python with scipy.io.savemat"
            )
        file.seek(0)
        return {array.name: array for array in _walk(file)}


def _other_version(head: bytes) -> str | None:
    if head.startswith((b"MATLAB 7.3", b"\x89HDF")):
        return "7.3"
    if len(head) >= 20:  # version 4 has no text, but the header of its first matrix
        kind, rows, columns, imaginary, length = struct.unpack_from("<5i", head)
        if kind in range(5000) and rows > 0 and columns > 0 and imaginary in (0, 1) and 0 < length < 100:
            return "4"
    return None


def _list(arrays: dict[str, _Array]) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "no numeric array"


def _walk(file: IO[bytes]) -> Iterator[_Array]:
    """Yield the numeric arrays of a file, from their headers: the values are not read."""
    header = file.read(_HEADER)
    if header[124:] != b"\x00\x01IM":
        raise ValueError(f"header ends with {header[124:].hex() or 'nothing'} instead of 0001494d")
    end, at = file.seek(0, os.SEEK_END), _HEADER
    while at < end:
        file.seek(at)
        kind, size = _TAG.unpack(file.read(_TAG.size))
        at += _TAG.size
        if at + size > end:
            raise ValueError(f"an element of {size} bytes starts at {at}, but the file ends at {end}")
        head, unpacked_size = file.read(min(size, _HEAD)), size
        if packed := kind == _COMPRESSED:
            head = zlib.decompressobj().decompress(head, _HEAD)
            kind, unpacked_size = _TAG.unpack_from(head)
            head = head[_TAG.size :]
        if kind == _MATRIX:
            array = _parse(head, _Element(at, size, packed, unpacked_size))
            if array is not None:
                yield array
        at += size


def _parse(head: bytes, element: _Element) -> _Array | None:
    """Return what the start of a variable says of it, or None if that is not a real numeric array."""
    _, start, _, at = _next(head, 0)
    flags = head[start + 1]
    if head[start] not in _NUMERIC_CLASSES or flags & _COMPLEX:
        return None
    _, start, size, at = _next(head, at)
    shape = struct.unpack_from(f"<{size // 4}i", head, start)
    _, start, size, at = _next(head, at)
    name = head[start : start + size].decode("ascii")
    if not name.isidentifier():  # MATLAB's own, unnamed variables
        return None
    kind, start, size, _ = _next(head, at)
    dtype = _TYPES.get(kind)
    if dtype is None or min(shape) < 0 or math.prod(shape) * np.dtype(dtype).itemsize != size:
        raise ValueError(f"{name} {shape} has {size} bytes of type {kind}, which do not fit")
    if start + size > element.unpacked_size:
        raise ValueError(f"{name} has {size} bytes in an element of {element.unpacked_size}")
    if element.unpacked_size > start + size + _PADDING:  # what would be unpacked for nothing
        raise ValueError(f"{name} has {size} bytes, and its element {element.unpacked_size}")
    return _Array(name, shape, dtype, start, element)


def _next(head: bytes, at: int) -> tuple[int, int, int, int]:
    """Return type, start and size of the data of the element at `at`, and where the next element is."""
    kind, size = _TAG.unpack_from(head, at)
    if kind >> 16:
        return kind & 0xFFFF, at + 4, kind >> 16, at + 8
    start = at + _TAG.size
    return kind, start, size, start + (size + 7) // 8 * 8


def _read(file: IO[bytes], array: _Array) -> AnyArray:
    element = array.element
    file.seek(element.at)
    content = file.read(element.size)
    if element.packed:
        promised = _TAG.size + element.unpacked_size
        unpacking = zlib.decompressobj()
        # One byte more than promised, and zlib gets to the checksum at its end if there is none such.
        content = unpacking.decompress(content, promised + 1)
        if len(content) != promised or not unpacking.eof:
            raise ValueError(f"{array.name} unpacks to other than the {promised} bytes that it promises")
        content = content[_TAG.size :]
    count = math.prod(array.shape)
    return np.frombuffer(content, array.dtype, count, array.start).reshape(array.shape, order="F")
