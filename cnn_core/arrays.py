"""Images and labels that are arrays already, in whichever layout people have them.

Axes as in layers/: N C H W. Layouts are told apart by the axis of channels: it has at most 4 of them.
"""

import math
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import ConfigError
from cnn_core.datasets import Images

Array = NDArray[Any]
MOST_CHANNELS = 4


def from_arrays(
    x: Any, y: Any, held_x: Any, held_y: Any, *, image_shape: Sequence[int] | None = None,
    classes: int | None = None,
) -> Images:  # fmt: skip
    """Images to train on and others to be judged on, for `cnn_core.train(images=...)` and `fit`.

    Shapes: x and held_x (N, H, W), (N, C, H, W), (N, H, W, C), or flat (N, D) with `image_shape` saying what
    was made flat: (H, W), (C, H, W) or (H, W, C). Labels (N,), whole numbers from 0.
    Units: floats in [0, 1], or bytes.
    Raises: ConfigError for anything else, or layouts that cannot be told apart.
    """
    train_x, held = (as_pixels(arrange(part, image_shape)) for part in (x, held_x))
    if train_x.shape[1:] != held.shape[1:]:
        raise ConfigError(f"held_x has images {held.shape[1:]}, x has {train_x.shape[1:]}; write the same")
    train_y, held_labels = _as_labels("y", y, len(train_x)), _as_labels("held_y", held_y, len(held))
    found = 1 + max(int(train_y.max()), int(held_labels.max()))
    if classes is not None and (isinstance(classes, bool) or not isinstance(classes, int) or classes < found):
        raise ConfigError(f"classes must be a whole number from {found}, found {classes!r}; write {found}")
    return Images(train_x, train_y, held, held_labels, held, held_labels, classes or found)


def fingerprint(images: Images) -> str:
    """A hash of what is trained on and judged by: 64 bits of SHA-256, hexadecimal."""
    digest = sha256()
    for array in (images.train_x, images.train_y, images.held_x, images.held_y):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def arrange(images: Any, image_shape: Sequence[int] | None = None) -> Array:
    """The same numbers as (N, C, H, W). `from_arrays` says what may be given. Raises: ConfigError."""
    x = as_array(images)
    given = None if image_shape is None else _as_shape(image_shape)
    if x.ndim == 2:
        if given is None:
            side = math.isqrt(x.shape[1])
            example = (side, side) if side**2 == x.shape[1] else (3, 32, 32)
            raise ConfigError(f"images are flat, {x.shape}; write image_shape, as in image_shape = {example}")
        if math.prod(given) != x.shape[1]:
            raise ConfigError(
                f"image_shape {given} has {math.prod(given)} pixels, found {x.shape[1]} an image; mend it"
            )
        x = x.reshape(len(x), *given)
    elif x.ndim not in (3, 4):
        raise ConfigError(f"images must have shape (N, H, W) or (N, C, H, W), found {x.shape}")
    elif given is not None and x.shape[1:] not in (given, (1, *given), (*given, 1)):
        raise ConfigError(f"images must have shape (N, {_text(given)}) as image_shape says, found {x.shape}")
    if not x.size:
        raise ConfigError(f"images must be some, found {x.shape}")
    return channels_first(x)


def channels_first(x: Array) -> Array:
    """(N, H, W), (N, C, H, W) or (N, H, W, C) as (N, C, H, W). Raises: ConfigError if both are possible."""
    if x.ndim == 3:
        return x[:, None]
    first, last = x.shape[1] <= MOST_CHANNELS, x.shape[3] <= MOST_CHANNELS
    if first == last:
        which = "both have" if first else "neither has"
        raise ConfigError(
            f"images {x.shape}: channels may be the second axis or the last, as {which} at most"
            f" {MOST_CHANNELS}; write arrays (N, C, H, W) or (N, H, W, C) of which one alone has"
        )
    return x if first else x.transpose(0, 3, 1, 2)


def matching(images: Any, shape: tuple[int, int, int]) -> Array:
    """Images for a network that knows the shape (C, H, W) of each: in that shape, or one that means it.

    Raises: ConfigError.
    """
    x, (channels, rows, columns) = as_array(images), shape
    if x.shape[1:] == shape:
        return x
    if x.shape[1:] == (rows, columns, channels):
        return x.transpose(0, 3, 1, 2)
    if x.shape[1:] == (rows, columns) and channels == 1:
        return x[:, None]
    raise ConfigError(f"images must have shape (N, {_text(shape)}), found {x.shape}")


def as_array(images: Any) -> Array:
    try:
        return np.asarray(images)
    except ValueError as error:  # rows of different lengths
        raise ConfigError(f"images must be one array, found a list that is none ({error})") from None


def as_pixels(images: Array) -> NDArray[np.float32]:
    """Images as a network knows them: float32 in [0, 1], bytes divided by 255. Raises: ConfigError."""
    if images.dtype == np.uint8:
        pixels: NDArray[np.float32] = np.divide(
            np.ascontiguousarray(images), np.float32(255), dtype=np.float32
        )
        return pixels
    wanted = "images must be floats in [0, 1] or bytes (uint8)"
    if not np.issubdtype(images.dtype, np.floating):
        raise ConfigError(
            f"{wanted}, found {images.dtype}; write images.astype(numpy.uint8) if they are 0..255"
        )
    if not ((images >= 0) & (images <= 1)).all():  # a NaN is neither
        low, high = images.min(), images.max()
        raise ConfigError(f"{wanted}, found {low:g} to {high:g}; divide them by 255, or clip them")
    return np.array(images, np.float32, order="C")


def _as_labels(name: str, labels: Any, count: int) -> NDArray[np.int32]:
    y = np.asarray(labels)
    if y.shape != (count,):
        raise ConfigError(f"{name} must have shape ({count},), one an image, found {y.shape}")
    if not np.issubdtype(y.dtype, np.integer):
        raise ConfigError(
            f"{name} must be whole numbers from 0, found {y.dtype}; CNNClassifier takes labels of any type"
        )
    if y.min() < 0 or y.max() >= 2**31:
        raise ConfigError(f"{name} must be whole numbers from 0, found {y.min()} to {y.max()}")
    return y.astype(np.int32)


def _as_shape(shape: Any) -> tuple[int, ...]:
    try:
        found = tuple(int(side) for side in shape)
        fine = len(found) in (2, 3) and min(found) > 0 and found == tuple(shape)
    except (TypeError, ValueError):
        fine = False
    if not fine:
        raise ConfigError(f"image_shape must be (H, W), (C, H, W) or (H, W, C), found {shape!r}")
    return found


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
