"""What a trainer reports of an epoch, read: numbers, bits of held-out examples, and what is neither."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

MOST_WORDS = 300


@dataclass(frozen=True)
class Bits:
    """One truth value a held-out example: which were right, for one. Packed, the first in the highest bit."""

    count: int
    packed: bytes


class Report(NamedTuple):
    """One epoch's metrics. `left_out` says in words what was neither a number nor bits; "" if nothing was."""

    numbers: dict[str, float]
    bits: dict[str, Bits]
    left_out: str


def read_epochs(result: Any) -> Iterable[Any]:
    """What a train function gave, epoch by epoch: whatever it yields, or the one thing that it returned.

    A mapping of lists, as Keras keeps its history, is one mapping an epoch. Raises: TypeError for what
    can be no metrics.
    """
    if isinstance(result, Mapping):
        return _read_columns(result) if _is_columns(result) else (result,)
    if _read_number(result) is not None:
        return (result,)
    if not isinstance(result, Iterable) or isinstance(result, str | bytes):
        raise TypeError(
            f"the train function gave {type(result).__name__}, not metrics; yield one mapping an epoch"
        )
    return result


def _is_columns(result: Mapping[Any, Any]) -> bool:
    return bool(result) and all(isinstance(column, list | tuple) for column in result.values())


def _read_columns(columns: Mapping[Any, Sequence[Any]]) -> Iterator[dict[Any, Any]]:
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        raise TypeError(f"lists of metrics must be equally long, one entry an epoch; {found}"[:MOST_WORDS])
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def read_report(metrics: Any, selected: str = "") -> Report:
    """Read one mapping of metrics, or a bare number, which is the metric that is selected on.

    A number is kept as a float, a one-dimensional boolean array as bits. Anything else (text, None, a
    matrix) is left out: trainers report for other readers too. Raises: TypeError if it is no mapping.
    """
    if type(metrics) is not dict and not isinstance(metrics, Mapping):
        number = _read_number(metrics)
        if number is None:
            raise TypeError(f"the train function yielded {type(metrics).__name__}, not a mapping of metrics")
        return Report({selected: number}, {}, "")
    numbers: dict[str, float] = {}
    bits: dict[str, Bits] = {}
    left_out = ""
    for name, value in metrics.items():
        if not isinstance(name, str):
            left_out = left_out or f"a metric's name is {type(name).__name__}, not a string"
            continue
        key = name if type(name) is str and name.isascii() else storable(name)
        if type(value) is float:
            numbers[key] = value
        elif (flags := _read_bits(value)) is not None:
            bits[key] = flags
        elif (number := _read_number(value)) is not None:
            numbers[key] = number
        else:
            left_out = left_out or f"metric {key!r} is {type(value).__name__}"
    return Report(numbers, bits, left_out)


def storable(text: str) -> str:
    """Text without lone surrogates (a file's name that is not UTF-8 has them): no database takes these."""
    return text.encode("utf-8", "backslashreplace").decode()


def _read_number(value: Any) -> float | None:
    # float() would read a string, and an array of one element with a warning.
    if isinstance(value, str | bytes) or getattr(value, "ndim", 0) != 0:
        return None
    try:
        return float(value)
    except Exception:  # also what a class of the user's raises, and an int too large for a float
        return None


def _read_bits(value: Any) -> Bits | None:
    """The bits of a one-dimensional boolean array: NumPy's, or of what converts to one (PyTorch's)."""
    if getattr(value, "ndim", None) != 1 or "bool" not in str(getattr(value, "dtype", "")):
        return None
    import numpy as np

    flags = np.asarray(value)
    return Bits(len(flags), np.packbits(flags).tobytes()) if flags.dtype == np.bool_ else None
