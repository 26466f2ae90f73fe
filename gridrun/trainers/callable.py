"""A function in hand: what `gridrun.sweep` is called with, from a closure to a callable object.

Where workers can import it, it goes by name, and is the same trainer as `train = "module:function"`. Anything
else (of a script, a notebook, a closure, a bound method, a partial) travels as a pickle, which is never kept,
and has its content as its version. grid.toml, as the store keeps it, says `callable`: its name alone.
"""

import functools
import inspect
import pickle
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from gridrun.cell import Identity
from gridrun.environment import digest, source_hashes
from gridrun.errors import InputError
from gridrun.grid import Grid
from gridrun.reading import Reader
from gridrun.trainers import Settings
from gridrun.trainers.content import Unhashable, hash_function, reference_of
from gridrun.trainers.function import (
    FunctionRunner,
    FunctionSettings,
    FunctionTrainer,
    check_function,
    read_call,
)
from gridrun.trainers.importing import is_reference, load


@dataclass(frozen=True)
class CallableSettings(FunctionSettings):
    """A function in hand, and how a worker gets it: by name, or by its pickle, in `parcel` or `parcel_file`.

    `content` is its hash, "" where it goes by name. `modules` are those that it reaches. `key` tells one call
    of `gridrun.sweep` from the next. Of a function that was in hand in another process nothing is left but
    `name`.
    """

    by_name: bool = field(default=False, compare=False)
    content: str = field(default="", compare=False)
    modules: tuple[str, ...] = field(default=(), compare=False)
    key: str = ""
    function: Any = field(default=None, repr=False, compare=False)
    parcel: bytes = field(default=b"", repr=False, compare=False)
    parcel_file: str = field(default="", compare=False)
    between: float | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "function": None}

    @property
    def overlap(self) -> float | None:  # type: ignore[override]
        """That of the splits of an estimator which was in hand once."""
        return self.between

    def find(self, grid: Grid, grid_file: Path) -> "CallableTrainer":
        """Check that the grid's names fit its signature. Raises: InputError, also if it is not in hand."""
        if self.function is None:
            raise InputError(
                f"{grid_file}: [sweep] callable {self.name!r} is a function of a program or a notebook;"
                ' call gridrun.sweep there, or write train = "module:function"'
            )
        where = grid_file.name  # of the call; its folder is where workers look for what it imports
        defaults, resumes = check_function(self.function, grid, self.call, f"{where}: train {self.name!r}")
        return CallableTrainer(self.name, self.function, defaults, where, resumes, self.content)

    def sources(self, path: Sequence[str]) -> dict[str, str]:
        """The hash of its content, and of every source of the user's that it reaches."""
        if self.by_name:
            return source_hashes(self.name, path)
        found = {f"{self.name}()": self.content}
        for module in self.modules:
            found |= source_hashes(module, path)
        return dict(sorted(found.items()))

    def load(self, path: Sequence[str]) -> FunctionRunner:
        """Get the function in a worker. Raises: whatever unpickling or importing it raises."""
        function = self.function
        if function is None and self.by_name:
            function = load(self.name, path)
        elif function is None:
            sys.path[:0] = [entry for entry in path if entry not in sys.path]
            function = pickle.loads(self.parcel or Path(self.parcel_file).read_bytes())
        return FunctionRunner(self, function, tuple(path), digest(self.sources(path)))


@dataclass(frozen=True)
class CallableTrainer(FunctionTrainer):
    """A function in hand: `content` stands in for a version where it has none."""

    content: str = ""

    def identity(self, grid: Grid) -> Identity:
        identity = super().identity(grid)
        return identity if identity.version is not None else replace(identity, version=self.content or None)


def read(reader: Reader, tables: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Read [sweep] callable: the name of a function that was in hand once. Raises: InputError."""
    name = tables["sweep"]["callable"]
    if not isinstance(name, str) or not name:
        reader.refuse("[sweep] callable must be a text", name, 'train = "my_module:train"')
    overlap = tables["sweep"].get("overlap")
    if overlap is not None and not isinstance(overlap, float):
        reader.refuse("[sweep] overlap must be a number", overlap, "overlap = 0.25")
    return CallableSettings(name, read_call(reader, tables), between=overlap)


def take(train: Any, call: str, where: str) -> CallableSettings:
    """Take a function in hand. Raises: InputError for what is none, or has no version and no content."""
    if not callable(train):
        raise InputError(f"{where}: train must be a function, found {type(train).__name__}; pass one itself")
    reference = reference_of(train)
    if reference is not None and is_reference(reference):
        return CallableSettings(reference, call, True, key=uuid4().hex, function=train)
    name = name_of(train)
    try:
        content = hash_function(train)
    except Unhashable as error:
        if not isinstance(getattr(train, "version", None), str):
            raise InputError(
                f"{where}: what {name} reaches is part of its identity, and {error};"
                f' make that within {name}, or set {name}.version = "1" and raise it with each change'
            ) from None
        return CallableSettings(name, call, key=uuid4().hex, function=train)
    return CallableSettings(name, call, False, content.hash, content.modules, uuid4().hex, train)


def name_of(train: Any) -> str:
    """What a function is called, for people: the last part of its name, with its class if it is a method."""
    while isinstance(train, functools.partial):
        train = train.func
    if inspect.ismethod(train):
        owner = train.__self__ if inspect.isclass(train.__self__) else type(train.__self__)
        return f"{owner.__name__}.{train.__name__}"
    name = getattr(train, "__name__", None) or type(train).__name__
    return str(name).strip("<>")
