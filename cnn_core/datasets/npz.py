"""`mnist.npz`: four arrays of NumPy, the form in which Keras keeps MNIST."""

import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from cnn_core.config import ConfigError
from cnn_core.datasets.source import Labels, Pixels, Source, as_bytes, as_labels, parsing

PARTS = ("train", "test")


def find_npz(path: Path, classes: int) -> Source:
    """Return the images of x_train (N, H, W) and then of x_test, with the classes of y_train and y_test.

    Raises: ConfigError if the file is damaged or holds something else.
    """
    with parsing(path, "an .npz file"), zipfile.ZipFile(path) as archive:
        shapes = {
            name.removesuffix(".npy"): measure(archive, name)
            for name in archive.namelist()
            if name.endswith(".npy") and name.removesuffix(".npy").isidentifier()
        }
    count, sides = 0, set()
    for part in PARTS:
        x, y = shapes.get(f"x_{part}"), shapes.get(f"y_{part}")
        if x is None or y is None or len(x) != 3 or y != x[:1]:
            raise ConfigError(f"{path}: found {_list(shapes)}; expected x_{part} (N, H, W) and y_{part} (N,)")
        count += x[0]
        sides.add(x[1:])
    if len(sides) != 1:
        raise ConfigError(f"{path}: found {_list(shapes)}; expected images of one size")
    ((rows, columns),) = sides
    shape = (count, 1, rows, columns)
    return Source((path,), shape, classes, lambda: _read(path, shape, classes))


def _read(path: Path, shape: tuple[int, int, int, int], classes: int) -> tuple[Pixels, Labels]:
    with parsing(path, "an .npz file"), np.load(path, allow_pickle=False) as arrays:
        x = np.concatenate([as_bytes(arrays[f"x_{part}"], path, f"x_{part}") for part in PARTS])
        y = np.concatenate([as_labels(arrays[f"y_{part}"], path, classes) for part in PARTS])
    return x.reshape(shape), y


def measure(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    """Return the shape of an array in an .npz, having seen that as many bytes are there as it takes."""
    with archive.open(name) as member:
        version = npy.read_magic(member)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(member)
        expected = member.tell() + math.prod(shape) * dtype.itemsize
    found = archive.getinfo(name).file_size
    if found != expected:
        raise ValueError(f"{name} has {found} bytes; its header says {shape}, which takes {expected}")
    return shape


def _list(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "nothing"
