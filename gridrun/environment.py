"""What results may depend on besides the parameters: versions, and the code of the train function."""

import hashlib
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType


def describe_environment() -> dict[str, str]:
    """The versions that are kept with every session of a sweep."""
    described = {"python": sys.version.split()[0], "machine": f"{platform.system()} {platform.machine()}"}
    for package in ("gridrun", "numpy", "scipy", "numba", "joblib"):
        try:
            described[package] = version(package)
        except PackageNotFoundError:
            continue
    return described


def describe_process(train: str, path: Iterable[str]) -> dict[str, str]:
    """The same of this process, which has imported the train function, and of all that came with it.

    That is the version of every module loaded, and a hash of the source of those whose versions
    say little: gridrun's, the train function's package, and what lies beside it (in `path`).
    """
    described = describe_environment()
    for name, module in list(sys.modules.items()):
        # vars, not getattr: a module may warn when it is asked for its version.
        found = vars(module).get("__version__") if isinstance(module, ModuleType) else None
        if "." not in name and isinstance(found, str):
            described.setdefault(name, found)
    places = {str(Path(entry).resolve()) for entry in path}
    own = {"gridrun", train.partition(":")[0].partition(".")[0], *_modules_in(places)}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in own and (file := _source(module)) is not None:
            described[f"code of {name}"] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return described


def compare(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """Say in one line where two processes differ in what both have; "" if nowhere."""
    different = []
    for name in sorted(here.keys() & there.keys()):
        if here[name] != there[name] and name.startswith("code of "):
            different.append(f"the {name} differs")
        elif here[name] != there[name]:
            different.append(f"{name} is {there[name]} there and {here[name]} here")
    more = f" and {len(different) - 3} more" if len(different) > 3 else ""
    return ", ".join(different[:3]) + more


def _modules_in(places: set[str]) -> Iterator[str]:
    """The names of the loaded modules and packages that lie directly in one of these directories."""
    for name, module in list(sys.modules.items()):
        file = _source(module) if "." not in name else None
        if file is not None:
            folder = file.parent.parent if file.name == "__init__.py" else file.parent
            if str(folder.resolve()) in places:
                yield name


def _source(module: object) -> Path | None:
    """The source file of a module, if it has one that can be read."""
    name = getattr(module, "__file__", None) if isinstance(module, ModuleType) else None
    file = Path(name) if isinstance(name, str) and name.endswith(".py") else None
    return file if file is not None and file.is_file() else None
