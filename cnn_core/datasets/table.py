"""Kaggle's tables: a line an image, the label first, then its pixels, row by row."""

import math
from pathlib import Path

import numpy as np

from cnn_core.config import ConfigError
from cnn_core.datasets.source import (
    Labels,
    Pixels,
    Source,
    as_bytes,
    as_labels,
    named_parts,
    official,
    parsing,
    spread,
)

_CHUNK = 1 << 20
_LONGEST = 1 << 20
"""Bytes of a first line: 260,000 pixels."""


def find_table(folder: Path, name: str) -> Source | None:
    """Return the images of train.csv and test.csv, or of files whose names end so, or of the dataset's name.

    A table without labels, such as Kaggle's test.csv, has nothing to train on and is passed over.

    Raises: ConfigError if pixels do not make a square, or lines differ.
    """
    parts = [(part, source) for part, path in named_parts(folder, name, ".csv") if (source := _find(path))]
    return official(parts)


def _find(path: Path) -> Source | None:
    with path.open("rb") as file:
        first = file.readline(_LONGEST).decode("utf-8", "replace").strip().split(",")
    header = not all(value.strip().strip('"').isdigit() for value in first)
    if header and first[0].strip().strip('"').lower() not in ("label", "class", "y"):
        return None
    pixels = len(first) - 1
    side, channels = math.isqrt(pixels), 1
    if side**2 != pixels:
        side, channels = math.isqrt(pixels // 3), 3
    if pixels == 0 or channels * side**2 != pixels:
        raise ConfigError(
            f"{path}: found {pixels} pixels a line; expected a label and the pixels of a square image"
        )
    shape = (_count_lines(path) - header, channels, side, side)
    if shape[0] < 1:
        raise ConfigError(f"{path}: holds no image; copy or download it again")
    low, high = spread(_labels(path, header), path)
    return Source((path,), shape, high + 1, lambda: _read(path, shape, header), lowest=low)


def _count_lines(path: Path) -> int:
    count, last = 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            count, last = count + chunk.count(b"\n"), chunk[-1:]
    return count + (last != b"\n")


def _labels(path: Path, header: bool) -> Labels:
    import pandas as pd

    with parsing(path, "a table of label and pixels"):
        table = pd.read_csv(path, header=0 if header else None, usecols=[0], skip_blank_lines=False)
        return as_labels(table.to_numpy(), path, 256)


def _read(path: Path, shape: tuple[int, int, int, int], header: bool) -> tuple[Pixels, Labels]:
    import pandas as pd

    with parsing(path, "a table of label and pixels"):
        table = pd.read_csv(path, header=0 if header else None, skip_blank_lines=False).to_numpy()
        if table.shape != (shape[0], 1 + math.prod(shape[1:])):
            raise ValueError(f"found {table.shape}, expected {(shape[0], 1 + math.prod(shape[1:]))}")
        pixels = np.ascontiguousarray(as_bytes(table[:, 1:], path, "a pixel")).reshape(shape)
        return pixels, as_labels(table[:, 0], path, 256)
