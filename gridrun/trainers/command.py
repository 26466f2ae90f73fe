"""Commands: `command = ["python", "train.py", "{params}"]`, a program that is run once for each trajectory.

arguments.py  its words, with the parameters in them
lines.py      what of its output is metrics
program.py    the program under way; keeper.py, the process that looks after it

It is started in the directory of grid.toml, by no shell, with an empty stdin; docs/commands.md tells all.
"""

import hashlib
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from gridrun.cell import Identity, Value, encode_value, hash_content, read_value
from gridrun.environment import describe_environment, digest, source_hashes
from gridrun.errors import InputError
from gridrun.grid import Grid
from gridrun.reading import Reader, Words, choice
from gridrun.terminal import visible
from gridrun.trainers import Running, Settings, TrajectoryFailed
from gridrun.trainers.arguments import (
    ALL,
    GIVEN,
    OUTPUT_DIR,
    RESUME_FROM,
    clashes,
    fill,
    fill_command,
    names_in,
    read_words,
)
from gridrun.trainers.lines import LOOK_S, Output, Table, check_file, check_pattern, read_matches, read_object
from gridrun.trainers.program import KeeperEnded, Program

MOST_REASON = 500


@dataclass(frozen=True)
class CommandSettings:
    """[sweep] command, flags, pattern and metrics_file."""

    words: tuple[str, ...]
    flags: str = "name"
    pattern: str | None = None
    metrics_file: str | None = None
    mode: ClassVar[str | None] = None
    replicates: ClassVar[Mapping[str, Sequence[int]]] = {}
    overlap: ClassVar[float | None] = None

    @property
    def name(self) -> str:
        return " ".join(self.words)

    @property
    def hyphen(self) -> bool:
        return self.flags == "hyphen"

    @property
    def placeholders(self) -> set[str]:
        """The names that stand in braces, {params} apart."""
        texts = [word for word in self.words if word != ALL]
        return {name for text in [*texts, self.metrics_file or ""] for name in names_in(text)}

    def find(self, grid: Grid, grid_file: Path) -> "CommandTrainer":
        """Check that the command takes the grid's names, and these only. Raises: InputError."""
        where = f"{grid_file}: [sweep] command"
        names = [*grid.fixed, *(axis.name for axis in grid.all_axes)]
        for name in sorted(self.placeholders - {*GIVEN, *names}):
            known = choice(name, [*names, *GIVEN], "{{{}}}")
            raise InputError(f"{where} has no parameter {{{visible(name)}}}; write {known}")
        for own in grid.calls:
            for name in map(visible, sorted(self.placeholders - {*GIVEN, *own})):
                raise InputError(
                    f"{where} has {{{name}}}, which not every [[grid]] has; write {ALL} for all it has"
                )
        if ALL not in self.words and (unused := [name for name in names if name not in self.placeholders]):
            name = visible(unused[0])
            raise InputError(f"{where} gets nothing of {name}; write {{{name}}} in it, or {ALL} for all")
        for first, second in clashes([n for n in names if n not in self.placeholders], hyphen=self.hyphen):
            raise InputError(f"{where}: {first} and {second} are one option; write one of them")
        resumes = RESUME_FROM in self.placeholders and RESUME_FROM not in names
        return CommandTrainer(self, grid_file.resolve().parent, str(grid_file), resumes)

    def sources(self, path: Sequence[str]) -> dict[str, str]:
        """The files beside grid.toml that it names, and what those of Python (or a -m) import there."""
        folder, hashes = Path(path[0]), {}
        for before, word in pairwise(("", *self.words)):
            if before == "-m" and re.fullmatch(r"[\w.]{1,200}", word):
                hashes.update(source_hashes(word, [str(folder)]))
                hashes.update(source_hashes(f"{word}.__main__", [str(folder)]))
            elif (file := self._file(word, folder)) is not None:
                hashes[word] = _hash(file)
                if file.suffix == ".py":
                    own = source_hashes(file.stem, [str(file.parent)])
                    hashes.update({name: found for name, found in own.items() if name != file.stem})
        return dict(sorted(hashes.items()))

    def _file(self, word: str, folder: Path) -> Path | None:
        """The file beside grid.toml that a word names."""
        try:
            file = (folder / word).resolve()
            return file if word and file.is_file() and file.is_relative_to(folder) else None
        except (OSError, ValueError):  # too long, or a NUL
            return None

    def load(self, path: Sequence[str]) -> "CommandRunner":
        """Have it run from the directory of grid.toml, the first of `path`."""
        return CommandRunner(self, tuple(path))


def _hash(file: Path) -> str:
    try:
        there = file.stat()
        return _hash_once(file, there.st_mtime_ns, there.st_size, there.st_ino)
    except OSError:
        return "unreadable"


# Asked for with every trajectory: data of gigabytes may lie beside grid.toml.
@lru_cache(maxsize=1000)
def _hash_once(file: Path, *_version: int) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]


def read(reader: Reader, tables: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Read [sweep] command and what goes with it. Raises: InputError."""
    sweep = tables["sweep"]
    words = read_words(reader, sweep["command"])
    flags = sweep.get("flags", "name")
    if flags not in ("name", "hyphen"):
        reader.refuse(
            '[sweep] flags must be "name" or "hyphen"', flags, '"hyphen" for batch_size as --batch-size'
        )
    pattern, file = sweep.get("pattern"), sweep.get("metrics_file")
    if pattern is not None and file is not None:
        reader.refuse("[sweep] has a pattern and a metrics_file", Words("both"), "where the metrics are")
    if pattern is not None:
        check_pattern(reader, pattern, sweep["metric"])
    if file is not None:
        check_file(reader, file)
    return CommandSettings(words, flags, pattern, file)


def find_program(word: str, folder: Path) -> str | None:
    """The program that a command's first word names, as a shell finds it in `folder`; None if there is none.

    "python" is the interpreter that runs gridrun where PATH has none.
    """
    if "/" in word:
        file = folder / word
        return word if file.is_file() and os.access(file, os.X_OK) else None
    found = shutil.which(word)
    if found is None:
        return sys.executable if word == "python" else None
    return str(Path(found).absolute())  # there may be "." on PATH


@dataclass(frozen=True)
class CommandTrainer:
    """A command as the parent sees it.

    `where` names grid.toml in messages. `resumes`: it is told how many epochs are stored already.
    """

    settings: CommandSettings
    folder: Path
    where: str
    resumes: bool = False

    @property
    def defaults(self) -> Mapping[str, Value]:
        """Its own are its secret."""
        return {}

    @property
    def advice(self) -> str:
        """None: cells are named by the content of its files."""
        return ""

    def validate(self, grid: Grid) -> None:
        """Check that there is a program, and that it can be given every value. Raises: InputError."""
        first = self.settings.words[0]
        for params in grid.combinations(names_in(first)):
            program = fill(first, params)
            if find_program(program, self.folder) is None:
                raise InputError(f"{self.where}: [sweep] command: {self._missing(program)}")
        values = [*grid.fixed.items(), *((axis.name, v) for axis in grid.all_axes for v in axis.values)]
        for name, value in values:
            if _has_nul(value):
                raise InputError(f"{self.where}: {name}: no program can be given a NUL; leave it out")

    def _missing(self, program: str) -> str:
        shown, there = visible(program), (self.folder / program).is_file()
        if "/" not in program:
            more = f"'./{shown}' for the file beside grid.toml" if there else "one that is there, or its path"
            return f"no program {shown!r} on PATH; write {more}"
        if there:
            return f"{shown!r} is not executable; try chmod +x, or write what reads it (sh, python) before it"
        beside = "" if program.startswith("/") else " beside grid.toml"
        return f"no file {shown!r}{beside}; write one that can be run"

    def identity(self, grid: Grid) -> Identity:
        """The command as written, and a hash of its files."""
        settings = self.settings
        own = {"command": settings.words, "flags": settings.flags, "pattern": settings.pattern}
        named = encode_value(read_value({**own, "metrics_file": settings.metrics_file}))
        sources = settings.sources([str(self.folder)])
        version = hash_content(encode_value(read_value(sources))) if sources else None
        return Identity(named, version, ((None, grid.trajectory_count),))


@dataclass(frozen=True)
class CommandRunner:
    """A command in a worker."""

    settings: CommandSettings
    path: tuple[str, ...]

    def run(self, params: dict[str, Any], running: Running) -> Iterator[dict[str, Any]]:
        """Run the program when asked for its first epoch; yield the metrics of each as it tells them.

        Raises: TrajectoryFailed if it ends badly or tells none, OSError if it can't be started.
        """
        settings = self.settings
        given: dict[str, Any] = {}
        for name, give in ((OUTPUT_DIR, running.output_dir), (RESUME_FROM, running.resume_from)):
            if name in settings.placeholders and name not in params:
                given[name] = give()
        table = None
        if settings.metrics_file is not None:
            file = Path(self.path[0], fill(settings.metrics_file, {**given, **params}))
            file.unlink(missing_ok=True)  # what an interrupted run had told
            table = Table(file)
        words = fill_command(settings.words, params, given, hyphen=settings.hyphen)
        words[0] = find_program(words[0], Path(self.path[0])) or words[0]
        return self._run(words, table, running.stored if running.resumed else 0)

    def _run(self, words: Sequence[str], table: Table | None, stored: int) -> Iterator[dict[str, Any]]:
        # Python holds back what it prints into a pipe; epochs are to be seen as they are done.
        environment = {"PYTHONUNBUFFERED": "1", **os.environ}
        pattern = self.settings.pattern
        output = Output(read_object if pattern is None else read_matches(pattern), table)
        told = stored
        with Program(words, self.path[0], environment) as program:
            try:
                for stream, data in program.read(None if table is None else LOOK_S):
                    for metrics in output.take(stream, data):
                        told += 1
                        yield metrics
            except KeeperEnded:  # as when a worker is: what it was at is run again
                raise TrajectoryFailed("its keeper was ended", output.tail(), signal=signal.SIGKILL) from None
            for metrics in output.end():
                told += 1
                yield metrics
        self._judge(program.status or 0, told, output)

    def _judge(self, status: int, told: int, output: Output) -> None:
        """Raise TrajectoryFailed unless the program has ended well."""
        last = f": {words}" if (words := output.last_words()) else ""
        if status < 0:
            name = name_signal(-status)
            raise TrajectoryFailed(f"ended by {name}{last}"[:MOST_REASON], output.tail(), signal=-status)
        if status > 0:
            raise TrajectoryFailed(f"exit status {status}{last}"[:MOST_REASON], output.tail())
        if not told:
            where = "no line of its stdout is a JSON object"
            if self.settings.pattern is not None:
                where = "no line of its stdout matches pattern"
            elif self.settings.metrics_file is not None:
                where = "there is no row in metrics_file"
            raise TrajectoryFailed(f"told no metrics, as {where}{last}"[:MOST_REASON], output.tail())

    def code(self) -> str:
        """The digest of its files, which each trajectory reads anew."""
        return digest(self.settings.sources(self.path))

    def describe(self, _sample: Mapping[str, Any]) -> dict[str, str]:
        """Versions, its files, and whether its program is there."""
        described, folder = describe_environment(), Path(self.path[0])
        described["directory of grid.toml"] = "there" if folder.is_dir() else "missing"
        sources = self.settings.sources(self.path)
        for name in {*self.settings.words, *sources}:
            described[f"code of {name}"] = sources.get(name, "none")
        described["code of the command"] = digest(sources)  # what one imports here may be missing there
        first = self.settings.words[0]
        if not names_in(first):
            described[f"program {first}"] = "missing" if find_program(first, folder) is None else "there"
        return described


def _has_nul(value: Value) -> bool:
    if isinstance(value, str):
        return "\0" in value
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else ()
    return any(map(_has_nul, inner))


def name_signal(number: int) -> str:
    """SIGKILL, or what there is of a name."""
    try:
        return signal.Signals(number).name
    except ValueError:  # the real-time signals between the first and the last have no name
        return f"signal {number}"
