"""Import strings of the user's, and what they lead to; what cannot be had, in one line.

"module:name", or "file.py:name" of a file beside grid.toml. The only place, with the trainers and worker.py,
where code of the user's is imported or called.
"""

import difflib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from gridrun.errors import InputError
from gridrun.reading import Reader
from gridrun.wording import one_line


def read_reference(reader: Reader, place: str, found: object, example: str) -> str:
    """An import string as grid.toml writes it. Raises: InputError for what can be none."""
    if not isinstance(found, str) or not found:
        reader.refuse(f"{place} must be a text", found, example)
    if not is_reference(found):
        reader.refuse(f'{place} must be "module:name" or "file.py:name"', found, example)
    return found


def is_reference(text: str) -> bool:
    """Whether a text is written as an import string."""
    return re.fullmatch(r"([A-Za-z_][\w.]*|[^:\0]+\.py):[A-Za-z_][\w.]*", text, re.ASCII) is not None


def search_path(grid_file: Path) -> list[str]:
    """Where train functions are looked for before the installed packages: beside grid.toml, then here."""
    return list(dict.fromkeys([str(grid_file.resolve().parent), str(Path.cwd())]))


def load(reference: str, path: Iterable[str] = ()) -> Any:
    """Import "module:name", or "file.py:name" of a file in `path`.

    Raises: ImportError or AttributeError if there is none, and whatever the module itself raises when
    imported.
    """
    sys.path[:0] = [entry for entry in path if entry not in sys.path]
    origin, _, attribute = reference.partition(":")
    found: Any = _import_file(origin, path) if origin.endswith(".py") else importlib.import_module(origin)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def find(reference: str, grid_file: Path, place: str) -> Any:
    """Import what a reference names; `place` is where it stands. Raises: InputError, in one line."""
    try:
        return load(reference, search_path(grid_file))
    except ImportError as error:
        raise InputError(f"{place}: {_not_imported(error, reference, grid_file.name)}") from None
    except AttributeError as error:
        raise InputError(f"{place}: {_not_found(error, reference, grid_file)}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: it must not pass for a sweep that is done
        raise InputError(f"{place}: importing it raised {last_line(error)}") from None


def _import_file(name: str, path: Iterable[str]) -> ModuleType:
    """Import a file as the module that it is to its neighbours, even if its name is another module's too.

    Raises: ImportError if there is no such file, and whatever it raises itself.
    """
    file = next((Path(root, name) for root in path if Path(root, name).is_file()), None)
    if file is None:
        raise ImportError(f"no file {name!r}; write one that lies beside grid.toml")
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = importlib.import_module(file.stem)
    if (origin := getattr(module, "__file__", None)) and Path(origin).resolve() == file.resolve():
        return module
    # The standard library's, or another package's: ours gets a name of its own.
    alias = f"{file.stem}_beside_grid"
    if alias not in sys.modules:
        spec = importlib.util.spec_from_file_location(alias, file)
        assert spec is not None  # a file that ends in .py has a loader
        assert spec.loader is not None
        sys.modules[alias] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[alias])
    return sys.modules[alias]


def _not_imported(error: ImportError, reference: str, grid_file: str) -> str:
    """Why a train function could not be imported: its module is missing, or what its module imports."""
    module = reference.partition(":")[0]
    missing = isinstance(error, ModuleNotFoundError) and error.name
    if missing and f"{module}.".startswith(f"{missing}."):
        return f"no module named {missing!r}; write one that lies beside {grid_file} or is installed"
    # The place first: the text may end with what to type (`pip install ...`).
    why = f"importing it{_place(error)} raised {one_line(error)}"
    return f"{why}; install the package that it is in, or mend that import" if missing else why


def _not_found(error: AttributeError, reference: str, grid_file: Path) -> str:
    """Which file was found instead of the one that has the function, or which names it has."""
    origin, _, attribute = reference.partition(":")
    if origin.endswith(".py"):
        own = Path(origin).stem
        module = sys.modules.get(f"{own}_beside_grid") or sys.modules.get(own)
    else:
        module = sys.modules.get(origin)
    if module is None or "." in attribute:
        return f"{last_line(error)}; write module:function"
    file = getattr(module, "__file__", None)
    where = f"{'file' if origin.endswith('.py') else 'module'} {origin!r}" + (
        f" is {file} and" if file else " is built into Python and"
    )
    beside = grid_file.parent / f"{origin}.py"
    if (
        not origin.endswith(".py")
        and beside.is_file()
        and (file is None or Path(file).resolve() != beside.resolve())
    ):
        name = f"{origin}.py"
        return (
            f'{where} has no {attribute!r}; write "{name}:{attribute}" for the file beside {grid_file.name}'
        )
    names = [name for name, found in vars(module).items() if callable(found) and not name.startswith("_")]
    close = difflib.get_close_matches(attribute, names, n=1)
    there = close or sorted(names)[:8]
    return f"{where} has no attribute {attribute!r}; write {' or '.join(there) or 'module:function'}"


def last_line(error: BaseException) -> str:
    """The error with the innermost place of the user's in it, on one line."""
    return f"{one_line(error)}{_place(error)}"


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if len(frames) > 1 else ""
