"""The budget axis of estimators: ensembles that tell what they would have answered with fewer members.

Fitted once with the largest budget, such an estimator is scored at each smaller one. What stands in STAGED
gives, member by member, what an estimator fitted with that many gives, to the last digit; a test holds each
to it. All else is refused.
"""

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gridrun.trainers.scoring import RESPONSES, Examination, last_steps

# From a fitted estimator, the name of a response and X to its answers by 1, 2, ... members.
Stages = Callable[[Any, str, Any], Iterator[Any]]


@dataclass(frozen=True)
class Staged:
    """One kind: which parameter counts members, how many were fitted, and their answers.

    `only` are the values that a parameter must have for a longer fit to begin as a shorter one does.
    """

    parameter: str
    count: Callable[[Any], int]
    stages: Stages
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


def _by_itself(estimator: Any, response: str, x: Any) -> Iterator[Any]:
    yield from getattr(estimator, f"staged_{response}")(x)


def _by_trees(estimator: Any, response: str, x: Any) -> Iterator[Any]:
    """A forest's answers: means over its trees, summed in their order as the forest does."""
    import numpy as np

    x = estimator._validate_X_predict(x)
    total: Any = None
    for count, tree in enumerate(estimator.estimators_, start=1):
        answer = getattr(tree, "predict_proba" if hasattr(estimator, "classes_") else "predict")(
            x, check_input=False
        )
        total = np.zeros(answer.shape) + answer if total is None else total + answer
        mean = total / count
        if response == "predict" and hasattr(estimator, "classes_"):
            yield estimator.classes_.take(np.argmax(mean, axis=1), axis=0)
        else:
            yield mean


def _by_rounds(estimator: Any, response: str, x: Any) -> Iterator[Any]:
    """XGBoost's."""
    for count in range(1, _xgboost_rounds(estimator) + 1):
        yield getattr(estimator, response)(x, iteration_range=(0, count))


def _by_iterations(estimator: Any, response: str, x: Any) -> Iterator[Any]:
    """LightGBM's."""
    for count in range(1, estimator.n_iter_ + 1):
        yield getattr(estimator, response)(x, num_iteration=count)


def _xgboost_rounds(estimator: Any) -> int:
    return int(estimator.get_booster().num_boosted_rounds())


_BOOSTING = Staged("n_estimators", lambda e: e.n_estimators_, _by_itself)
_HISTOGRAMS = Staged("max_iter", lambda e: e.n_iter_, _by_itself)
_ADABOOST = Staged("n_estimators", lambda e: len(e.estimators_), _by_itself)
_FOREST = Staged("n_estimators", lambda e: len(e.estimators_), _by_trees)
# A dropped tree changes the weights of those before it.
_XGBOOST = Staged("n_estimators", _xgboost_rounds, _by_rounds, {"booster": (None, "gbtree")})
_LIGHTGBM = Staged("n_estimators", lambda e: e.n_iter_, _by_iterations, {"boosting_type": ("gbdt",)})

STAGED = {
    "sklearn.GradientBoostingClassifier": _BOOSTING,
    "sklearn.GradientBoostingRegressor": _BOOSTING,
    "sklearn.HistGradientBoostingClassifier": _HISTOGRAMS,
    "sklearn.HistGradientBoostingRegressor": _HISTOGRAMS,
    "sklearn.AdaBoostClassifier": _ADABOOST,
    "sklearn.AdaBoostRegressor": _ADABOOST,
    "sklearn.RandomForestClassifier": _FOREST,
    "sklearn.RandomForestRegressor": _FOREST,
    "sklearn.ExtraTreesClassifier": _FOREST,
    "sklearn.ExtraTreesRegressor": _FOREST,
    "xgboost.XGBClassifier": _XGBOOST,
    "xgboost.XGBRegressor": _XGBOOST,
    "lightgbm.LGBMClassifier": _LIGHTGBM,
    "lightgbm.LGBMRegressor": _LIGHTGBM,
}

# The parameters on whose values it depends.
CONDITIONS = {parameter for kind in STAGED.values() for parameter in kind.only}

# What people try, and why it is none.
NOT_STAGED = {
    "partial_fit": "k calls of its partial_fit are no fit of k epochs (examples are shuffled anew)",
    "warm_start": "a fit that goes on is not known to be a longer fit",
}


def why_no_budget(estimator: Any, budget: str) -> str:
    """Why a parameter of this estimator can be no budget axis; "" if it can be one."""
    final, prefix = _final(estimator)
    name, kind = type(final).__name__, _kind(final)
    if kind is None:
        for mark, reason in NOT_STAGED.items():
            if hasattr(final, mark):
                return f"{name} has no budget axis: {reason}"
        return f"{name} has no budget axis: a longer fit of it does not contain the shorter ones"
    if budget != prefix + kind.parameter:
        return f"the budget axis of {name} is {prefix}{kind.parameter}"
    given = final.get_params(deep=False)
    for parameter, values in kind.only.items():
        if given[parameter] not in values:
            found = f"{parameter} {given[parameter]!r}"
            return f"{name} has no budget axis with {found}: later members change earlier ones"
    return ""


def score_stages(estimator: Any, examination: Examination) -> Iterator[dict[str, float]]:
    """Yield the scores of a fitted estimator by 1, 2, ... of its members.

    A scorer asks a shallow copy of the estimator, or of the pipeline, whose answers are those of the stage.
    """
    final, _ = _final(estimator)
    kind = _kind(final)
    assert kind is not None  # refused before
    x = examination.x
    for step in _pipelines(estimator):
        x = step[:-1].transform(x) if len(step.steps) > 1 else x
    asked = copy.copy(estimator)
    answers = {
        response: _Answers(functools.partial(kind.stages, final, response, x))
        for response in RESPONSES
        if callable(getattr(estimator, response, None))
    }
    for response, found in answers.items():
        setattr(asked, response, found.replacing(getattr(estimator, response), examination.x))
    for number in range(kind.count(final)):
        for found in answers.values():
            found.wanted = number
        yield examination.scores(asked)


class _Answers:
    """One response's answers, stage by stage; nothing is computed of what no scorer asks for."""

    def __init__(self, begin: Callable[[], Iterator[Any]]) -> None:
        self.begin, self.wanted, self.reached = begin, 0, -1
        self.stages: Iterator[Any] | None = None
        self.answer: Any = None

    def replacing(self, method: Callable[..., Any], x: Any) -> Callable[..., Any]:
        @functools.wraps(method)
        def answer(given: Any, *args: Any, **options: Any) -> Any:
            if given is not x or args or options:
                raise ValueError("with a budget axis a scorer may ask for its test examples alone")
            self.stages = self.stages or self.begin()
            while self.reached < self.wanted:
                self.answer, self.reached = next(self.stages), self.reached + 1
            return self.answer

        return answer


def _kind(estimator: Any) -> Staged | None:
    found = type(estimator)
    return STAGED.get(f"{found.__module__.partition('.')[0]}.{found.__name__}")


def _final(estimator: Any) -> tuple[Any, str]:
    """The estimator at the end of a pipeline, and what its parameters' names begin with there."""
    steps = last_steps(estimator)
    return (steps[-1][1] if steps else estimator), "".join(f"{name}__" for name, _ in steps)


def _pipelines(estimator: Any) -> Iterator[Any]:
    from sklearn.pipeline import Pipeline

    for each in (estimator, *(step for _, step in last_steps(estimator))):
        if isinstance(each, Pipeline):
            yield each
