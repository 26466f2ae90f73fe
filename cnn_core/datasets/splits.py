"""Which images are held out of training, and the refusal of what cannot be held out."""

import numpy as np
from numpy.typing import NDArray

from cnn_core.config import ConfigError
from cnn_core.datasets.source import Labels

SPLITS = ("test", "validation", "folds", "official")
FOLDS = 5
"""Of split = "folds", if it is not said how many."""


def held_size(train_size: int, split: str, validation_size: int | None) -> int:
    """Return how many of the last training images are held out for selection: none unless split says so."""
    if split != "validation":
        if validation_size is not None:
            raise ConfigError(
                f'validation_size {validation_size} has no meaning with split = "{split}"; '
                f'remove it, or write split = "validation"'
            )
        return 0
    if validation_size is None:
        validation_size = train_size // 5
        origin = f"a fifth of train_size {train_size} is"
    else:
        origin = "validation_size is"
    if isinstance(validation_size, bool) or not isinstance(validation_size, int):
        raise ConfigError(f"validation_size must be a whole number, found {validation_size!r}; write 100")
    if not 1 <= validation_size < train_size:
        raise ConfigError(
            f'{origin} {validation_size}, but split = "validation" holds out at least 1 and fewer than '
            f"train_size {train_size}; write another validation_size or a larger train_size"
        )
    return validation_size


def check_folds(
    train_size: int,
    split: str,
    folds: int | None,
    fold: int | None,
    outer_folds: int | None,
    outer: int | None,
) -> None:
    """Raise ConfigError for folds that cannot be, and for those that `split` has no use for."""
    said = {"folds": folds, "fold": fold, "outer_folds": outer_folds, "outer": outer}
    if split != "folds":
        for name, value in said.items():
            if value is not None:
                raise ConfigError(
                    f'{name} {value} has no meaning with split = "{split}"; '
                    f'remove it, or write split = "folds"'
                )
        return
    left, of = train_size, f"train_size {train_size}"
    if outer is not None or outer_folds is not None:
        count = _check_fold(("outer_folds", "outer"), outer_folds, outer, left, of)
        left -= -(-left // count)  # the largest part
        of = f"the {left} images that outer folds leave"
    if outer is None or fold is not None or folds is not None:
        _check_fold(("folds", "fold"), folds, fold, left, of, needed=outer is None)


def _check_fold(
    names: tuple[str, str], count: int | None, place: int | None, most: int, of: str, *, needed: bool = True
) -> int:
    """Return how many parts there are, five if it is not said. Raises: ConfigError."""
    parts, part = names
    count = FOLDS if count is None else count
    if isinstance(count, bool) or not isinstance(count, int) or not 2 <= count <= most:
        raise ConfigError(f"{parts} must be a whole number from 2 to {of}, found {count!r}; write 5")
    if place is None and not needed:
        return count
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < count:
        found = "none" if place is None else repr(place)
        raise ConfigError(
            f"{part} must be a whole number from 0 to {count - 1} with {parts} {count}, found {found}; "
            f"as a replicate axis write {part} = {list(range(count)) if count <= 10 else [0, 1, 2]}"
        )
    return count


def check_official(name: str, train_size: int, test_size: int, count: int, tests: int) -> None:
    """Raise ConfigError if a dataset's own split, `tests` of `count` images for testing, has too few."""
    if tests == 0:
        raise ConfigError(
            f'split = "official" needs test images that {name} keeps apart, found none; write split = "test"'
        )
    for argument, size, most in (("train_size", train_size, count - tests), ("test_size", test_size, tests)):
        if size > most:
            raise ConfigError(
                f"{argument} {size} is more than the {most} images that {name} has for it with "
                f'split = "official"; '
                f"write at most {most}"
            )


def deal(labels: Labels, folds: int) -> NDArray[np.int64]:
    """The fold of each image: sorted by class, then dealt in turn.

    So no two folds differ by more than one image, neither in size nor within a class.

    Shapes: labels (N,); result (N,), from 0 to folds - 1.
    """
    dealt = np.empty(len(labels), dtype=np.int64)
    dealt[np.argsort(labels, kind="stable")] = np.arange(len(labels)) % folds
    return dealt


def require_int(argument: str, value: int, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{argument} must be a whole number of at least {least}, found {value!r}")


def either(names: tuple[str, ...]) -> str:
    return " or ".join(f'"{name}"' for name in names)
