"""The one meaning of better. Whatever compares metrics, or picks an epoch, asks here.

NaN (training diverged) and infinities never win; of equals the first in grid order wins.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def merit(value: float | None, mode: str) -> float:
    """A metric as a number of which the larger is the better: -inf for what never wins."""
    if value is None or not math.isfinite(value):
        return -math.inf
    return value if mode == "max" else -value


def merits(values: "npt.NDArray[np.float64]", mode: str) -> "npt.NDArray[np.float64]":
    """The same of an array."""
    import numpy as np

    return np.where(np.isfinite(values), values if mode == "max" else -values, -np.inf)


def mean(values: Sequence[float]) -> float:
    """The mean; NaN of none. Finite where all are: two numbers near 1e308 have a mean and no sum."""
    if not values:
        return math.nan
    total = sum(values)
    if math.isfinite(total) or not all(map(math.isfinite, values)):
        return total / len(values)
    # The parts' own rounding may carry the sum past the largest float: no mean is beyond its values.
    return min(max(values), max(min(values), sum(value / len(values) for value in values)))


@dataclass(frozen=True)
class Rule:
    """What is selected on: a metric, whether more of it is better, and which epoch speaks for a cell.

    `epoch` is "last", the epoch that the cell's budget names, or "best", the best up to it. Where a run
    ended by itself before, its last epoch is that of every larger budget.
    """

    metric: str
    mode: str
    epoch: str = "last"

    def epoch_of(self, history: Sequence[Mapping[str, float]], budget: int | None, ended: bool) -> int | None:
        """The index of the epoch whose metrics are the cell's; None if the cell is not completed."""
        reached = len(history)
        if not reached or (budget is not None and reached < budget and not ended):
            return None
        last = min(budget or reached, reached) - 1
        if self.epoch == "last":
            return last
        best = max(range(last + 1), key=lambda k: (merit(history[k].get(self.metric), self.mode), -k))
        return best if merit(history[best].get(self.metric), self.mode) > -math.inf else last


@dataclass(frozen=True)
class Choice:
    """Which combination is chosen: the best, or by "one_se" the simplest within one standard error of it.

    `prefer` names the axes that say what is simple, the first one first: earlier values are simpler.
    `examples` is the metric of bits by which a score is corrected; "": the only one there is, or `correct`. A
    number: the metric is a proportion of so many held-out examples, of which nothing else may be known.
    """

    rule: str = "best"
    prefer: tuple[str, ...] = ()
    examples: str | int = ""


# Words in the name of a metric of which less is better.
_LOWER = frozenset(
    (
        *("loss", "logloss", "nll", "bce", "entropy", "crossentropy", "perplexity", "ppl", "deviance"),
        *("error", "err", "mse", "rmse", "mae", "mape", "msle", "rmsle", "brier", "ece", "residual", "hinge"),
        *("distance", "dist", "divergence", "kl", "fid", "lpips", "wer", "cer"),
        *("regret", "cost", "penalty"),
    )
)


def sounds_lower(metric: str) -> str:
    """The word by which a metric's name says that less of it is better; "" if none does."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", metric)]
    if words[:1] in (["neg"], ["negative"]):  # scikit-learn's neg_mean_squared_error: more is better
        return ""
    return next((word for word in words if word.removesuffix("s") in _LOWER or word in _LOWER), "")
