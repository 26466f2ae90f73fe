"""An estimator in hand: `gridrun.sweep(SVC(), {"C": [1, 10]}, data=(X, y), cv=5, metric="accuracy")`.

It is swept as `estimator = ...` of a grid.toml is, and gives the same scores. The estimator, the data and the
splitter travel as one pickle, which is never kept; the content of all three is part of a cell's identity.
grid.toml, as the store keeps it, says `callable`, and the folds as a replicate axis.
"""

import pickle
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from gridrun.errors import InputError
from gridrun.grid import Grid
from gridrun.reading import Reader
from gridrun.trainers.content import Unhashable, hash_function
from gridrun.trainers.data import Data, DataSettings, is_share, taken
from gridrun.trainers.estimator import EstimatorRunner, EstimatorSettings, EstimatorTrainer, references_of
from gridrun.trainers.scoring import read_scoring
from gridrun.trainers.splits import CvSettings
from gridrun.wording import one_line


@dataclass(frozen=True)
class DataInHand(DataSettings):
    """Data of the call's."""

    found: Data | None = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "found": None}

    def find(self, grid_file: Path, place: str) -> Data:  # noqa: ARG002 - they are no file's
        return self.read(())

    def read(self, path: Sequence[str]) -> Data:  # noqa: ARG002
        assert self.found is not None
        return self.found


@dataclass(frozen=True)
class CvInHand(CvSettings):
    """A splitter of the call's; None is what `folds` says."""

    made: Any = field(default=None, repr=False, compare=False)
    between: float | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "made": None}

    @property
    def overlap(self) -> float | None:
        return self.between

    def _splitter(self, estimator: Any, data: Data, path: Sequence[str]) -> Any:
        return super()._splitter(estimator, data, path) if self.made is None else self.made


@dataclass(frozen=True)
class EstimatorInHand(EstimatorSettings):
    """`function` is what travels: the estimator, the data, the splitter; `content` the hash of the first.

    `key` tells one call of `gridrun.sweep` from the next.
    """

    data: DataInHand
    cv: CvInHand
    content: str = ""
    key: str = ""
    function: Any = field(default=None, repr=False, compare=False)
    parcel: bytes = field(default=b"", repr=False, compare=False)
    parcel_file: str = field(default="", compare=False)
    by_name: ClassVar[bool] = False

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "function": None}

    def find(self, grid: Grid, grid_file: Path) -> EstimatorTrainer:
        """Check that it takes the grid's names, and split its data. Raises: InputError."""
        trainer = super().find(grid, Path(grid_file.name))
        return trainer if trainer.version is not None else replace(trainer, version=self.content)

    def sources(self, path: Sequence[str]) -> dict[str, str]:
        """The hash of its content, and of every source of the user's that the grid's values name."""
        return {**super().sources(path), self.name: self.content}

    def load(self, path: Sequence[str]) -> EstimatorRunner:
        """Unpack it in a worker. Raises: whatever unpickling raises."""
        if self.function is not None:
            return super().load(path)
        sys.path[:0] = [entry for entry in path if entry not in sys.path]
        held = pickle.loads(self.parcel or Path(self.parcel_file).read_bytes())
        _, data, made = held
        return replace(
            self, function=held, data=replace(self.data, found=data), cv=replace(self.cv, made=made)
        ).load(path)

    def _find(self, grid_file: Path, place: str) -> Any:  # noqa: ARG002 - it is in hand
        return self.function[0]

    def _load(self, path: Sequence[str]) -> Any:  # noqa: ARG002
        return self.function[0]


def is_estimator(train: Any) -> bool:
    """Whether this is an estimator of scikit-learn's kind, and no class of such."""
    return hasattr(train, "fit") and hasattr(train, "get_params") and not isinstance(train, type)


def take_estimator(
    estimator: Any, study: Mapping[str, Any], tables: Mapping[str, Any], where: str
) -> EstimatorInHand:
    """Take an estimator in hand, with `data`, `cv`, `scoring`, `outer`, `test_size`. Raises: InputError."""
    from sklearn.base import clone
    from sklearn.utils import indexable

    sweep, name, data, scoring = tables["sweep"], type(estimator).__name__, study["data"], study["scoring"]
    if data is None:
        raise InputError(f"{where}: {name} is an estimator and needs data; write data=(X, y)")
    if sweep["mode"] == "min":
        raise InputError(f"{where}: of every scorer more is better, found mode='min'; leave it out")
    try:
        found = taken(data, "found", "write")
        found = Data(*indexable(found.x, found.y, found.groups, found.weights))
    except ValueError as error:
        raise InputError(f"{where}: data: {one_line(error).partition(': ')[2]}") from None
    settings = _take_cv(5 if study["cv"] is None else study["cv"], found, where)
    settings = replace(settings, outer=_take_outer(study["outer"], settings, where))
    if (size := study["test_size"]) is not None and not is_share(size):
        raise InputError(
            f"{where}: test_size must be a share or a number of examples, found {size!r}; write test_size=0.2"
        )
    names = read_scoring(
        Reader(where), list(scoring) if isinstance(scoring, tuple) else scoring, sweep["metric"]
    )
    fresh = clone(estimator, safe=False)
    try:
        content = hash_function(fresh).hash
    except Unhashable as error:
        raise InputError(f"{where}: what {name} holds is part of its identity, and {error}") from None
    objects = tuple(dict.fromkeys(references_of([tables["fixed"], tables["grid"]])))
    return EstimatorInHand(
        name, DataInHand(found=found, test_size=size), settings, names, sweep["budget"], objects,
        content=content, key=uuid4().hex, function=(fresh, found, settings.made),
    )  # fmt: skip


def _take_outer(outer: Any, inner: CvInHand, where: str) -> int | None:
    if outer is None:
        return None
    if isinstance(outer, bool) or not isinstance(outer, int) or outer < 2:
        raise InputError(f"{where}: outer must be a number of folds from 2, found {outer!r}; write outer=5")
    if inner.splitter == "TimeSeriesSplit":
        raise InputError(f"{where}: outer folds know no time, found TimeSeriesSplit; leave outer out")
    return outer


def _take_cv(cv: Any, data: Data, where: str) -> CvInHand:
    if isinstance(cv, int) and not isinstance(cv, bool) and cv >= 2:
        return CvInHand(cv)
    if not hasattr(cv, "split") or not hasattr(cv, "get_n_splits"):
        raise InputError(
            f"{where}: cv must be a number of folds from 2 or a splitter, found {type(cv).__name__};"
            " write cv=5 or cv=StratifiedKFold(5)"
        )
    try:
        folds = int(cv.get_n_splits(data.x, data.y, data.groups))
    except Exception as error:  # whatever a splitter of the user's raises
        raise InputError(f"{where}: cv: {one_line(error).partition(': ')[2]}") from None
    name = type(cv).__name__
    arguments = {"n_splits": folds // cv.n_repeats} if hasattr(cv, "n_repeats") else {}
    if isinstance(share := getattr(cv, "test_size", None), float):
        arguments["test_size"] = share
    known = CvSettings(folds, name, arguments)
    return CvInHand(folds, name, made=cv, between=known.overlap)
