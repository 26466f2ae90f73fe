"""What a function of a user's is, by content: the same text is compiled once on a machine.

numba's own cache would look at the file alone that a function stands in, and a notebook's has none.
"""

import builtins
from hashlib import sha256
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

SIMPLE = (bool, int, float, complex, str, bytes, type(None), type(...), np.generic, np.ufunc)


def identity(*parts: Any) -> str | None:
    """A digest of functions, numbers and tuples of these; None if one uses what cannot be told by content."""
    try:
        return sha256(repr([_content(part) for part in parts]).encode()).hexdigest()[:16]
    except _Unknown:
        return None


class _Unknown(Exception):
    """An object of any other kind: an array, a class, a list."""


def _content(value: Any) -> Any:
    value = getattr(value, "py_func", value)  # of what numba has compiled
    if isinstance(value, FunctionType):
        return _function(value)
    if isinstance(value, tuple):
        return type(value).__name__, [_content(each) for each in value]
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, SIMPLE) or getattr(value, "__module__", None) in ("builtins", "numpy"):
        return type(value).__name__, repr(value)
    raise _Unknown


def _function(function: FunctionType) -> Any:
    known = {**vars(builtins), **function.__globals__}
    names = {name: _content(known[name]) for name in sorted(_names(function.__code__)) if name in known}
    cells = [_content(cell.cell_contents) for cell in function.__closure__ or ()]
    return _code(function.__code__), names, cells, _content(function.__defaults__)


def _names(code: CodeType) -> set[str]:
    nested = (each for each in code.co_consts if isinstance(each, CodeType))
    return {*code.co_names, *(name for each in nested for name in _names(each))}


def _code(code: CodeType) -> Any:
    constants = [_code(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return code.co_code, code.co_names, code.co_varnames, constants
