"""What may be written as a value in grid.toml or on a command line, and how the rest is refused.

Every refusal says where, what was found and what to write instead.
"""

import difflib
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from gridrun.cell import Scalar, Value, encode_value
from gridrun.errors import InputError
from gridrun.grid import Axis
from gridrun.terminal import visible

RANGE_KEYS = ("from", "to", "num", "step", "scale")
MOST_VALUES = 1_000_000  # of one axis
MOST_DEPTH = 20  # of lists and tables in a value


class Reader:
    """Reads one text; every refusal goes through `refuse`, which names the text (a file) and the key."""

    def __init__(self, where: str) -> None:
        self.where = where

    def refuse(self, place: str, found: object, write: str) -> NoReturn:
        """Raise InputError in one line: the place and what is wrong there, what was found, what to write."""
        # repr keeps a refusal on one line and terminal escape codes in values visible, not active.
        raise InputError(f"{self.where}: {clip(place, 200)}, found {shown(found)}; write {clip(write)}")

    def axis(self, table: str, name: str, found: object) -> Axis:
        """An axis of `table`, as in "[grid]": a list of values or a range, no value twice."""
        axis = self.values(table, name, found)
        seen: dict[str, Value] = {}
        for value in axis.values:
            text = encode_value(value)
            if text in seen:
                found = Words(f"{seen[text]!r} and {value!r}")
                self.refuse(f"{table} {name} holds the same value twice", found, "it once")
            seen[text] = value
        return axis

    def values(self, table: str, name: str, found: object) -> Axis:
        """The same, a value as often as it is written."""
        place = f"{table} {name}"
        if isinstance(found, dict):
            key, inner = next(iter(found.items()), ("", None))
            if isinstance(inner, list) and key not in RANGE_KEYS:  # model.C = [1, 2], which TOML nests
                dotted = json.dumps(f"{name}.{key}", ensure_ascii=False)
                self.refuse(f"{place} must be a list", found, f"{dotted} = {shown(inner)}, with its quotes")
            found = self.range(place, found)
        if not isinstance(found, list):
            self.refuse(f"{place} must be a list", found, f"[{_toml(found)}]")
        if not found:
            self.refuse(f"{place} must hold a value", found, f"[1, 2], or {name} = 1 under [fixed]")
        return Axis(name, tuple(self.value(place, value) for value in found))

    def value(self, place: str, found: object, depth: int = 0) -> Value:
        """What JSON can say. TOML has no null: { null = true } is one."""
        if depth > MOST_DEPTH:
            self.refuse(
                f"{clip(place)} is nested too deeply", found, f"lists in lists up to {MOST_DEPTH} deep"
            )
        if isinstance(found, list):
            return tuple(self.value(place, item, depth + 1) for item in found)
        if isinstance(found, dict):
            if found.keys() == {"null"}:
                if found["null"] is not True:
                    self.refuse(f"{place} null must be true", found["null"], "{ null = true }")
                return None
            return {name: self.value(f"{place}.{name}", item, depth + 1) for name, item in found.items()}
        return self.scalar(place, found)

    def scalar(self, place: str, found: object) -> Scalar:
        if isinstance(found, float) and not math.isfinite(found):
            self.refuse(f"{place} must be finite", found, "a number")
        if isinstance(found, int) and not -(2**63) <= found < 2**63:
            self.refuse(f"{place} must fit in 64 bits", found, "a smaller number, or a text")
        if not isinstance(found, str | int | float | bool):
            self.refuse(
                f"{place} must be made of numbers, strings, true or false, lists and tables",
                found,
                '0.1, "sgd", true, [1, 2] or { null = true }',
            )
        return found

    def range(self, place: str, found: Mapping[str, Any]) -> list[Value]:
        """{ from, to, num, scale }: num values, both ends included, evenly spaced or evenly in log.

        { from, to, step }: from the first on, as long as the last is not passed.
        """
        example = '{ from = 1e-4, to = 1e-1, num = 4, scale = "log" }'
        for key in found:
            if key not in RANGE_KEYS:
                self.refuse(f"{place} has no key {key!r}", found[key], choice(key, RANGE_KEYS))
        if "step" in found:
            example = "{ from = 16, to = 128, step = 16 }"
            for key in ("num", "scale"):
                if key in found:
                    self.refuse(f"{place} is a range with step and needs no {key}", found[key], example)
        for key in ("from", "to", "step" if "step" in found else "num"):
            if key not in found:
                self.refuse(
                    f"{place} is a range and needs {key}", Words(", ".join(found) or "nothing"), example
                )
        for key in ("from", "to", "step"):
            if key not in found:
                continue
            if isinstance(found[key], bool) or not isinstance(found[key], int | float):
                self.refuse(f"{place} {key} must be a number", found[key], example)
            self.scalar(f"{place} {key}", found[key])
        if "step" in found:
            return self.steps(place, found["from"], found["to"], found["step"], example)
        first, last, num = found["from"], found["to"], found["num"]
        scale = found.get("scale", "linear")
        if isinstance(num, bool) or not isinstance(num, int) or not 2 <= num <= MOST_VALUES:
            self.refuse(f"{place} num must be a whole number from 2 to {MOST_VALUES}", num, example)
        if scale not in ("linear", "log"):
            self.refuse(f'{place} scale must be "linear" or "log"', scale, example)
        if scale == "log" and not (first > 0 and last > 0):
            self.refuse(f"{place} must be above 0 on a log scale", Words(f"{first} to {last}"), example)
        return _spaced(first, last, num, scale)

    def steps(self, place: str, first: float, last: float, step: float, example: str) -> list[Value]:
        span = last - first
        if step == 0 or (span > 0) != (step > 0) or not math.isfinite(span):
            self.refuse(f"{place} step must lead from {first} to {last}", step, example)
        # A hair more than the span: 0.1 goes three times into 0.3, which floating point denies.
        steps = span / step * (1 + 1e-12)
        if not 1 <= steps < MOST_VALUES:
            self.refuse(f"{place} must make 2 to {MOST_VALUES} values", Words(f"{steps:.6g} steps"), example)
        values = [first + step * i for i in range(math.floor(steps) + 1)]
        return [value if isinstance(value, int) else _rounded(value) for value in values]


def read_word(name: str, text: str, where: str) -> Value:
    """A parameter's value as a command line says it: as in grid.toml, but a string needs no quotes.

    Raises: InputError for a value that grid.toml may not hold either.
    """
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        found = {"value": text}
    # A line more is a key more: that text is a string.
    return Reader(where).value(name, found["value"] if found.keys() == {"value"} else text)


class Words(str):
    """Words of ours within a refusal, shown without quotes."""


def _spaced(first: float, last: float, num: int, scale: str) -> list[Value]:
    whole = isinstance(first, int) and isinstance(last, int)
    shares = [i / (num - 1) for i in range(num)]
    if scale == "log":
        low, high = math.log10(first), math.log10(last)
        values = [10 ** (low + (high - low) * share) for share in shares]
    elif whole and (last - first) % (num - 1) == 0:
        step = int(last - first) // (num - 1)
        return [int(first) + step * i for i in range(num)]
    else:
        values = [first + (last - first) * share for share in shares]
    rounded = [_rounded(value) for value in values]
    # Whole ends with whole results stay whole: 16 to 128 in 4 are 16, 32, 64, 128.
    if whole and all(value.is_integer() for value in rounded):
        return [int(value) for value in rounded]
    return list(rounded)


def _rounded(value: float) -> float:
    # 12 digits: far more than a hyperparameter needs, and the same on every mathematical library.
    return float(f"{value:.12g}")


def choice(found: str, known: Iterable[str], form: str = "{}") -> str:
    close = difflib.get_close_matches(found, list(known), n=1)
    return form.format(close[0]) if close else "one of " + ", ".join(form.format(name) for name in known)


def _toml(value: object) -> str:
    return json.dumps(value) if isinstance(value, str | float | bool) else shown(value)


def shown(found: object) -> str:
    if isinstance(found, Words):
        return clip(found)
    try:
        return clip(repr(found))
    except ValueError:  # Python writes out no whole number of more than 4300 digits, but reads 0xfff...
        return "a number of thousands of digits"


def clip(text: str, most: int = 80) -> str:
    text = visible(text)
    return text if len(text) <= most else text[: most - 3] + "..."
