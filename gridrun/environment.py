"""What results may depend on besides the parameters: versions, and the code of the train function."""

import ast
import hashlib
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

# An import statement, over several lines if it is in parentheses or its lines end in backslashes. To parse
# whole files takes 140 ms of cnn_core's 28; this, 15.
_IMPORT = re.compile(rb"^[ \t]*((?:from|import)[ \t](?:\([^)]*\)|\\\r?\n|[^\n(\\])*)", re.MULTILINE)


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


def source_hashes(train: str, path: Iterable[str]) -> dict[str, str]:
    """A hash of every source file that the train function is made of, by module, sorted.

    That is its own module and what it imports, directly or not and at any time, as long as that belongs to
    the same package or lies in `path`. Found by reading, so that two processes that have loaded different
    things tell the same.
    """
    name = train.partition(":")[0].removesuffix(".py").replace("/", ".")
    top = name.partition(".")[0]
    roots = [Path(entry) for entry in path]
    folders = getattr(sys.modules.get(top), "__path__", ())  # it may be installed elsewhere
    hashes: dict[str, str] = {}
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module in hashes or module.partition(".")[0] == "gridrun":
            continue
        inside = [Path(folder).parent for folder in folders] if module.partition(".")[0] == top else []
        file = _find_source(module, [*inside, *roots])
        if file is None:
            continue
        try:
            source = file.read_bytes()
        except OSError:  # ours to import once, and not to read now
            continue
        hashes[module] = hashlib.sha256(source).hexdigest()[:16]
        parents = _ancestors(module)
        package = module if file.name == "__init__.py" else next(iter(parents), "")
        waiting += [*parents, *_imported(source, package)]
    return dict(sorted(hashes.items()))


def digest(hashes: Mapping[str, str]) -> str:
    """Name a set of sources: 8 hexadecimal digits, "" if it is empty."""
    text = "\n".join(f"{name} {value}" for name, value in hashes.items())
    return hashlib.sha256(text.encode()).hexdigest()[:8] if hashes else ""


def _find_source(module: str, roots: Iterable[Path]) -> Path | None:
    for root in roots:
        place = root.joinpath(*module.split("."))
        for file in (place / "__init__.py", place.with_name(place.name + ".py")):
            if file.is_file():
                return file
    return None


def _imported(source: bytes, package: str) -> Iterator[str]:
    """What the import statements of a module of this package may name, and some names more."""
    for statement in _IMPORT.findall(source):
        try:
            found = ast.parse(statement).body
        except (SyntaxError, ValueError):  # a sentence that begins so
            continue
        for node in found:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from (alias.name, *_ancestors(alias.name))
            elif isinstance(node, ast.ImportFrom):
                above = [package, *_ancestors(package)][node.level - 1 :][:1] if node.level else []
                origin = ".".join([*above, *([node.module] if node.module else [])])
                yield from (origin, *_ancestors(origin), *(f"{origin}.{alias.name}" for alias in node.names))


def _ancestors(module: str) -> list[str]:
    """a.b and a, of a.b.c."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]


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
