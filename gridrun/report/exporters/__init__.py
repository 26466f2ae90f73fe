"""Results for other tools: a format is a line of `EXPORTERS` and a file beside this one."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from gridrun.directory import EXPORT
from gridrun.errors import EnvironmentFault, InputError
from gridrun.report.replacing import replacing, require_directory
from gridrun.results.aggregate import Aggregate, aggregate
from gridrun.store import Store

# Lies in every export and says which files are ours, so that no other is ever replaced.
LIST = "gridrun-export.json"


class Write(Protocol):
    """What a file of this folder offers as `write`."""

    def __call__(self, result: Aggregate, store: Store, folder: Path) -> str:
        """Fill a new folder. Returns how many of what there are, in words."""


@dataclass(frozen=True)
class Exporter:
    """Facts about a format, known without loading it.

    `needs` are packages that do not come with gridrun; the extra of the format's name installs them.
    `opens` is what opens the export, with {} for where it lies.
    """

    needs: tuple[str, ...]
    opens: str

    def load(self, name: str) -> Write:
        write: Write = import_module(f"{__name__}.{name}").write
        return write


EXPORTERS = {
    "csv": Exporter((), "pandas.read_csv('{}/cells.csv')"),
    "parquet": Exporter(("pyarrow",), "pandas.read_parquet('{}/cells.parquet')"),
    "optuna": Exporter(("optuna",), "optuna-dashboard sqlite:///{}/optuna.db"),
    "mlflow": Exporter(
        ("mlflow", "sqlalchemy", "alembic"), "mlflow ui --backend-store-uri sqlite:///{}/mlflow.db"
    ),
    "tensorboard": Exporter(("tensorboardX",), "tensorboard --logdir {}"),
}


@dataclass(frozen=True)
class Exported:
    """Where an export lies, how much it is in words, and what opens it."""

    folder: Path
    amount: str
    opens: str


def export(directory: Path, name: str, folder: Path | None = None) -> Exported:
    """Write a sweep's results in that format to a folder; default: `directory`/export/FORMAT.

    An earlier export there is replaced, whole or not at all.
    Raises: InputError if there is no such format or store, a package is missing, or something lies
    there that no export wrote; EnvironmentFault if the disk refuses.
    """
    exporter = find_exporter(name)
    folder = directory / EXPORT / name if folder is None else folder
    place = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow a link
    with Store.read(directory) as store:
        result = aggregate(store)
        with _faults(folder):
            place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place, _check) as fresh:
                amount = exporter.load(name)(result, store, fresh)
                _note_files(fresh)
    return Exported(folder, amount, exporter.opens.format(folder))


def find_exporter(name: str) -> Exporter:
    """The format called so. Raises: InputError if there is none, or a package of it is missing."""
    if name not in EXPORTERS:
        *names, last = EXPORTERS
        raise InputError(f"no format {name!r}; write --to {', '.join(names)} or {last}")
    exporter = EXPORTERS[name]
    if missing := [package for package in exporter.needs if find_spec(package) is None]:
        raise InputError(
            f"--to {name} needs {missing[0]}, which is not installed; write pip install 'gridrun[{name}]'"
        )
    return exporter


def _check(folder: Path) -> None:
    """Raise InputError unless all that would be replaced is as an export wrote it."""
    if not require_directory(folder, "export"):
        return
    first = min((path.name for path in folder.iterdir()), default=None)
    if first is None:
        return
    try:
        ours = json.loads((folder / LIST).read_text(encoding="utf-8"))
        strangers = (name for name, digest in _digests(folder) if ours.get(name) != digest)
        stranger = next(strangers, None)
    except (FileNotFoundError, ValueError, RecursionError, AttributeError):
        stranger = first
    if stranger is not None:
        raise InputError(
            f"{folder}: holds {stranger!r}, which no export has written so;"
            " move it away, or name another --out"
        )


def _note_files(folder: Path) -> None:
    text = json.dumps(dict(_digests(folder)), indent=1)
    (folder / LIST).write_text(text + "\n", encoding="utf-8")


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    """The path of every file of an export, and a digest of what is in it; of what is no file, ""."""
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name == LIST or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink() or not path.is_file():
            yield name, ""
            continue
        with path.open("rb") as file:
            yield name, hashlib.file_digest(file, "blake2b").hexdigest()[:32]


@contextlib.contextmanager
def _faults(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise EnvironmentFault(
            f"{where}: cannot be written: {error.strerror or error}; what was there is as it was"
        ) from None
