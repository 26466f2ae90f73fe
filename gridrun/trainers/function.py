"""Python functions: how they are called, and what one may tell about itself."""

import dis
import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from types import CodeType
from typing import Any, ClassVar

from gridrun.cell import Identity, Value, as_given, encode_runs, read_value
from gridrun.environment import describe_process, digest, source_hashes
from gridrun.errors import InputError
from gridrun.grid import Grid
from gridrun.reading import Reader
from gridrun.trainers import Running, Settings
from gridrun.trainers.importing import find, last_line, load, read_reference
from gridrun.wording import one_line

Train = Callable[..., Iterable[Mapping[str, float]] | Mapping[str, float]]


# What a function is given that names it and to which grid.toml says nothing: a directory of this trajectory's
# own, as a string, found again as it was left; and how many epochs are stored already: it yields those after.
GIVEN = OUTPUT_DIR, RESUME_FROM = "output_dir", "resume_from"


def takes(name: str, function: Train, grid_names: Collection[str], call: str) -> bool:
    """Whether a function is to be given one of GIVEN."""
    return call != "config" and name in _named(function) and name not in grid_names


def arrange(function: Train, params: dict[str, Any], *, config: bool = False) -> dict[str, Any]:
    """Parameters as a function takes them: "model.C" sets the key C of its parameter `model`.

    So it does where the function names `model`, or grid.toml gives it; elsewhere (**params, one mapping) the
    name is passed as it stands.
    """
    dotted = [name for name in params if "." in name]
    if not dotted:
        return params
    named = set() if config else _named(function)
    given = {name: value for name, value in params.items() if "." not in name}
    for name in dotted:
        head, *keys = name.split(".")
        if head not in named and head not in given:
            given[name] = params[name]
            continue
        table = given.setdefault(head, {})
        for key in keys[:-1]:
            table = table.setdefault(key, {})
        table[keys[-1]] = params[name]
    return given


def _named(function: Train) -> frozenset[str]:
    """The parameters that a function names."""
    try:
        return _read_names(function)
    except TypeError:  # an object that has no hash
        return _read_names.__wrapped__(function)


@functools.lru_cache(maxsize=16)
def _read_names(function: Train) -> frozenset[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins have none
        return frozenset()
    return frozenset(p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))


@dataclass(frozen=True)
class FunctionSettings:
    """[sweep] train and call: which function, and whether it takes keywords or one mapping, its "config"."""

    name: str
    call: str = "keywords"
    mode: ClassVar[str | None] = None
    replicates: ClassVar[Mapping[str, Sequence[int]]] = {}
    overlap: ClassVar[float | None] = None

    def find(self, grid: Grid, grid_file: Path) -> "FunctionTrainer":
        """Import the function and check that the grid's names fit its signature. Raises: InputError."""
        place = f"{grid_file}: [sweep] train {self.name!r}"
        function = find(self.name, grid_file, place)
        if not callable(function):
            raise InputError(
                f"{place}: it is a {type(function).__name__}, not a function; write module:function"
            )
        defaults, resumes = check_function(function, grid, self.call, place)
        return FunctionTrainer(self.name, function, defaults, str(grid_file), resumes)

    def sources(self, path: Sequence[str]) -> dict[str, str]:
        """See `source_hashes`."""
        return source_hashes(self.name, path)

    def load(self, path: Sequence[str]) -> "FunctionRunner":
        """Import the function in a worker. Raises: whatever its module raises."""
        return FunctionRunner(self, load(self.name, path), tuple(path), digest(self.sources(path)))


def read(reader: Reader, tables: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Read [sweep] train and call. Raises: InputError."""
    name = read_reference(reader, "[sweep] train", tables["sweep"]["train"], '"my_module:train"')
    return FunctionSettings(name, read_call(reader, tables))


def read_call(reader: Reader, tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Read [sweep] call. Raises: InputError."""
    call = tables["sweep"].get("call", "keywords")
    if call not in ("keywords", "config"):
        reader.refuse(
            '[sweep] call must be "keywords" or "config"', call, '"config" for a function of one mapping'
        )
    return str(call)


@dataclass(frozen=True)
class FunctionRunner:
    """A train function in a worker."""

    settings: FunctionSettings
    function: Train
    path: tuple[str, ...]
    digest: str  # of its sources as they were imported

    def run(self, params: dict[str, Any], running: Running) -> Any:
        """Call the function; what it gives is for `read_epochs`."""
        config = self.settings.call == "config"
        if running.root and takes(OUTPUT_DIR, self.function, params, self.settings.call):
            params[OUTPUT_DIR] = running.output_dir()
        if takes(RESUME_FROM, self.function, params, self.settings.call):
            params[RESUME_FROM] = running.resume_from()
        given = arrange(self.function, params, config=config)
        return self.function(given) if config else self.function(**given)

    def code(self) -> str:
        """The digest of its sources as they were imported."""
        return self.digest

    def describe(self, sample: Mapping[str, Any]) -> dict[str, str]:
        """Versions, the function's code, and the fingerprint of its inputs for the parameters `sample`."""
        described = describe_process(self.settings.name, self.path)
        fingerprint = getattr(self.function, "fingerprint", None)
        if fingerprint is not None:
            try:
                described["fingerprint"] = str(fingerprint(**sample))
            except Exception as error:
                described["fingerprint"] = one_line(error)
        return described


@dataclass(frozen=True)
class FunctionTrainer:
    """A train function as the parent sees it: asked about itself, never run here.

    `where` names grid.toml in messages. `defaults` are the parameters that the function has a
    default that JSON can say for and grid.toml leaves alone: shown in reports, no part of the identity
    (a function raises its `version` when it changes one).
    """

    reference: str
    function: Train
    defaults: Mapping[str, Value]
    where: str
    resumes: bool = False

    @property
    def advice(self) -> str:
        """It has a version for that."""
        return f"as {self.reference}.version has not changed: raise it, and they are run anew"

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

        def tell(**params: Value) -> str:
            return str(fingerprint(**params))

        taken, longest = _taken(fingerprint, grid), {}
        if grid.budget in taken:
            longest = {grid.budget: max(grid.budgets)}
            taken.remove(grid.budget)
        yield from grid.ask(taken, lambda params: self._ask(tell, "fingerprint", {**params, **longest}))

    def _ask(self, function: Callable[..., Any], name: str, params: Mapping[str, Value]) -> Any:
        try:
            return function(**arrange(function, {name: as_given(value) for name, value in params.items()}))
        except ValueError as error:
            reason = one_line(error).partition(": ")[2] or type(error).__name__
            raise InputError(f"{self.where}: {reason} (refused by {self.reference})") from None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: it must not pass for a sweep that is done
            raise InputError(f"{self.where}: {self.reference}.{name} raised {last_line(error)}") from None


def check_function(function: Train, grid: Grid, call: str, place: str) -> tuple[dict[str, Value], bool]:
    """Check that a function can give metrics and takes the grid's parameters; `place` begins a message.

    Returns its defaults of what the grid leaves alone, and whether it resumes. Raises: InputError.
    """
    if why := _unfit(function):
        raise InputError(f"{place}: {why}")
    if call == "config":
        _check_tables(grid, frozenset(), place)
        return {}, False
    names = {*grid.fixed, *(axis.name for axis in grid.all_axes)}
    return _bind(function, grid, place), takes(RESUME_FROM, function, names, call)


def _unfit(function: Callable[..., Any]) -> str:
    """Why no call of this can give metrics; "" if one may."""
    function = _inner(function)
    if inspect.isclass(function):
        return (
            f"{function.__name__} is a class; write a function that makes one, trains it and yields metrics"
        )
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return (
            f"{getattr(function, '__name__', 'it')} is async; write a plain function (asyncio.run within it)"
        )
    if inspect.isfunction(function) and _returns_nothing(function.__code__):
        return f"{function.__name__} returns nothing; yield one mapping of metrics an epoch, or return one"
    return ""


def _inner(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that is called in the end: a partial's, a bound method's, that of an object."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function) and not inspect.isclass(function):
        function = getattr(type(function), "__call__", function)  # noqa: B004 - the method itself is wanted
    return getattr(function, "__func__", function)


def _returns_nothing(code: CodeType) -> bool:
    """Whether every return of a function that yields nothing is that of None."""
    if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR | inspect.CO_COROUTINE):
        return False
    returned: list[bool] = []
    before: dis.Instruction | None = None
    for step in dis.get_instructions(code):
        if step.opname == "RETURN_CONST":  # Python 3.12 and 3.13
            returned.append(step.argval is None)
        elif step.opname == "RETURN_VALUE":
            returned.append(before is not None and before.opname == "LOAD_CONST" and before.argval is None)
        before = step
    return bool(returned) and all(returned)


def _taken(function: Callable[..., Any], grid: Grid) -> set[str]:
    """Which of the grid's parameters a function takes: all with **params, or if it can't be told."""
    names = {*grid.fixed, *(axis.name for axis in grid.all_axes)}
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some builtins have none
        return names
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return names
    return {name for name in names if name in parameters or name.partition(".")[0] in parameters}


def _bind(function: Train, grid: Grid, place: str) -> dict[str, Value]:
    """Check the names of the grid's parameters against the signature; return the defaults left alone."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some builtins have none
        return {}
    _check_tables(grid, _named(function), place)
    taken: set[str] = set()
    for names in grid.calls:
        given = arrange(function, dict.fromkeys(names) | {name: {} for name in _tables(names)})
        given |= {name: None for name in GIVEN if takes(name, function, names, "keywords")}
        try:
            signature.bind(**given)
        except TypeError as error:
            expected = ", ".join(signature.parameters)
            called = f" with {', '.join(names)}" if len(grid.calls) > 1 else ""
            raise InputError(f"{place}: {error}{called}; it takes {expected}") from None
        taken.update(given)
    defaults: dict[str, Value] = {}
    for name, parameter in signature.parameters.items():
        if name not in taken and parameter.default is not parameter.empty:
            # What JSON can say is kept. A function, an object, NaN could not be read back.
            with suppress(ValueError, RecursionError):
                defaults[name] = read_value(parameter.default)
    return defaults


def _tables(names: Collection[str]) -> set[str]:
    """The parameters that grid.toml sets as a whole and by dotted names too."""
    return {name for name in names if any(other.startswith(f"{name}.") for other in names)}


def _check_tables(grid: Grid, named: Collection[str], place: str) -> None:
    """Raise InputError where a dotted name sets a key of what is no table, or is set twice."""
    values = {name: [value] for name, value in grid.fixed.items()}
    values |= {axis.name: list(axis.values) for axis in grid.all_axes}
    for names in grid.calls:
        _check_call({name: values[name] for name in names}, named, place)


def _check_call(values: Mapping[str, Sequence[Value]], named: Collection[str], place: str) -> None:
    for name in values:
        head, _, rest = name.partition(".")
        if not rest or (head not in named and head not in values):
            continue
        keys, above = rest.split("."), name.rpartition(".")[0]
        while "." in above:
            if above in values:
                raise InputError(f"{place}: {above!r} and {name!r} set one thing twice; write one of them")
            above = above.rpartition(".")[0]
        for value in values.get(head, ()):
            found: Any = value
            for key in keys:
                if not isinstance(found, dict):
                    raise InputError(
                        f"{place}: {name!r} sets a key of {head}, which is {type(found).__name__};"
                        f" write {head} as a table, or leave one of them out"
                    )
                if key not in found:
                    break
                found = found[key]
            else:
                raise InputError(f"{place}: {name!r} is set in {head} too; leave it out there")
