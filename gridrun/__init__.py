"""Grid search that finishes what it starts.

From Python: `gridrun.sweep` runs a callable over a grid, `gridrun.load` reads what a sweep has found.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridrun.api import Results, load, sweep
    from gridrun.errors import GridrunError

# Where each name comes from, imported when it is asked for: the command line does without pandas.
_ORIGINS = {
    "GridrunError": "gridrun.errors",
    "Results": "gridrun.api",
    "load": "gridrun.api",
    "sweep": "gridrun.api",
}

__all__ = ["GridrunError", "Results", "load", "sweep"]


def __getattr__(name: str) -> Any:
    if name not in _ORIGINS:
        raise AttributeError(f"module 'gridrun' has no attribute {name!r}")
    return getattr(import_module(_ORIGINS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ORIGINS})
