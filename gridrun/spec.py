"""grid.toml, read and validated: every refusal says where, what was found and what to write."""

import difflib
import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from gridrun.cell import Scalar, Value, encode_value
from gridrun.errors import InputError
from gridrun.grid import Axis, Grid
from gridrun.terminal import visible

BACKENDS = ("loky", "sequential", "dask", "ray")
TABLES = {
    "sweep": ("name", "train", "metric", "mode", "budget"),
    "fixed": None,
    "grid": None,
    "replicate": None,
    "run": ("jobs", "backend", "scheduler", "timeout_s", "max_attempts", "max_failures"),
}
RANGE_KEYS = ("from", "to", "num", "scale")
# A grid past this is a slip of the pen (an axis of a thousand values too many), not a plan.
MOST_CELLS = 10_000_000


@dataclass(frozen=True)
class Run:
    """How to run: never part of a cell's identity.

    `scheduler` is where a cluster's workers are asked for; None is a cluster of this process's own.
    `timeout_s` is in seconds for one trajectory. `max_attempts` counts how often a trajectory whose
    worker died is tried before it is called failed. `max_failures` ends the sweep early once so
    many trajectories have failed; None stops only when all of the first 10 fail alike.
    """

    jobs: int = -1
    backend: str = "loky"
    scheduler: str | None = None
    timeout_s: float | None = None
    max_attempts: int = 3
    max_failures: int | None = None


@dataclass(frozen=True)
class Spec:
    """One study, as grid.toml says it. `text` is the file itself, kept with the outcomes."""

    name: str
    train: str
    metric: str
    mode: str
    grid: Grid
    run: Run
    text: str

    @classmethod
    def read(cls, path: Path) -> "Spec":
        """Read a grid.toml.

        Raises: InputError if the file is missing, unreadable, or says what no sweep can be made of.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InputError(
                f"{path}: no such file; `gridrun init {path}` writes one to start from"
            ) from None
        except IsADirectoryError:
            raise InputError(f"{path}: is a directory; name the grid.toml in it") from None
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: is not UTF-8 text (byte {error.start}); TOML must be") from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, where: str) -> "Spec":
        """Read grid.toml's text; `where` is how messages call it. Raises: InputError."""
        return _Reader(where).spec(text)

    def directory(self) -> Path:
        """The sweep directory where none is given."""
        return Path("results") / self.name


class _Reader:
    """Reads one file's text; every refusal goes through `refuse`, which names the file and the key."""

    def __init__(self, where: str) -> None:
        self.where = where

    def refuse(self, place: str, found: object, write: str) -> NoReturn:
        # repr keeps a refusal on one line and terminal escape codes in values visible, not active.
        raise InputError(f"{self.where}: {_clip(place, 200)}, found {_shown(found)}; write {_clip(write)}")

    def spec(self, text: str) -> Spec:
        tables = self.tables(text)
        sweep = tables["sweep"]
        for key, example in (
            ("name", '"my-study"'),
            ("train", '"my_module:train"'),
            ("metric", '"accuracy"'),
        ):
            if key not in sweep:
                self.refuse(f"[sweep] needs {key}", _Text("none"), f"{key} = {example}")
            if not isinstance(sweep[key], str) or not sweep[key]:
                self.refuse(f"[sweep] {key} must be a text", sweep[key], f"{key} = {example}")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", sweep["name"]) or set(sweep["name"]) == {"."}:
            self.refuse(
                "[sweep] name must be letters, digits, '.', '_' and '-', 100 at most",
                sweep["name"],
                '"my-study"',
            )
        if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", sweep["train"], re.ASCII):
            self.refuse('[sweep] train must be "module:function"', sweep["train"], '"my_module:train"')
        mode = sweep.get("mode", "max")
        if mode not in ("max", "min"):
            self.refuse('[sweep] mode must be "max" or "min"', mode, '"max" if a larger metric is better')
        grid = self.grid(tables, sweep.get("budget"))
        return Spec(sweep["name"], sweep["train"], sweep["metric"], mode, grid, self.run(tables["run"]), text)

    def tables(self, text: str) -> dict[str, dict[str, Any]]:
        try:
            document = tomllib.loads(text)
        except RecursionError:
            raise InputError(
                f"{self.where}: arrays are nested too deeply; write [name] and name = value"
            ) from None
        except ValueError as error:  # TOMLDecodeError, and integers of more than 4300 digits
            raise InputError(f"{self.where}: is not TOML: {_clip(str(error), 200)}") from None
        for name, table in document.items():
            if name not in TABLES:
                self.refuse(
                    f"no such table or key {name!r}", _Text("it at the top"), _choice(name, TABLES, "[{}]")
                )
            if not isinstance(table, dict):
                self.refuse(f"{name} must be a table", table, f"[{name}] on a line of its own")
            for key in table if TABLES[name] is not None else ():
                if key not in TABLES[name]:  # type: ignore[operator]
                    self.refuse(f"[{name}] has no key {key!r}", table[key], _choice(key, TABLES[name]))
        if "sweep" not in document or "grid" not in document:
            missing = "sweep" if "sweep" not in document else "grid"
            self.refuse(
                f"[{missing}] is missing", _Text(", ".join(document) or "an empty file"), f"[{missing}]"
            )
        return {name: document.get(name, {}) for name in TABLES}

    def grid(self, tables: Mapping[str, Mapping[str, Any]], budget: object) -> Grid:
        owner: dict[str, str] = {}
        for table in ("fixed", "grid", "replicate"):
            for name in tables[table]:
                if not (name.isascii() and name.isidentifier()):
                    self.refuse(
                        f"[{table}] a parameter's name must be a Python identifier", name, "learning_rate"
                    )
                if name in owner:
                    self.refuse(
                        f"{name} stands in two tables", _Text(f"[{owner[name]}] and [{table}]"), "it once"
                    )
                owner[name] = table
        fixed = {name: self.fixed(name, value) for name, value in tables["fixed"].items()}
        axes = tuple(self.axis("grid", name, found) for name, found in tables["grid"].items())
        replicates = tuple(self.axis("replicate", name, found) for name, found in tables["replicate"].items())
        if not axes:
            self.refuse("[grid] needs an axis", _Text("none"), "learning_rate = [0.01, 0.1]")
        grid = Grid(axes, replicates, fixed, self.budget(budget, axes))
        if len(grid) > MOST_CELLS:
            self.refuse(
                f"the grid is larger than {MOST_CELLS:,} cells", _Text(f"{len(grid):,}"), "fewer values"
            )
        return grid

    def budget(self, budget: object, axes: tuple[Axis, ...]) -> str | None:
        if budget is None:
            return None
        values = next((axis.values for axis in axes if axis.name == budget), None)
        if values is None:
            names = ", ".join(axis.name for axis in axes)
            self.refuse(
                "[sweep] budget must name an axis of [grid]", budget, f"one of {names}, or leave it out"
            )
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                self.refuse(
                    f"[grid] {budget} is the budget axis and must hold whole numbers from 1", value, "[2, 5]"
                )
        return str(budget)

    def fixed(self, name: str, found: object) -> Value:
        if isinstance(found, dict):
            self.refuse(f"[fixed] {name} must be a scalar", found, f"{name} = 1")
        return self.value(f"[fixed] {name}", found)

    def axis(self, table: str, name: str, found: object) -> Axis:
        place = f"[{table}] {name}"
        if isinstance(found, dict):
            found = self.range(place, found)
        if not isinstance(found, list):
            self.refuse(f"{place} must be a list", found, f"[{_toml(found)}]")
        if not found:
            self.refuse(f"{place} must hold a value", found, f"[1, 2], or {name} = 1 under [fixed]")
        values = tuple(self.value(place, value) for value in found)
        seen: dict[str, Value] = {}
        for value in values:
            text = encode_value(value)
            if text in seen:
                self.refuse(
                    f"{place} holds the same value twice", _Text(f"{seen[text]!r} and {value!r}"), "it once"
                )
            seen[text] = value
        return Axis(name, values)

    def value(self, place: str, found: object) -> Value:
        if isinstance(found, list):
            return tuple(self.scalar(place, item) for item in found)
        return self.scalar(place, found)

    def scalar(self, place: str, found: object) -> Scalar:
        if isinstance(found, float) and not math.isfinite(found):
            self.refuse(f"{place} must be finite", found, "a number")
        if isinstance(found, int) and not -(2**63) <= found < 2**63:
            self.refuse(f"{place} must fit in 64 bits", found, "a smaller number, or a text")
        if not isinstance(found, str | int | float | bool):
            self.refuse(f"{place} must be made of numbers, texts or true/false", found, '0.1, "sgd" or true')
        return found

    def range(self, place: str, found: Mapping[str, Any]) -> list[Value]:
        """{ from, to, num, scale }: num values, both ends included, evenly spaced or evenly in log."""
        example = '{ from = 1e-4, to = 1e-1, num = 4, scale = "log" }'
        for key in found:
            if key not in RANGE_KEYS:
                self.refuse(f"{place} has no key {key!r}", found[key], _choice(key, RANGE_KEYS))
        for key in ("from", "to", "num"):
            if key not in found:
                self.refuse(
                    f"{place} is a range and needs {key}", _Text(", ".join(found) or "nothing"), example
                )
        first, last, num = found["from"], found["to"], found["num"]
        scale = found.get("scale", "linear")
        for key, bound in (("from", first), ("to", last)):
            if isinstance(bound, bool) or not isinstance(bound, int | float):
                self.refuse(f"{place} {key} must be a number", bound, example)
            self.scalar(f"{place} {key}", bound)
        if isinstance(num, bool) or not isinstance(num, int) or not 2 <= num <= 1_000_000:
            self.refuse(f"{place} num must be a whole number from 2 to 1000000", num, example)
        if scale not in ("linear", "log"):
            self.refuse(f'{place} scale must be "linear" or "log"', scale, example)
        if scale == "log" and not (first > 0 and last > 0):
            self.refuse(f"{place} must be above 0 on a log scale", _Text(f"{first} to {last}"), example)
        return _spaced(first, last, num, scale)

    def run(self, found: Mapping[str, Any]) -> Run:
        run = Run(**found)
        for key in ("jobs", "max_attempts", "max_failures"):
            value = getattr(run, key)
            if key == "max_failures" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                self.refuse(f"[run] {key} must be a whole number", value, f"{key} = 2")
        if run.jobs == 0:
            self.refuse("[run] jobs must not be 0", run.jobs, "jobs = -1 for every core, or jobs = 2")
        for key in ("max_attempts", "max_failures"):
            if getattr(run, key) is not None and getattr(run, key) < 1:
                self.refuse(f"[run] {key} must be 1 or more", getattr(run, key), f"{key} = 3")
        if run.backend not in BACKENDS:
            self.refuse("[run] no such backend", run.backend, _choice(_shown(run.backend), BACKENDS))
        if run.scheduler is not None and not isinstance(run.scheduler, str):
            self.refuse("[run] scheduler must be a text", run.scheduler, 'scheduler = "tcp://host:8786"')
        timeout = run.timeout_s
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < 1e9
        ):
            self.refuse("[run] timeout_s must be a number of seconds above 0", timeout, "timeout_s = 600")
        return run


class _Text(str):
    """Words of ours within a refusal, shown without quotes."""


def _spaced(first: float, last: float, num: int, scale: str) -> list[Value]:
    if (
        scale == "linear"
        and isinstance(first, int)
        and isinstance(last, int)
        and (last - first) % (num - 1) == 0
    ):
        step = (last - first) // (num - 1)
        return [first + step * i for i in range(num)]
    shares = [i / (num - 1) for i in range(num)]
    if scale == "log":
        low, high = math.log10(first), math.log10(last)
        values = [10 ** (low + (high - low) * share) for share in shares]
    else:
        values = [first + (last - first) * share for share in shares]
    # 12 digits: far more than a hyperparameter needs, and the same on every mathematical library.
    return [float(f"{value:.12g}") for value in values]


def _choice(found: str, known: Any, form: str = "{}") -> str:
    close = difflib.get_close_matches(found, list(known), n=1)
    return form.format(close[0]) if close else "one of " + ", ".join(form.format(name) for name in known)


def _toml(value: object) -> str:
    return json.dumps(value) if isinstance(value, str | float | bool) else _shown(value)


def _shown(found: object) -> str:
    if isinstance(found, _Text):
        return _clip(found)
    try:
        return _clip(repr(found))
    except ValueError:  # Python writes out no whole number of more than 4300 digits, but reads 0xfff...
        return "a number of thousands of digits"


def _clip(text: str, most: int = 80) -> str:
    text = visible(text)
    return text if len(text) <= most else text[: most - 3] + "..."
