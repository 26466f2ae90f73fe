"""grid.toml, read and validated: every refusal says where, what was found and what to write."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gridrun.backends import BACKENDS
from gridrun.cell import Params, Value
from gridrun.errors import InputError
from gridrun.grid import Grid
from gridrun.reading import Reader, Words, choice, clip, shown
from gridrun.selection import Choice, Rule, sounds_lower
from gridrun.space import read_grid
from gridrun.trainers import KINDS, Settings, read_trainer

TABLES: dict[str, tuple[str, ...] | None] = {
    "sweep": (
        *("name", "metric", "mode", "budget", "epoch"),
        *KINDS,
        *dict.fromkeys(key for kind in KINDS.values() for key in kind.keys),
    ),
    "fixed": None,
    "grid": None,
    "zip": None,
    "exclude": None,
    "replicate": None,
    "select": ("rule", "prefer", "examples"),
    "refit": None,
    **{name: keys for kind in KINDS.values() for name, keys in kind.tables.items()},
    "run": (
        *("jobs", "backend", "scheduler"),
        *("timeout_s", "max_attempts", "max_failures", "max_tasks_per_worker", "threads", "gpus", "order"),
    ),
}
SEVERAL = ("grid", "exclude")  # tables that may be written several times, as [[grid]]


@dataclass(frozen=True)
class Run:
    """How to run: never part of a cell's identity.

    `scheduler` is where a cluster's workers are asked for; None is a cluster of this process's own.
    `timeout_s` is in seconds for one trajectory. `max_attempts` counts how often a trajectory whose
    worker died is tried before it is called failed. `max_failures` ends the sweep early once so
    many trajectories have failed; None stops only when all of the first 10 fail alike.
    `max_tasks_per_worker` replaces a worker after so many trajectories; None keeps it.
    `threads` is how many BLAS and OpenMP threads a worker may use; None is OMP_NUM_THREADS, or else 1.
    `gpus` are dealt out to workers, one each; without `jobs` there are as many workers as GPUs.
    `order` is "grid" or "random", seeded, so that early results cover the grid.
    """

    jobs: int = -1
    backend: str = "loky"
    scheduler: str | None = None
    timeout_s: float | None = None
    max_attempts: int = 3
    max_failures: int | None = None
    max_tasks_per_worker: int | None = None
    threads: int | None = None
    gpus: tuple[int, ...] = ()
    order: str = "grid"


@dataclass(frozen=True)
class Spec:
    """One study, as grid.toml says it. `text` is the file itself, kept with the outcomes.

    `refit` are the parameters that [refit] sets; None without that table.
    """

    name: str
    trainer: Settings
    rule: Rule
    grid: Grid
    run: Run
    text: str
    choice: Choice = field(default_factory=Choice)
    refit: Params | None = None

    @property
    def metric(self) -> str:
        return self.rule.metric

    @property
    def mode(self) -> str:
        return self.rule.mode

    @classmethod
    def read(cls, path: Path) -> "Spec":
        """Read a grid.toml.

        Raises: InputError if the file is missing, unreadable, or says what no sweep can be made of.
        """
        try:
            text = path.read_text(encoding="utf-8").removeprefix("\ufeff")  # Windows editors put a mark first
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
        return _Reader(str(path)).spec(text, strict=True)

    @classmethod
    def parse(cls, text: str, where: str, *, strict: bool = False) -> "Spec":
        """Read the text of a grid.toml; `where` is how messages call it.

        `strict` refuses what no sweep should begin with, and one that was swept already may say.
        Raises: InputError.
        """
        return _Reader(where).spec(text, strict=strict)

    def directory(self) -> Path:
        """The sweep directory where none is given."""
        return Path("results") / self.name


class _Reader(Reader):
    """Reads one grid.toml."""

    def spec(self, text: str, *, strict: bool) -> Spec:
        """`strict` refuses what a sweep should not begin with, and what an older one may have begun with."""
        tables = self.tables(text)
        sweep = tables["sweep"]
        for key, example in (
            ("name", '"my-study"'),
            ("metric", '"accuracy"'),
        ):
            if key not in sweep:
                self.refuse(f"[sweep] needs {key}", Words("none"), f"{key} = {example}")
            if not isinstance(sweep[key], str) or not sweep[key]:
                self.refuse(f"[sweep] {key} must be a text", sweep[key], f"{key} = {example}")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", sweep["name"]) or set(sweep["name"]) == {"."}:
            self.refuse(
                "[sweep] name must be letters, digits, '.', '_' and '-', 100 at most",
                sweep["name"],
                '"my-study"',
            )
        trainer = read_trainer(self, tables)
        tables["replicate"] = {**tables["replicate"], **trainer.replicates}
        mode = sweep.get("mode", "max")
        if mode not in ("max", "min"):
            self.refuse('[sweep] mode must be "max" or "min"', mode, '"max" if a larger metric is better')
        if trainer.mode not in (None, mode):
            self.refuse(
                f"[sweep] mode must be {trainer.mode!r}, as of every score more is better",
                mode,
                "that, or leave it out",
            )
        known = "mode" in sweep or trainer.mode is not None
        if strict and not known and (sign := sounds_lower(sweep["metric"])):
            self.refuse(
                f"[sweep] metric says {sign!r}, of which less is usually better, and mode is missing",
                sweep["metric"],
                'mode = "min", or mode = "max" if more is better',
            )
        epoch = sweep.get("epoch", "last")
        if epoch not in ("last", "best"):
            self.refuse(
                '[sweep] epoch must be "last" or "best"',
                epoch,
                '"best" if its best epoch speaks for a cell',
            )
        grid = read_grid(self, tables, sweep.get("budget"))
        rule = Rule(sweep["metric"], mode, epoch)
        return Spec(
            sweep["name"],
            trainer,
            rule,
            grid,
            self.run(tables["run"]),
            text,
            self.choice(tables["select"], grid),
            self.refit(tables["refit"], grid) if "refit" in tables else None,
        )

    def choice(self, found: Mapping[str, Any], grid: Grid) -> Choice:
        rule, prefer = found.get("rule", "best"), found.get("prefer", [])
        if rule not in ("best", "one_se"):
            self.refuse('[select] rule must be "best" or "one_se"', rule, 'rule = "one_se"')
        names = [axis.name for axis in grid.axes]
        if not isinstance(prefer, list) or not all(name in names for name in prefer):
            self.refuse(
                "[select] prefer must be a list of axes of [grid]", prefer, f'prefer = ["{names[0]}"]'
            )
        if rule == "one_se" and not prefer:
            self.refuse("[select] one_se needs prefer", Words("none"), f'prefer = ["{names[0]}"]')
        if rule == "one_se" and not grid.replicates:
            self.refuse(
                "[select] one_se needs replicates", Words("no [replicate]"), "[replicate] seed = [0, 1, 2]"
            )
        examples = found.get("examples", "")
        count = isinstance(examples, int) and not isinstance(examples, bool) and examples >= 1
        if not isinstance(examples, str) and not count:
            self.refuse(
                "[select] examples must be the metric of bits, or how many held-out examples there are",
                examples,
                'examples = "correct", or examples = 1000',
            )
        return Choice(rule, tuple(prefer), examples)

    def refit(self, found: Mapping[str, Any], grid: Grid) -> Params:
        """What is set when the chosen combination is run once more; null leaves a parameter out."""
        known = {*grid.fixed, *(axis.name for axis in grid.all_axes)}
        refit: dict[str, Value] = {}
        for name, said in found.items():
            value = refit[name] = self.value(f"[refit] {name}", said)
            if value is None and name not in known:
                self.refuse(
                    f"[refit] {name} = null leaves out a parameter that is not there",
                    Words("it"),
                    choice(name, known),
                )
            if name == grid.budget and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                self.refuse(f"[refit] {name} is the budget, a whole number from 1", said, f"{name} = 5")
        return refit

    def tables(self, text: str) -> dict[str, dict[str, Any]]:
        try:
            document = tomllib.loads(text)
        except RecursionError:
            raise InputError(
                f"{self.where}: arrays are nested too deeply; write [name] and name = value"
            ) from None
        except ValueError as error:  # TOMLDecodeError, and integers of more than 4300 digits
            raise InputError(f"{self.where}: is not TOML: {clip(str(error), 200)}") from None
        for name, table in document.items():
            if name not in TABLES:
                self.refuse(
                    f"no such table or key {name!r}", Words("it at the top"), choice(name, TABLES, "[{}]")
                )
            if name in SEVERAL and isinstance(table, list):
                continue
            if not isinstance(table, dict):
                self.refuse(f"{name} must be a table", table, f"[{name}] on a line of its own")
            for key in table if TABLES[name] is not None else ():
                if key not in TABLES[name]:  # type: ignore[operator]
                    self.refuse(f"[{name}] has no key {key!r}", table[key], choice(key, TABLES[name] or ()))
        if "sweep" not in document or not {"grid", "zip"} & document.keys():
            missing = "sweep" if "sweep" not in document else "grid"
            self.refuse(
                f"[{missing}] is missing", Words(", ".join(document) or "an empty file"), f"[{missing}]"
            )
        # An empty [refit] asks for one, too.
        return {name: document.get(name, {}) for name in TABLES if name != "refit" or name in document}

    def deal_gpus(self, run: Run, *, alone: bool) -> Run:
        """The GPUs' numbers, read; `alone` gives each a worker of its own."""
        found: object = run.gpus
        if not isinstance(found, list) or not found:
            self.refuse("[run] gpus must be a list of their numbers", found, "gpus = [0, 1]")
        for number in found:
            if isinstance(number, bool) or not isinstance(number, int) or number < 0:
                self.refuse("[run] gpus must be whole numbers from 0", number, "gpus = [0, 1]")
        return replace(run, gpus=tuple(found), jobs=len(found) if alone else run.jobs)

    def run(self, found: Mapping[str, Any]) -> Run:
        run = Run(**found)
        if "gpus" in found:
            run = self.deal_gpus(run, alone="jobs" not in found)
        for key in ("jobs", "max_attempts", "max_failures", "max_tasks_per_worker", "threads"):
            value = getattr(run, key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                self.refuse(f"[run] {key} must be a whole number", value, f"{key} = 2")
        if run.jobs == 0:
            self.refuse("[run] jobs must not be 0", run.jobs, "jobs = -1 for every core, or jobs = 2")
        for key in ("max_attempts", "max_failures", "max_tasks_per_worker", "threads"):
            if getattr(run, key) is not None and getattr(run, key) < 1:
                self.refuse(f"[run] {key} must be 1 or more", getattr(run, key), f"{key} = 3")
        if run.backend not in tuple(BACKENDS):  # it may be a list, which no dict looks up
            self.refuse("[run] no such backend", run.backend, choice(shown(run.backend), BACKENDS))
        if run.scheduler is not None and not isinstance(run.scheduler, str):
            self.refuse("[run] scheduler must be a text", run.scheduler, 'scheduler = "tcp://host:8786"')
        if run.order not in ("grid", "random"):
            self.refuse('[run] order must be "grid" or "random"', run.order, 'order = "random"')
        timeout = run.timeout_s
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < 1e9
        ):
            self.refuse("[run] timeout_s must be a number of seconds above 0", timeout, "timeout_s = 600")
        return run
