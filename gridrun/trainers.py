"""Import strings to train functions, and what a function may tell about itself.

The only place, with worker.py, where code of the user's is imported or called.
"""

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product, repeat
from math import prod
from pathlib import Path
from typing import Any

from gridrun.cell import Identity, Value, encode_runs
from gridrun.errors import InputError
from gridrun.grid import Grid
from gridrun.spec import Spec

Train = Callable[..., Iterable[Mapping[str, float]] | Mapping[str, float]]


def search_path(grid_file: Path) -> list[str]:
    """Where train functions are looked for before the installed packages: beside grid.toml, then here."""
    return list(dict.fromkeys([str(grid_file.resolve().parent), str(Path.cwd())]))


def load_train(reference: str, path: Iterable[str] = ()) -> Train:
    """Import "module:function".

    Raises: ImportError or AttributeError if there is none, TypeError if it can't be called, and
    whatever the module itself raises when imported.
    """
    sys.path[:0] = [entry for entry in path if entry not in sys.path]
    module, _, attribute = reference.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{reference} is a {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Trainer:
    """A train function as the parent sees it: asked about itself, never run here.

    `where` names grid.toml in messages. `defaults` are the parameters that the function has a
    scalar default for and grid.toml leaves alone: shown in reports, no part of the identity
    (a function raises its `version` when it changes one).
    """

    reference: str
    function: Train
    defaults: Mapping[str, Value]
    where: str

    @classmethod
    def find(cls, spec: Spec, grid_file: Path) -> "Trainer":
        """Import the spec's train function and check that the grid's names fit its signature.

        Raises: InputError.
        """
        place = f"{grid_file}: [sweep] train {spec.train!r}"
        try:
            function = load_train(spec.train, search_path(grid_file))
        except ModuleNotFoundError as error:
            raise InputError(
                f"{place}: no module named {error.name!r};"
                f" write one that lies beside {grid_file.name} or is installed"
            ) from None
        except (AttributeError, TypeError) as error:
            raise InputError(f"{place}: {_last_line(error)}; write module:function") from None
        except Exception as error:
            raise InputError(f"{place}: importing it raised {_last_line(error)}") from None
        return cls(spec.train, function, _bind(function, spec.grid, place), str(grid_file))

    def validate(self, grid: Grid) -> None:
        """Ask `train.validate`, where there is one, about every cell. Raises: InputError.

        It is asked once for each combination of the parameters that it takes: all of them where it
        takes **params, which makes it a call a cell.
        """
        validate = getattr(self.function, "validate", None)
        if validate is not None:
            for params in grid.combinations(_taken(validate, grid)):
                self._ask(validate, "validate", params)

    def identity(self, grid: Grid) -> Identity:
        """What names cells besides their parameters. Raises: InputError if the function can't tell."""
        version = getattr(self.function, "version", None)
        if version is not None and not isinstance(version, str):
            raise InputError(
                f'{self.where}: {self.reference}.version must be a text, found {version!r}; write "1"'
            )
        return Identity(self.reference, version, encode_runs(self._fingerprints(grid)))

    def _fingerprints(self, grid: Grid) -> Iterator[str | None]:
        """One a trajectory, in grid order; asked, like `validate`, once a combination of what it takes."""
        fingerprint = getattr(self.function, "fingerprint", None)
        if fingerprint is None:
            yield from repeat(None, grid.trajectory_count)
            return
        taken, longest = _taken(fingerprint, grid), {}
        if grid.budget in taken:
            longest = {grid.budget: max(grid.budgets)}
            taken.remove(grid.budget)
        axes = grid.trajectory_axes
        counts = [len(axis.values) if axis.name in taken else 1 for axis in axes]
        asked = (
            str(self._ask(fingerprint, "fingerprint", {**params, **longest}))
            for params in grid.combinations(taken)
        )
        if counts == [len(axis.values) for axis in axes]:
            yield from asked
            return
        answers = list(asked)
        strides = [prod(counts[place + 1 :]) * (axis.name in taken) for place, axis in enumerate(axes)]
        steps = [
            [stride * i for i in range(len(axis.values))] for stride, axis in zip(strides, axes, strict=True)
        ]
        yield from (answers[sum(places)] for places in product(*steps))

    def _ask(self, function: Callable[..., Any], name: str, params: Mapping[str, Value]) -> Any:
        try:
            return function(**params)
        except ValueError as error:
            raise InputError(f"{self.where}: {_one_line(error)} (refused by {self.reference})") from None
        except Exception as error:
            raise InputError(f"{self.where}: {self.reference}.{name} raised {_last_line(error)}") from None


def _taken(function: Callable[..., Any], grid: Grid) -> set[str]:
    """Which of the grid's parameters a function takes: all with **params, or if it can't be told."""
    names = {*grid.fixed, *(axis.name for axis in grid.all_axes)}
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some builtins have none
        return names
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return names
    return names & parameters.keys()


def _bind(function: Train, grid: Grid, place: str) -> dict[str, Value]:
    """Check the names of the grid's parameters against the signature; return the defaults left alone."""
    names = [*grid.fixed, *(axis.name for axis in grid.all_axes)]
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some builtins have none
        return {}
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError as error:
        takes = ", ".join(signature.parameters)
        raise InputError(f"{place}: {error}; it takes {takes}") from None
    return {
        name: tuple(parameter.default) if isinstance(parameter.default, list) else parameter.default
        for name, parameter in signature.parameters.items()
        if name not in names and isinstance(parameter.default, str | int | float | bool | tuple | list)
    }


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _last_line(error: BaseException) -> str:
    """The error with the innermost place of the user's in it, on one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if len(frames) > 1 else ""
    return f"{type(error).__name__}: {_one_line(error)}{place}"
