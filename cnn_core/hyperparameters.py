"""Numbers that layers and optimisers are made with, checked as they are made."""

import dataclasses
import math
import operator
from typing import NamedTuple

from cnn_core.config import ConfigError


class Range(NamedTuple):
    """What a hyperparameter may be: from `least`, or above it if `open`, and below `most`."""

    least: float
    most: float = math.inf
    open: bool = False
    whole: bool = False

    def __str__(self) -> str:
        if self.whole:
            return f"a whole number from {self.least}"
        if self.most < math.inf:
            return f"in [{self.least:g}, {self.most:g})"
        if self.least == -math.inf:
            return "a number"
        return f"a number {'above' if self.open else 'from'} {self.least:g}"

    def holds(self, value: float) -> bool:
        least = value > self.least if self.open else value >= self.least
        return math.isfinite(value) and least and value < self.most


RANGES = {
    **dict.fromkeys(("filters", "outputs", "size", "stride", "groups"), Range(1, whole=True)),
    "padding": Range(0, whole=True),
    **dict.fromkeys(("rate", "smoothing", "momentum", "beta1", "beta2"), Range(0, 1)),
    **dict.fromkeys(("gain", "epsilon", "limit"), Range(0, open=True)),
    "factor": Range(0),
    "slope": Range(-math.inf),
}
"""By name: one name means one thing in all layers and optimisers."""


class Hyperparameters:
    """A frozen dataclass. Fields that are in RANGES are checked; NumPy's numbers become Python's there.

    Raises: ConfigError for a field out of its range.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value, allowed = getattr(self, field.name), RANGES.get(field.name)
            if allowed is None:
                continue
            try:
                number = operator.index(value) if allowed.whole else float(value)
            except (TypeError, ValueError, OverflowError):
                number = math.nan
            if isinstance(value, bool | str) or not allowed.holds(number):
                raise ConfigError(
                    f"{type(self).__name__}: {field.name} must be {allowed}, found {value!r};"
                    f" write {1 if allowed.whole else 0.1}"
                )
            object.__setattr__(self, field.name, number)
