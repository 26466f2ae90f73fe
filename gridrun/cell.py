"""A cell: one point of the grid, named by its content."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import groupby, repeat
from typing import Any

Scalar = str | int | float | bool
# What JSON can say, with tuples for lists.
Value = Scalar | tuple["Value", ...] | Mapping[str, "Value"] | None
Params = Mapping[str, Value]


def encode_value(value: Value) -> str:
    """Write a value as the one JSON text that stands for its content.

    1e-2 and 0.01 are the same float already; 1 and 1.0 are made the same here, and -0.0 is 0.
    True stays apart from 1, as a train function can tell them apart at a glance. So at every depth.
    """
    # Above 2^53 a float no longer names one whole number.
    if isinstance(value, float) and value.is_integer() and math.fabs(value) <= 2**53:
        value = int(value)
    # json.dumps writes numbers the same, at ten times the price: 1.6 us of each.
    if isinstance(value, float) and math.isfinite(value):
        return float.__repr__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__repr__(value)
    if isinstance(value, tuple | list):
        return "[" + ",".join(map(encode_value, value)) + "]"
    if isinstance(value, dict):
        return encode_params(value)
    return json.dumps(value)


@lru_cache(maxsize=1000)
def encode_name(name: str) -> str:
    """Write a parameter's or a metric's name as JSON: few names, asked for with every outcome."""
    return json.dumps(name)


def encode_params(params: Params) -> str:
    """Write parameters as one JSON object, sorted by name: equal content, equal text."""
    return "{" + ",".join(f"{encode_name(k)}:{encode_value(params[k])}" for k in sorted(params)) + "}"


def read_value(found: Any) -> Value:
    """What JSON can say, as a value: lists as tuples, NumPy's scalars as Python's, at every depth.

    Raises: ValueError for anything else: a function, an object, NaN, a number of more than 64 bits.
    """
    if isinstance(found, bool) or found is None:
        return found
    if isinstance(found, str):
        found.encode()  # a lone surrogate is no text; UnicodeEncodeError is a ValueError
        return str.__str__(found)
    if isinstance(found, int) and -(2**63) <= found < 2**63:
        return int(found)
    if isinstance(found, float) and math.isfinite(found):
        return float(found)
    if isinstance(found, list | tuple):
        return tuple(map(read_value, found))
    if isinstance(found, Mapping) and all(isinstance(name, str) for name in found):
        return {name: read_value(value) for name, value in found.items()}
    if getattr(found, "ndim", None) == 0 and callable(getattr(found, "item", None)):
        item = found.item()
        if isinstance(item, str | int | float | bool):
            return read_value(item)
    raise ValueError(f"{type(found).__name__} is nothing that JSON can say")


def as_given(value: Value) -> Any:
    """A value as a trainer gets it, and as it stood in grid.toml: a list is a list."""
    if isinstance(value, tuple):
        return [as_given(item) for item in value]
    if isinstance(value, dict):
        return {name: as_given(item) for name, item in value.items()}
    return value


def hash_content(text: str) -> str:
    """Name a text: 16 hexadecimal digits."""
    # 64 bits of the digest: 3e-8 chance of any collision among a million cells (n^2 / 2^65).
    return blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Identity:
    """What names a cell besides its parameters: the train function, its version, its inputs.

    `fingerprints` holds one entry a trajectory, in grid order, run-length encoded: nearly always
    a single pair, and still exact when a dataset is an axis.
    """

    train: str
    version: str | None
    fingerprints: tuple[tuple[str | None, int], ...]

    def heads(self) -> Iterator[str]:
        """Yield, for each trajectory in grid order, what is hashed before its parameters."""
        for fingerprint, count in self.fingerprints:
            yield from repeat(self._head(fingerprint), count)

    def head(self, index: int) -> str:
        """The same for one trajectory."""
        for fingerprint, count in self.fingerprints:
            if index < count:
                return self._head(fingerprint)
            index -= count
        raise IndexError

    def _head(self, fingerprint: str | None) -> str:
        return json.dumps([self.train, self.version, fingerprint])


def encode_runs(fingerprints: Iterable[str | None]) -> tuple[tuple[str | None, int], ...]:
    """Run-length encode one fingerprint a trajectory, as `Identity` keeps them."""
    return tuple((fingerprint, sum(1 for _ in run)) for fingerprint, run in groupby(fingerprints))


@dataclass(frozen=True)
class Cell:
    """One point of the grid.

    `params` holds every parameter the train function is called with. `budget` is the cell's value
    on the budget axis, None where there is none. `trajectory` names the run that serves this cell;
    without a budget axis it equals `id`.
    """

    id: str
    trajectory: str
    params: Params
    budget: int | None = None
