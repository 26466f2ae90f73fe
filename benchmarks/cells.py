"""Train functions that cost nothing, for the benchmarks of sweeps: what is left is gridrun's own cost."""

import math
import time


def nothing(**_: float) -> dict[str, float]:
    """Do nothing: the metric is the same in every cell."""
    return {"score": 0.0}


def nap(*, seconds: float, **_: float) -> dict[str, float]:
    """Sleep: a cell that takes its time without taking a core from the parent."""
    time.sleep(seconds)
    return {"score": 0.0}


def hill(
    *, learning_rate: float, dropout: float, weight_decay: float, momentum: float, seed: int
) -> dict[str, float]:
    """A hill over four axes with a ridge, a cliff and some noise, so that its pictures can be judged.

    Past the cliff (a large rate with a large momentum) training diverges: the metric is NaN.
    """
    reach = math.log10(learning_rate / (1 - momentum)) + 1.5
    if reach > 1.2:
        return {"score": math.nan, "loss": math.nan}
    noise = math.sin(1e4 * (learning_rate + dropout + seed)) / 100
    score = 0.9 * math.exp(-(reach**2) / 2 - 3 * (dropout - 0.3) ** 2 - 40 * weight_decay) + noise
    return {"score": score, "loss": 1 - score}
