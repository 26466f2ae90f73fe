"""A function hashed by what it does: its code, and every value that the code reaches.

Two processes, two days, two runs of a notebook's cell give one hash; another body gives another. So it is not
the hash of a pickle, which depends on line numbers, file names, the order of sets, and which strings are one
object.

Covered: bytecode, constants, names and defaults; what closures hold; globals that the code names, and
functions and classes among them that no module has, in the same way; arguments of a partial, the object of a
bound method; arrays, tensors and containers by content, any other object as pickle takes it apart.
Not covered: what a module has is named, not read (its `version` counts); files; the environment. Comments,
line numbers, annotations and the order of a set do not count. Each version of Python has its own bytecode;
that of `time.sleep` depends besides on whether the same cell or script has imported `time`.
"""

import copyreg
import dis
import functools
import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

# Of a class: made anew by each Python, in no fixed order, or with nothing of the user's in it.
_NO_CONTENT = {
    *("__dict__", "__weakref__", "__module__", "__qualname__", "__doc__", "__annotations__", "__annotate__"),
    *("__annotate_func__", "__annotations_cache__", "__firstlineno__", "__static_attributes__", "_abc_impl"),
}
# Of a function: asked about a sweep, no part of what it computes.
_NO_COMPUTATION = {"version", "fingerprint", "validate"}
_ATOMS = (type(None), bool, int, float, complex, str, type(...), type(NotImplemented))
_DESCRIPTORS = (
    types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType,
    types.MethodDescriptorType, types.ClassMethodDescriptorType,
)  # fmt: skip


class Unhashable(Exception):
    """Something that a function reaches can't be hashed; its text says what."""


@dataclass(frozen=True)
class Content:
    """The hash of a function, and the modules that it reaches by name."""

    hash: str
    modules: tuple[str, ...]


def hash_function(function: Any) -> Content:
    """Hash a callable by content. Raises: Unhashable."""
    walk = _Walk()
    try:
        found = walk.digest(function)
    except RecursionError:
        raise Unhashable(f"{walk.at} is nested too deeply") from None
    return Content(found.hex()[:16], tuple(sorted(walk.modules)))


def reference_of(value: Any) -> str | None:
    """The import string "module:name" by which any process finds this very object; None if there is none."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or not is_importable(module):
        return None
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is value else None


def is_importable(module: str) -> bool:
    """Whether another process can import a module that is loaded here: by its name, from the same file."""
    top = module.partition(".")[0]
    if top == "__main__" or module not in sys.modules or top not in sys.modules:
        return False
    return _leads_to(top, getattr(sys.modules[top], "__file__", None))


@functools.lru_cache(maxsize=10_000)  # 30 us each, and an array's pickle names ten
def _leads_to(top: str, file: str | None) -> bool:
    for finder in sys.meta_path:
        spec = finder.find_spec(top, None) if hasattr(finder, "find_spec") else None
        if spec is not None:
            return spec.origin in (file, "built-in", "frozen")
    return False


class _Walk:
    """One walk over all that a function reaches.

    A value is taken apart into a tag and parts, and its digest is that of the tag and the digests of the
    parts. `at` is the variable being looked at, for messages.
    """

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self.at = "the function"
        self._known: dict[int, bytes] = {}
        self._open: dict[int, int] = {}  # what is being taken apart, by depth: it may contain itself
        self._kept: list[Any] = []  # so that no id is given twice

    def digest(self, value: Any) -> bytes:
        """Digest a value by content. Raises: Unhashable, RecursionError."""
        if type(value) is bytes:
            return _join("bytes", [value])
        if type(value) in _ATOMS:
            return _join(type(value).__name__, [repr(value).encode("utf-8", "surrogatepass")])
        key = id(value)
        if key in self._known:
            return self._known[key]
        if key in self._open:
            return _join("again", [str(self._open[key]).encode()])
        self._open[key] = len(self._open)
        self._kept.append(value)
        tag, parts = self._take_apart(value)
        found = self._known[key] = _join(tag, [self.digest(part) for part in parts])
        del self._open[key]
        return found

    def _take_apart(self, value: Any) -> tuple[str, Iterable[Any]]:
        if isinstance(value, types.ModuleType):
            self.modules.add(value.__name__)
            return "module", [value.__name__]
        if type(value) in (list, tuple):
            return type(value).__name__, value
        if type(value) in (dict, types.MappingProxyType):
            return "dict", [part for item in value.items() for part in item]
        if type(value) in (set, frozenset):
            return "set", sorted(map(self.digest, value))
        if type(value) in (bytearray, memoryview):
            return "bytes", [bytes(value)]
        if isinstance(value, types.CodeType):
            return "code", _parts_of_code(value)
        if isinstance(value, types.CellType):
            return "cell", _parts_of_cell(value)
        if (numbers := _parts_of_array(value)) is not None:
            return "array", numbers
        if (reference := reference_of(value)) is not None:
            self.modules.add(reference.partition(":")[0])
            version = getattr(value, "version", None)
            return "reference", [reference, version if isinstance(version, str) else None]
        if isinstance(value, types.FunctionType):
            return "function", self._parts_of_function(value)
        if isinstance(value, type):
            return "class", self._parts_of_class(value)
        return self._take_apart_object(value)

    def _take_apart_object(self, value: Any) -> tuple[str, Iterable[Any]]:
        if isinstance(value, types.MethodType):
            return "method", [value.__func__, value.__self__]
        if isinstance(value, types.BuiltinMethodType) and not isinstance(value.__self__, types.ModuleType):
            return "builtin method", [value.__self__, value.__name__]
        if isinstance(value, property):
            return "property", [value.fget, value.fset, value.fdel]
        if isinstance(value, classmethod | staticmethod):
            return type(value).__name__, [value.__func__]
        if isinstance(value, functools.cached_property):
            return "cached property", [value.func]
        if isinstance(value, _DESCRIPTORS):
            return "descriptor", [value.__name__]
        if hasattr(value, "cache_info") and hasattr(value, "__wrapped__"):  # functools.lru_cache
            return "cached", [value.__wrapped__]
        return "object", self._reduce(value)

    def _reduce(self, value: Any) -> Iterator[Any]:
        """Take an object apart as pickle does."""
        try:
            own = copyreg.dispatch_table.get(type(value))
            reduced = value.__reduce_ex__(4) if own is None else own(value)
            if isinstance(reduced, str):  # the name of a global
                return iter([getattr(value, "__module__", None), reduced])
            function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
            return iter([function, arguments, state, list(items or ()), [list(pair) for pair in pairs or ()]])
        except RecursionError:
            raise
        except Exception:  # whatever the class of a user raises
            raise Unhashable(f"{self.at} holds a {type(value).__name__}, which can't be pickled") from None

    def _parts_of_function(self, function: types.FunctionType) -> Iterator[Any]:
        yield from (function.__code__, function.__defaults__, function.__kwdefaults__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self.at = name
            yield from (name, cell)
        named, imported = _names_of(function.__code__)
        for name in sorted(named):
            if name in function.__globals__:
                self.at = name
                yield from (name, function.__globals__[name])
        self.modules.update(imported)
        yield {name: own for name, own in vars(function).items() if name not in _NO_COMPUTATION}

    def _parts_of_class(self, found: type) -> Iterator[Any]:
        yield from (found.__name__, found.__bases__, type(found))
        for name, own in sorted(vars(found).items()):
            if name not in _NO_CONTENT:
                yield from (name, own)


def _join(tag: str, parts: Iterable[bytes]) -> bytes:
    hasher = blake2b(tag.encode(), digest_size=16)
    for part in parts:
        hasher.update(b"%d:" % len(part))
        hasher.update(part)
    return hasher.digest()


def _parts_of_code(code: types.CodeType) -> Iterator[Any]:
    """All that a code object does, without where it stands."""
    yield from (code.co_name, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
    yield from (code.co_flags, code.co_code, code.co_names, code.co_varnames, code.co_freevars)
    yield from (code.co_cellvars, code.co_exceptiontable, code.co_consts)


def _parts_of_cell(cell: types.CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # not filled yet
        return []


def _parts_of_array(value: Any) -> list[Any] | None:
    """A NumPy array's or a PyTorch tensor's type, shape and bytes; None for anything else."""
    package = type(value).__module__.partition(".")[0]
    if package == "torch" and hasattr(value, "untyped_storage") and hasattr(value, "detach"):
        # Its pickle names the storage by its address.
        flat = value.detach().cpu().contiguous().reshape(-1)
        return [str(value.dtype), list(value.shape), flat.view(sys.modules["torch"].uint8).numpy().tobytes()]
    if "numpy" not in sys.modules:
        return None
    import numpy as np

    if type(value) is not np.ndarray:
        return None
    if value.dtype.hasobject:
        return [str(value.dtype), list(value.shape), value.tolist()]
    return [value.dtype.descr, list(value.shape), value.tobytes()]


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _names_of(code: types.CodeType) -> tuple[set[str], set[str]]:
    """The globals that a code object and those within it name, and the modules that they import."""
    named, imported = set(), set()
    for step in (step for each in _codes(code) for step in dis.get_instructions(each)):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            named.add(str(step.argval))
        elif step.opname == "IMPORT_NAME" and step.argval:
            imported.add(str(step.argval))
    return named, imported
