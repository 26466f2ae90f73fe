"""The splits of an estimator's data, by [cv] of grid.toml: scikit-learn's own, one a fold.

`folds = 5` is what GridSearchCV(cv=5) does: stratified for classifiers, in order. `splitter` names a class of
sklearn.model_selection, or one of the user's, with its arguments beside it.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gridrun.cell import Value, as_given
from gridrun.errors import InputError
from gridrun.reading import Reader, Words, choice, shown
from gridrun.trainers.data import Data
from gridrun.trainers.importing import find, load, read_reference, search_path
from gridrun.wording import one_line

KEYS = ("folds", "splitter", "scoring", "outer")
# How many splits a splitter makes by itself. Those that are not here make as many as the data say.
SPLITS = {
    "KFold": 5,
    "StratifiedKFold": 5,
    "GroupKFold": 5,
    "StratifiedGroupKFold": 5,
    "TimeSeriesSplit": 5,
    "RepeatedKFold": 5,
    "RepeatedStratifiedKFold": 5,
    "ShuffleSplit": 10,
    "StratifiedShuffleSplit": 10,
    "GroupShuffleSplit": 5,
}
REPEATS = 10  # of those called Repeated...

# Indices of the training and of the test examples.
Split = tuple[Any, Any]
# An outer fold and a fold; either may be none.
Place = tuple[int | None, int | None]


def compose(among: Any, split: Split) -> Split:
    """A split of some of the examples, `among` them all."""
    return among[split[0]], among[split[1]]


@dataclass(frozen=True)
class CvSettings:
    """[cv] without scoring: how many folds there are, and what makes them; `outer` folds around them."""

    folds: int
    splitter: str | None = None
    arguments: Mapping[str, Value] = field(default_factory=dict)
    outer: int | None = None

    @property
    def overlap(self) -> float | None:
        """Test examples by training examples of a split, where it is not one of `folds` parts."""
        name = self.splitter or ""
        if name.startswith("Repeated"):
            parts = self.arguments.get("n_splits", SPLITS[name])
            return 1 / (parts - 1) if isinstance(parts, int) and parts > 1 else None
        share = self.arguments.get("test_size", 0.2 if name.startswith("Group") else 0.1)
        drawn = name in SPLITS and name.endswith("ShuffleSplit")
        return share / (1 - share) if drawn and isinstance(share, float) and share < 1 else None

    def find(self, estimator: Any, data: Data, grid_file: Path) -> str:
        """Split in the parent, twice, and name the splits by a digest. Raises: InputError."""
        place = f"{grid_file}: [cv]"
        if self.splitter is not None and ":" in self.splitter:
            find(self.splitter, grid_file, f"{place} splitter {self.splitter!r}")
        try:
            path = search_path(grid_file)
            digests = {_digest(self.all_splits(estimator, data, path).values()) for _ in range(2)}
        except Exception as error:
            reason = one_line(error).partition(": ")[2] or type(error).__name__
            raise InputError(f"{place}: {reason}") from None
        if len(digests) > 1:
            raise InputError(
                f"{place}: {self.splitter} splits anew each time it is asked; write random_state = 0"
            )
        return digests.pop()

    def all_splits(self, estimator: Any, data: Data, path: Sequence[str] = ()) -> dict[Place, Split]:
        """Every split by its place: (None, fold); or with outer folds (outer, fold), and (outer, None).

        Raises: ValueError as `split`.
        """
        if self.outer is None:
            return {(None, fold): split for fold, split in enumerate(self.split(estimator, data, path))}
        splits: dict[Place, Split] = {}
        for outer, (train, test) in enumerate(self._split_outer(estimator, data)):
            inner = self.split(estimator, data.take(train), path)
            splits |= {(outer, fold): compose(train, split) for fold, split in enumerate(inner)}
            splits[outer, None] = train, test
        return splits

    def _split_outer(self, estimator: Any, data: Data) -> list[Split]:
        """As `folds` splits; whole groups, where there are groups."""
        from sklearn.base import is_classifier
        from sklearn.model_selection import GroupKFold, check_cv

        assert self.outer is not None
        splitter = check_cv(self.outer, data.y, classifier=is_classifier(estimator))
        if data.groups is not None:
            splitter = GroupKFold(self.outer)
        return list(splitter.split(data.x, data.y, data.groups))

    def split(self, estimator: Any, data: Data, path: Sequence[str] = ()) -> list[Split]:
        """The splits, in order. Raises: ValueError if they are not as many as folds, or can't be made."""
        splitter = self._splitter(estimator, data, path)
        name, module = type(splitter).__name__, type(splitter).__module__
        if data.groups is not None and module.startswith("sklearn.") and "Group" not in name:
            raise ValueError(
                f"{name} ignores groups: one would be on both sides;"
                ' write splitter = "GroupKFold", or leave them out of [data]'
            )
        splits = list(splitter.split(data.x, data.y, data.groups))
        if len(splits) != self.folds:
            raise ValueError(
                f"{self.splitter} makes {len(splits)} splits of these data; write folds = {len(splits)}"
            )
        return splits

    def _splitter(self, estimator: Any, data: Data, path: Sequence[str]) -> Any:
        from sklearn import model_selection
        from sklearn.base import is_classifier

        if self.splitter is None:
            return model_selection.check_cv(self.folds, data.y, classifier=is_classifier(estimator))
        arguments = {name: as_given(value) for name, value in self.arguments.items()}
        if ":" in self.splitter:
            found = load(self.splitter, path)
            return found(**arguments) if isinstance(found, type) or arguments else found
        known = {name: each for name, each in vars(model_selection).items() if hasattr(each, "split")}
        if self.splitter not in known:
            raise ValueError(f"no splitter {self.splitter!r}; write {choice(self.splitter, sorted(known))}")
        return known[self.splitter](**arguments)


def read_cv(reader: Reader, found: Mapping[str, Any]) -> CvSettings:
    """Read [cv] without scoring. Raises: InputError."""
    settings = _read_inner(reader, found)
    if "outer" not in found:
        return settings
    if settings.splitter == "TimeSeriesSplit":
        reader.refuse("[cv] outer folds know no time", Words("TimeSeriesSplit"), "one of them")
    return replace(settings, outer=_read_count(reader, "outer", found["outer"], least=2))


def _read_inner(reader: Reader, found: Mapping[str, Any]) -> CvSettings:
    if "splitter" not in found:
        for key in found:
            if key not in KEYS:
                reader.refuse(f"[cv] {key} goes with a splitter", found[key], 'splitter = "KFold" beside it')
        return CvSettings(_read_count(reader, "folds", found.get("folds"), least=2))
    name = found["splitter"]
    if not isinstance(name, str) or not name:
        reader.refuse("[cv] splitter must be a text", name, 'splitter = "StratifiedKFold"')
    if ":" in name:
        read_reference(reader, "[cv] splitter", name, '"my_splits.py:Blocked"')
    arguments = {key: reader.value(f"[cv] {key}", value) for key, value in found.items() if key not in KEYS}
    if name not in SPLITS:
        if "folds" not in found:
            reader.refuse(
                f"[cv] splitter {shown(name)} needs folds, as many as it makes of these data",
                Words("none"),
                "folds = 5",
            )
        return CvSettings(_read_count(reader, "folds", found["folds"]), name, arguments)
    if "folds" in found:
        reader.refuse(f"[cv] {name} has n_splits", Words("folds"), f"n_splits = {found['folds']!r}")
    count = _read_count(reader, "n_splits", arguments.get("n_splits", SPLITS[name]))
    if name.startswith("Repeated"):
        count *= _read_count(reader, "n_repeats", arguments.get("n_repeats", REPEATS))
    return CvSettings(count, name, arguments)


def _read_count(reader: Reader, key: str, found: object, least: int = 1) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or found < least:
        missing = Words("none") if found is None else found
        reader.refuse(f"[cv] {key} must be a whole number from {least}", missing, f"{key} = 5")
    return found


def _digest(splits: Iterable[Split]) -> str:
    import numpy as np

    digest = hashlib.sha256()
    for split in splits:
        for part in split:
            indices = np.asarray(part)
            if indices.dtype == bool:
                indices = np.flatnonzero(indices)
            digest.update(f"{len(indices)} ".encode() + np.ascontiguousarray(indices, dtype=np.int64).data)
    return digest.hexdigest()[:16]
