"""Fit an estimator on one split and score it, as GridSearchCV does: the same calls, so the same digits."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from gridrun.errors import InputError
from gridrun.reading import Reader, Words, choice
from gridrun.trainers.data import Data
from gridrun.trainers.importing import find, load, read_reference

# What scorers ask an estimator for.
RESPONSES = ("predict", "predict_proba", "decision_function")
OWN = "score"  # the scorer that is the estimator's own `score`

Scorers = Mapping[str, Callable[..., float]]


def read_scoring(reader: Reader, found: Any, metric: str) -> tuple[str, ...]:
    """Read [cv] scoring; without it the metric that is selected on. Raises: InputError."""
    names = [metric] if found is None else [found] if isinstance(found, str) else found
    if not isinstance(names, list) or not names or not all(isinstance(n, str) and n for n in names):
        reader.refuse("[cv] scoring must be a list of scorers' names", found, '["accuracy"]')
    for name in names:
        if ":" in name:
            read_reference(reader, "[cv] scoring", name, '"my_scores.py:profit"')
    labels = list(map(label, names))
    if len(set(labels)) < len(labels):
        reader.refuse("[cv] scoring holds the same name twice", Words(", ".join(labels)), "it once")
    if metric not in labels:
        reader.refuse("[sweep] metric must be one of [cv] scoring", metric, choice(metric, labels))
    return tuple(names)


def label(name: str) -> str:
    """What the metric of a scorer is called."""
    return name.rpartition(":")[2]


def find_scorers(names: Iterable[str], grid_file: Path) -> None:
    """See in the parent that there are such scorers. Raises: InputError."""
    from sklearn.metrics import get_scorer_names

    place, known = f"{grid_file}: [cv] scoring", [*get_scorer_names(), OWN]
    for name in names:
        if ":" in name:
            if not callable(find(name, grid_file, f"{place} {name!r}")):
                raise InputError(
                    f"{place} {name!r}: it cannot be called; write a function of estimator, X, y"
                )
        elif name not in known:
            raise InputError(f"{place}: no scorer {name!r}; write {choice(name, known)}")


def load_scorers(names: Iterable[str], path: Sequence[str]) -> Scorers:
    """The scorers by the names of their metrics."""
    from sklearn.metrics import get_scorer

    def one(name: str) -> Callable[..., float]:
        if name == OWN:
            return _score
        return load(name, path) if ":" in name else get_scorer(name)  # type: ignore[no-any-return]

    return {label(name): one(name) for name in names}


def _score(estimator: Any, x: Any, y: Any = None, sample_weight: Any = None) -> float:
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    return float(estimator.score(x, y, **weights))


class Examination:
    """One split: an estimator is fitted on its training examples and scored on its test examples."""

    def __init__(self, data: Data, train: Any, test: Any, scorers: Scorers) -> None:
        self.data, self.train, self.test, self.scorers = data, train, test, scorers

    def fit(self, estimator: Any) -> None:
        """Fit it; sample weights go to it, or to the last step of a pipeline."""
        from sklearn.utils.metaestimators import _safe_split

        data = self.data
        x, y = _safe_split(estimator, data.x, data.y, self.train)
        # Not before the fit: a kernel matrix of test examples needs the columns of the training examples.
        self.x, self.y = _safe_split(estimator, data.x, data.y, self.test, self.train)
        weights = {} if data.weights is None else {weight_name(estimator): self._weights(self.train)}
        estimator.fit(x, **weights) if y is None else estimator.fit(x, y, **weights)

    def scores(self, estimator: Any) -> dict[str, float]:
        """Score a fitted estimator; sample weights go to the scorers that take them."""
        truth = () if self.y is None else (self.y,)
        scores = {}
        for name, scorer in self.scorers.items():
            weighted = self.data.weights is not None and _takes_weights(scorer)
            weights = {"sample_weight": self._weights(self.test)} if weighted else {}
            scores[name] = float(scorer(estimator, self.x, *truth, **weights))
        return scores

    def remember(self, estimator: Any) -> None:
        """Have a fitted estimator answer once: several scorers ask the same of the same test examples."""
        for name in RESPONSES:
            method = getattr(estimator, name, None)
            if callable(method):
                setattr(estimator, name, _once(method, self.x))

    def _weights(self, indices: Any) -> Any:
        from sklearn.utils import _safe_indexing

        return _safe_indexing(self.data.weights, indices)


def _once(method: Callable[..., Any], x: Any) -> Callable[..., Any]:
    kept: list[Any] = []

    @functools.wraps(method)
    def answer(given: Any, *args: Any, **options: Any) -> Any:
        if given is not x or args or options:
            return method(given, *args, **options)
        if not kept:
            kept.append(method(x))
        return kept[0]

    return answer


def weight_name(estimator: Any) -> str:
    """The parameter of `fit` that takes sample weights: a pipeline hands them to its last step."""
    return "__".join([*(name for name, _ in last_steps(estimator)), "sample_weight"])


def takes_weights(estimator: Any) -> bool:
    """Whether `fit` takes sample weights."""
    from sklearn.utils.validation import has_fit_parameter

    last = [estimator, *(step for _, step in last_steps(estimator))][-1]
    return bool(has_fit_parameter(last, "sample_weight"))


def last_steps(estimator: Any) -> list[tuple[str, Any]]:
    """The last step of a pipeline, its last step if that is one too, and so on."""
    from sklearn.pipeline import Pipeline

    steps = []
    while isinstance(estimator, Pipeline):
        name, estimator = estimator.steps[-1]
        steps.append((name, estimator))
    return steps


@functools.lru_cache(maxsize=100)
def _takes_weights(scorer: Callable[..., float]) -> bool:
    """Whether a scorer takes sample weights: one of scikit-learn's does if its metric does."""
    return "sample_weight" in signature(getattr(scorer, "_score_func", scorer)).parameters
