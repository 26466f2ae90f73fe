"""Estimators of scikit-learn's kind: `estimator = "sklearn.svm:SVC"`, with [data] and [cv].

data.py     X, y, groups and sample weights
splits.py   the folds, which are a replicate axis
scoring.py  one fit and its scores
staged.py   the budget axis of ensembles

A cell is one fold of one combination, and its metrics are the scores that GridSearchCV gives, to the last
digit. scikit-learn is imported where it is used: reports of such a sweep do without.
"""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gridrun.cell import Identity, Value, as_given, encode_params, hash_content, read_value
from gridrun.environment import describe_process, digest, source_hashes
from gridrun.errors import EnvironmentFault, InputError
from gridrun.grid import FOLD, OUTER, Grid
from gridrun.reading import Reader, Words, choice
from gridrun.terminal import visible
from gridrun.trainers import Running, Settings
from gridrun.trainers.data import Data, DataSettings, read_data
from gridrun.trainers.importing import find, last_line, load, read_reference, search_path
from gridrun.trainers.scoring import (
    Examination,
    Scorers,
    find_scorers,
    load_scorers,
    read_scoring,
    takes_weights,
)
from gridrun.trainers.splits import CvSettings, Place, Split, compose, read_cv
from gridrun.trainers.staged import CONDITIONS, score_stages, why_no_budget

# A string like this is imported where it is a parameter's value: a step of a pipeline, a function.
_REFERENCE = re.compile(r"([A-Za-z_][\w.]*|[^:\0]+\.py):[A-Za-z_][\w.]*", re.ASCII)
FITTED = "estimator.joblib"  # what a refit leaves: joblib.load gives the fitted estimator
# Their versions say what they are: their sources are not read.
LIBRARIES = ("sklearn", "xgboost", "lightgbm", "numpy", "scipy", "pandas")


@dataclass(frozen=True)
class EstimatorSettings:
    """[sweep] estimator, [data] and [cv]. `objects` are the import strings among the grid's values."""

    name: str
    data: DataSettings
    cv: CvSettings
    scoring: tuple[str, ...]
    budget: str | None = None
    objects: tuple[str, ...] = ()
    mode: ClassVar[str | None] = "max"  # of every scorer more is better

    @property
    def replicates(self) -> Mapping[str, Sequence[int]]:
        """The folds; outer ones around them."""
        outer = {} if self.cv.outer is None else {OUTER: list(range(self.cv.outer))}
        return {**outer, FOLD: list(range(self.cv.folds))}

    @property
    def overlap(self) -> float | None:
        """Of splits that are drawn, or repeated."""
        return self.cv.overlap

    def find(self, grid: Grid, grid_file: Path) -> "EstimatorTrainer":
        """Build the estimator, load the data and split them, to see that all fits. Raises: InputError."""
        _check_library()
        place = f"{grid_file}: [sweep] estimator {self.name!r}"
        found = self._find(grid_file, place)
        estimator = _build(found, place)
        for reference in self.objects:
            find(reference, grid_file, f"{grid_file}: {reference!r}")
        path = search_path(grid_file)
        _check_names(estimator, grid, path, place)
        _check_budget(estimator, grid, path, f"{grid_file}: [sweep] budget")
        find_scorers(self.scoring, grid_file)
        every = self.data.find(grid_file, f"{grid_file}: [data]")
        data = self._kept(every, estimator, grid_file)
        if data.weights is not None and not takes_weights(estimator):
            raise InputError(f"{place}: its fit takes no sample weights; leave them out of [data]")
        splits = self.cv.find(estimator, data, grid_file)
        version = getattr(found, "version", None)
        names = {*grid.fixed, *(axis.name for axis in grid.all_axes)}
        # A refit has no folds, and what was held out of everything else is its test data.
        digests = [data.digest(), *([] if names & {FOLD, OUTER} else [every.digest()])]
        return EstimatorTrainer(
            self.name,
            version if isinstance(version, str) else None,
            hash_content(" ".join([*digests, splits, *sorted(self.scoring)])),
            _defaults(estimator, grid),
        )

    def sources(self, path: Sequence[str]) -> dict[str, str]:
        """See `source_hashes`: of the estimator, the data's function, the scorers, whatever is imported."""
        references = [self.name, self.data.load, self.cv.splitter, *self.scoring, *self.objects]
        hashes: dict[str, str] = {}
        for reference in references:
            if reference is None or ":" not in reference or reference.partition(".")[0] in LIBRARIES:
                continue
            hashes |= source_hashes(reference, path)
        return dict(sorted(hashes.items()))

    def load(self, path: Sequence[str]) -> "EstimatorRunner":
        """Build the estimator, load the data and split them, once a worker. Raises: whatever that raises."""
        estimator = _made(self._load(path))
        data = self.data.read(path)
        held = self.data.hold_out(data, stratify=_classifies(estimator))
        splits = self.cv.all_splits(estimator, data if held is None else data.take(held[0]), path)
        if held is not None:
            splits = {place: compose(held[0], split) for place, split in splits.items()}
            splits[None, None] = held
        scorers = load_scorers(self.scoring, path)
        return EstimatorRunner(
            self, estimator, data, splits, scorers, tuple(path), digest(self.sources(path))
        )

    def _find(self, grid_file: Path, place: str) -> Any:
        return find(self.name, grid_file, place)

    def _load(self, path: Sequence[str]) -> Any:
        return load(self.name, path)

    def _kept(self, data: Data, estimator: Any, grid_file: Path) -> Data:
        try:
            held = self.data.hold_out(data, stratify=_classifies(estimator))
            return data if held is None else data.take(held[0])
        except ValueError as error:
            raise InputError(f"{grid_file}: [data] test_size: {error}") from None


def read(reader: Reader, tables: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Read [sweep] estimator, [data] and [cv]. Raises: InputError."""
    sweep, cv = tables["sweep"], tables["cv"]
    name = read_reference(reader, "[sweep] estimator", sweep["estimator"], '"sklearn.svm:SVC"')
    for table, example in (("data", 'load = "sklearn.datasets:load_digits"'), ("cv", "folds = 5")):
        if not tables[table]:
            reader.refuse(f"an estimator needs [{table}]", Words("none"), f"[{table}] and {example}")
    for axis in (FOLD, OUTER):
        if axis in tables["replicate"]:
            reader.refuse(f"[replicate] {axis} is what [cv] makes", Words("both"), "one of them")
    if "refit" in tables and "test_size" not in tables["data"]:
        reader.refuse("[refit] needs data that took no part", Words("none"), "[data] test_size = 0.2")
    scoring = read_scoring(reader, cv.get("scoring"), sweep["metric"])
    objects = tuple(dict.fromkeys(references_of([tables["fixed"], tables["grid"], tables.get("zip", {})])))
    return EstimatorSettings(
        name, read_data(reader, tables["data"]), read_cv(reader, cv), scoring, sweep.get("budget"), objects
    )


@dataclass(frozen=True)
class EstimatorTrainer:
    """An estimator as the parent sees it. `fingerprint` names data, splits and scorers by their content."""

    reference: str
    version: str | None
    fingerprint: str
    defaults: Mapping[str, Value]
    resumes: ClassVar[bool] = False  # nothing of a fit is kept before its end

    @property
    def advice(self) -> str:
        """How to have cells run anew whose sources have changed: data and splits tell by their content."""
        return f"as {self.reference}.version has not changed: raise it, and they are run anew"

    def validate(self, grid: Grid) -> None:
        """Say nothing: scikit-learn looks at values when it fits, and then the cell has failed."""

    def identity(self, grid: Grid) -> Identity:
        """The estimator, and what its scores depend on besides the parameters."""
        return Identity(self.reference, self.version, ((self.fingerprint, grid.trajectory_count),))


@dataclass(frozen=True)
class EstimatorRunner:
    """An estimator in a worker, with the data and their splits."""

    settings: EstimatorSettings
    estimator: Any
    data: Data
    splits: Mapping[Place, Split]
    scorers: Scorers
    path: tuple[str, ...]
    digest: str  # of the user's sources as they were imported

    def run(self, params: dict[str, Any], running: Running) -> Any:
        """Fit and score one fold of one combination; with a budget axis, score each of its stages.

        Without a fold it is fitted on all that an outer fold leaves, or on all that takes part in the sweep.
        """
        place = params.pop(OUTER, None), params.pop(FOLD, None)
        if place not in self.splits:
            folds = sorted({str(fold) for _, fold in self.splits})
            raise ValueError(f"no such fold, found {place[1]!r}; write one of {', '.join(folds)}")
        estimator = _set(self.estimator, params, self.path)
        examination = Examination(self.data, *self.splits[place], self.scorers)
        examination.fit(estimator)
        if place == (None, None):
            _keep(estimator, running)
        if running.epochs is not None:
            return score_stages(estimator, examination)
        if len(self.scorers) > 1:
            examination.remember(estimator)
        return examination.scores(estimator)

    def code(self) -> str:
        """The digest of the user's sources as they were imported."""
        return self.digest

    def describe(self, sample: Mapping[str, Any]) -> dict[str, str]:  # noqa: ARG002 - the same for all
        """Versions, the user's code, and the data: a machine that has others is refused."""
        own = "" if self.settings.name.partition(".")[0] in LIBRARIES else self.settings.name
        return describe_process(own, self.path) | {"data": self.data.digest()}


def _keep(estimator: Any, running: Running) -> None:
    """Leave the refitted estimator among the trajectory's files."""
    import joblib

    path = Path(running.output_dir(), FITTED)
    try:
        joblib.dump(estimator, path)
    except Exception as error:  # whatever one of its parts makes of pickling
        path.unlink(missing_ok=True)
        print(f"the fitted estimator is not kept: {last_line(error)}")


def _check_library() -> None:
    try:
        import sklearn  # noqa: F401
    except ModuleNotFoundError:
        raise EnvironmentFault(
            "an estimator needs scikit-learn, which is not installed; pip install 'gridrun[sklearn]'"
        ) from None


def _build(found: Any, place: str) -> Any:
    """The estimator that a class makes, a function builds, or that it is. Raises: InputError."""
    try:
        estimator = _made(found)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: it must not pass for a sweep that is done
        raise InputError(
            f"{place}: making it raised {last_line(error)}; write a function that takes nothing and makes it"
        ) from None
    if not hasattr(estimator, "fit") or not hasattr(estimator, "get_params"):
        kind = type(estimator).__name__
        raise InputError(
            f"{place}: it is {kind}, which has no fit and get_params; write an estimator's class"
        )
    return estimator


def _made(found: Any) -> Any:
    from sklearn.base import clone

    built = found() if callable(found) else found
    return clone(built) if hasattr(built, "get_params") else built


def _set(estimator: Any, params: Mapping[str, Any], path: Sequence[str]) -> Any:
    """A new estimator with these parameters. Raises: ValueError for one that it has not."""
    from sklearn.base import clone

    fresh = clone(estimator)
    defaults = fresh.get_params(deep=True)
    given = {name: _value(value, defaults.get(name), path) for name, value in params.items()}
    return fresh.set_params(**{name: clone(value, safe=False) for name, value in given.items()})


def _value(value: Any, default: Any, path: Sequence[str]) -> Any:
    """A value as scikit-learn wants it: an import string imported, a class among these made."""
    if isinstance(value, str) and _REFERENCE.fullmatch(value):
        found = load(value, path)
        return found() if isinstance(found, type) and hasattr(found, "get_params") else found
    # (1, 2) for ngram_range, which is no list; ["a", "the"] for stop_words, which is no tuple.
    return tuple(value) if isinstance(value, list) and isinstance(default, tuple) else value


def references_of(found: object) -> Iterator[str]:
    """The import strings among values, in their order."""
    if isinstance(found, str) and _REFERENCE.fullmatch(found):
        yield found
    elif isinstance(found, Mapping | list):
        for item in found.values() if isinstance(found, Mapping) else found:
            yield from references_of(item)


def _check_names(estimator: Any, grid: Grid, path: Sequence[str], place: str) -> None:
    """Refuse a parameter that the estimator has not, with whatever steps the grid gives it."""
    names = {*grid.fixed, *(axis.name for axis in grid.all_axes)} - {FOLD, OUTER}
    for name in sorted(names, key=lambda name: (name.count("__"), name)):
        steps, seen = _above(name), set()
        for params in grid.combinations({name, *steps} if steps & names else {name}):
            given = {step: params[step] for step in steps if step in params}
            if name not in params or (text := encode_params(given)) in seen:
                continue
            seen.add(text)
            built = _set(estimator, _as_given(given), path)
            known = built.get_params(deep=True)
            if name not in known and not _takes_any(known.get(name.rpartition("__")[0], built)):
                close = choice(name, sorted(known, key=len))
                raise InputError(f"{place} has no parameter {visible(name)!r}; write {close}")


def _takes_any(estimator: Any) -> bool:
    """Whether an estimator takes parameters by any name: XGBoost's and LightGBM's hand them on."""
    parameters = inspect.signature(type(estimator).__init__).parameters.values()
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _above(name: str) -> set[str]:
    """a and a__b, of a__b__c."""
    parts = name.split("__")
    return {"__".join(parts[:count]) for count in range(1, len(parts))}


def _check_budget(estimator: Any, grid: Grid, path: Sequence[str], place: str) -> None:
    """Refuse a budget axis along which a longer fit is not known to contain the shorter ones."""
    if grid.budget is None:
        return
    before = grid.budget.rpartition("__")[0]
    prefix = before and f"{before}__"
    for params in grid.combinations({*_above(grid.budget), *(prefix + name for name in CONDITIONS)}):
        if why := why_no_budget(_set(estimator, _as_given(params), path), grid.budget):
            raise InputError(f"{place}: {why}; leave budget out, and it is an axis like the others")


def _as_given(params: Mapping[str, Value]) -> dict[str, Any]:
    return {name: as_given(value) for name, value in params.items()}


def _defaults(estimator: Any, grid: Grid) -> dict[str, Value]:
    """The estimator's own values of what grid.toml leaves alone, as far as JSON can say them."""
    names = {*grid.fixed, *(axis.name for axis in grid.all_axes)}
    kept: dict[str, Value] = {}
    for name, value in estimator.get_params(deep=True).items():
        if name not in names:
            with suppress(ValueError, RecursionError):
                kept[name] = read_value(value)
    return kept


def _classifies(estimator: Any) -> bool:
    from sklearn.base import is_classifier

    return bool(is_classifier(estimator))
