"""The data of an estimator: X, y, groups and sample weights, by [data] of grid.toml.

`load` names a function that returns X, y (and groups, and sample weights), or a mapping such as
scikit-learn's Bunch. `file` names a table beside grid.toml. Loaded once a process.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from gridrun.errors import InputError
from gridrun.reading import Reader, Words, choice
from gridrun.trainers.importing import find, last_line, load, read_reference, search_path
from gridrun.wording import one_line

COLUMNS = ("target", "groups", "sample_weight")
# What a mapping may call its parts: scikit-learn's Bunch, or by their usual names.
NAMES = {"x": ("data", "X"), "y": ("target", "y"), "groups": ("groups",), "weights": ("sample_weight",)}
# What is held out by test_size never takes part in a sweep: its draw is no parameter of one.
HELD_OUT_SEED = 0


@dataclass(frozen=True)
class Data:
    """What an estimator is fitted and scored on: one entry an example. y, groups and weights may be None."""

    x: Any
    y: Any = None
    groups: Any = None
    weights: Any = None

    def digest(self) -> str:
        """Name the content: equal values of equal types, equal digest, wherever they came from."""
        digest = hashlib.sha256()
        for field in fields(self):
            digest.update(field.name.encode())
            for part in _parts(getattr(self, field.name)):
                digest.update(part)
        return digest.hexdigest()[:16]

    def take(self, indices: Any) -> "Data":
        """Some of the examples."""
        from sklearn.utils import _safe_indexing

        parts = (getattr(self, field.name) for field in fields(self))
        return Data(*(None if part is None else _safe_indexing(part, indices) for part in parts))

    def hold_out(self, test_size: float, *, stratify: bool) -> tuple[Any, Any]:
        """Indices of what a held-out share leaves, and of the share: drawn with a fixed seed.

        By class or by whole groups. Raises: ValueError if it can't be drawn so.
        """
        from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit, StratifiedShuffleSplit

        splitter = GroupShuffleSplit if self.groups is not None else ShuffleSplit
        if stratify and self.groups is None:
            splitter = StratifiedShuffleSplit
        split = splitter(n_splits=1, test_size=test_size, random_state=HELD_OUT_SEED)
        kept, held = next(split.split(self.x, self.y, self.groups))
        kept.sort()
        held.sort()
        return kept, held


@dataclass(frozen=True)
class DataSettings:
    """[data]: where the data come from, and how much of it is held out of everything."""

    load: str | None = None
    file: str | None = None
    target: str | None = None
    groups: str | None = None
    sample_weight: str | None = None
    test_size: float | None = None

    def find(self, grid_file: Path, place: str) -> Data:
        """Load the data in the parent, and see that they are the same each time. Raises: InputError."""
        path = search_path(grid_file)
        if self.load is not None:
            find(self.load, grid_file, f"{place} load {self.load!r}")
        data = self._ask(path, place)
        if self.load is not None and self._ask(path, place).digest() != data.digest():
            raise InputError(
                f"{place} load: {self.load} gives other data each time it is called;"
                " write a fixed random_state in it"
            )
        return data

    def read(self, path: Sequence[str]) -> Data:
        """Load the data in a worker. Raises: ValueError for what are no data, and whatever loading raises."""
        from sklearn.utils import indexable

        data = taken(load(self.load, path)()) if self.load is not None else self._table(path)
        return Data(*indexable(data.x, data.y, data.groups, data.weights))

    def hold_out(self, data: Data, *, stratify: bool) -> tuple[Any, Any] | None:
        """Indices of the data that take part in the sweep, and of the others; None if all do.

        Raises: ValueError.
        """
        return None if self.test_size is None else data.hold_out(self.test_size, stratify=stratify)

    def _ask(self, path: Sequence[str], place: str) -> Data:
        try:
            return self.read(path)
        except (ValueError, OSError) as error:
            raise InputError(f"{place}: {_words(error)}") from None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: it must not pass for a sweep that is done
            raise InputError(f"{place}: loading raised {last_line(error)}") from None

    def _table(self, path: Sequence[str]) -> Data:
        import pandas as pd

        assert self.file is not None
        file = next((Path(root, self.file) for root in path if Path(root, self.file).is_file()), None)
        if file is None:
            raise ValueError(f"no file {self.file!r}; write one that lies beside grid.toml")
        read: Callable[..., pd.DataFrame] = pd.read_parquet if file.suffix == ".parquet" else pd.read_csv
        try:
            frame = read(file)
        except ImportError:
            raise ValueError(
                f"{self.file}: reading it needs a package; write pip install pyarrow, or make it a .csv"
            ) from None
        columns = {key: getattr(self, key) for key in COLUMNS}
        named = [column for column in columns.values() if column is not None]
        for column in named:
            if column not in frame.columns:
                known = choice(column, [str(each) for each in frame.columns])
                raise ValueError(f"{self.file} has no column {column!r}; write {known}")
        y, groups, weights = (None if c is None else frame[c] for c in columns.values())
        return Data(frame.drop(columns=named), y, groups, weights)


def read_data(reader: Reader, found: Mapping[str, Any]) -> DataSettings:
    """Read [data]. Raises: InputError."""
    example = 'load = "sklearn.datasets:load_digits", or file = "x.csv"'
    if ("load" in found) == ("file" in found):
        reader.refuse("[data] needs load or file", Words("both" if "load" in found else "neither"), example)
    if "load" in found:
        read_reference(reader, "[data] load", found["load"], '"sklearn.datasets:load_digits"')
        for key in COLUMNS:
            if key in found:
                reader.refuse(f"[data] {key} goes with file", found[key], f"{key} into what load returns")
    else:
        for key in ("file", *(key for key in COLUMNS if key in found)):
            if not isinstance(found[key], str) or not found[key]:
                reader.refuse(f"[data] {key} must be a text", found[key], f'{key} = "..."')
        if not found["file"].endswith((".csv", ".csv.gz", ".parquet")):
            reader.refuse("[data] file must end with .csv, .csv.gz or .parquet", found["file"], '"x.csv"')
        named = [found[key] for key in COLUMNS if key in found]
        if len(set(named)) < len(named):
            reader.refuse("[data] names one column twice", Words(", ".join(named)), "each once")
    size = found.get("test_size")
    if size is not None and not is_share(size):
        reader.refuse("[data] test_size must be a share or a number of examples", size, "test_size = 0.2")
    return DataSettings(**found)


def is_share(size: object) -> bool:
    """Whether this may be [data] test_size."""
    if isinstance(size, bool) or not isinstance(size, int | float):
        return False
    return 0 < size < 1 if isinstance(size, float) else size >= 1


def taken(found: Any, who: str = "load gave", do: str = "return") -> Data:
    """What a load function gave: X, y and perhaps groups and sample weights. Raises: ValueError."""
    if isinstance(found, Mapping):
        parts = {
            name: next((found[key] for key in keys if key in found), None) for name, keys in NAMES.items()
        }
        if parts["x"] is None:
            raise ValueError(
                f"{who} a mapping of {', '.join(map(str, found)) or 'nothing'}; data or X is in none"
            )
        return Data(**parts)
    if isinstance(found, tuple) and 2 <= len(found) <= 4:
        return Data(*found)
    size = f" of {len(found)}" if isinstance(found, tuple) else ""
    raise ValueError(f"{who} {type(found).__name__}{size}; {do} X, y (and groups, and sample weights)")


def _parts(values: Any) -> Iterable[bytes]:
    """The content of an array, a table, a sparse matrix, or of whatever NumPy makes an array of."""
    import numpy as np

    if values is None:
        return
    if hasattr(values, "tocsr"):
        matrix = values.tocsr()
        yield repr(("sparse", matrix.shape)).encode()
        for part in (matrix.data, matrix.indices, matrix.indptr):
            yield from _parts(part)
        return
    if hasattr(values, "iloc"):
        import pandas as pd

        kinds = values.dtypes if values.ndim == 2 else [values.dtype]
        names = map(str, values.columns) if values.ndim == 2 else ["of one"]
        yield repr([(name, str(kind)) for name, kind in zip(names, kinds, strict=True)]).encode()
        yield pd.util.hash_pandas_object(values, index=False).to_numpy().tobytes()
        return
    array = np.asarray(values)
    yield repr((array.dtype.str, array.shape)).encode()
    if array.dtype.hasobject:
        import pandas as pd

        yield pd.util.hash_array(array.ravel(), categorize=False).tobytes()
    else:
        yield array.tobytes()


def _words(error: BaseException) -> str:
    """An error of reading, without its type: it was raised to be read."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return one_line(error).partition(": ")[2] or type(error).__name__
