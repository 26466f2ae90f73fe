"""Images as files, in a folder for each class: train/cat/1.png, or cat/1.png. Read by Pillow."""

from pathlib import Path
from typing import Any

import numpy as np

from cnn_core.config import ConfigError
from cnn_core.datasets.source import Labels, Pixels, Source, official, parsing

ENDINGS = (".png", ".jpg", ".jpeg")
TRAIN = ("train", "training", "trainingset")
TEST = ("test", "testing", "t10k", "testset", "val", "validation", "valid")
MOST_SIDE = 4096
"""Pixels: a file of some kB may promise any number of GB."""


def find_class_folders(folder: Path, name: str) -> Source | None:  # noqa: ARG001
    """Return the images in folders of classes, these in order: 0, 1, ..., 10 by number, others by name.

    Raises: ConfigError if images differ in size, or the test images have other classes.
    """
    children = {child.name.lower(): child for child in _folders(folder)}
    trains, tests = ([children[name] for name in names if name in children] for names in (TRAIN, TEST))
    if trains:
        places = [("train", trains[0]), *(("test", place) for place in tests[:1])]
    else:
        places = [("train", folder)]
    classes = sorted(
        {each.name for _, place in places for each in _folders(place) if _images(each)}, key=_key
    )
    if not classes:
        return None
    found = [(part, source) for part, place in places if (source := _find(place, classes))]
    return official(found)


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and child.name[0] not in "._")


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.name[0] != ".")


def _key(name: str) -> tuple[int, int, str]:
    return (0, int(name), "") if name.isascii() and name.isdigit() else (1, 0, name)


def _find(place: Path, classes: list[str]) -> Source | None:
    paths, labels = list[Path](), list[int]()
    for label, name in enumerate(classes):
        for path in _images(place / name) if (place / name).is_dir() else ():
            paths.append(path)
            labels.append(label)
    if not paths:
        return None
    sizes, colour = dict[tuple[int, int], Path](), False
    for path in paths:
        with parsing(path, "a PNG or JPEG"), _pillow().open(path, formats=("PNG", "JPEG")) as image:
            sizes.setdefault(image.size, path)
            colour = colour or image.mode not in ("1", "L", "LA", "I;16", "I")
    if len(sizes) > 1:
        (one, first), (two, second) = list(sizes.items())[:2]
        raise ConfigError(
            f"{second}: is {two[0]}x{two[1]}, {first} is {one[0]}x{one[1]}; write all images in one size"
        )
    ((columns, rows),) = sizes
    if max(columns, rows) > MOST_SIDE:
        raise ConfigError(f"{paths[0]}: is {columns}x{rows}; write images of at most {MOST_SIDE} a side")
    shape = (len(paths), 3 if colour else 1, rows, columns)
    return Source(tuple(paths), shape, len(classes), lambda: _read(paths, labels, shape))


def _read(paths: list[Path], labels: list[int], shape: tuple[int, int, int, int]) -> tuple[Pixels, Labels]:
    _, channels, rows, columns = shape
    pixels = np.empty(shape, np.uint8)
    for number, path in enumerate(paths):
        with parsing(path, "a PNG or JPEG"), _pillow().open(path, formats=("PNG", "JPEG")) as image:
            if image.size != (columns, rows):
                raise ValueError(f"its size has changed to {image.size}")
            image = image.convert("RGB" if channels == 3 else "L")
            pixels[number] = np.asarray(image).reshape(rows, columns, channels).transpose(2, 0, 1)
    return pixels, np.array(labels, np.int32)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ConfigError(
            "images in files are read by Pillow, which is not there; pip install pillow"
        ) from error
    return Image
