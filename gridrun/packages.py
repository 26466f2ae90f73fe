"""Packages that gridrun itself needs and that are missing or broken: one line instead of a traceback."""

import re
import sys
import traceback
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).parent
# NumPy explains a failed import on half a screen.
MOST_TEXT = 200


def explain(error: Exception) -> str | None:
    """Say which package gridrun lacks and what to write; None if `error` comes from anything but an import.

    It goes by the traceback, as a broken package raises whatever it likes: pandas beside another NumPy
    raises ValueError.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    foreign = [
        str(frame.f_globals.get("__name__"))
        for frame in frames
        if frame.f_code.co_name == "<module>" and PACKAGE not in Path(frame.f_code.co_filename).parents
    ]
    if foreign:  # the outermost is what gridrun asked for
        name = foreign[0]
    elif isinstance(error, ImportError) and error.name is not None:
        name = error.name
    else:
        return None
    package = name.partition(".")[0]
    if package == PACKAGE.name:
        return None  # a fault of ours
    command = " ".join(["gridrun", *sys.argv[1:2]])
    if package in sys.stdlib_module_names:
        return f"{command} needs {package}, which this Python was built without; use another Python"
    text = " ".join(str(error).split())[:MOST_TEXT]
    # Not by the error's type: pandas words it anew that there is no NumPy, each version in its own way.
    for name in sorted({package, *_required()}):
        if re.search(rf"\b{name}\b", text) and find_spec(name) is None:
            return f"{command} needs {name}, which is not installed; pip install {name}"
    return (
        f"{command} needs {package}, and importing it raised {type(error).__name__}: {text};"
        f" pip install --upgrade --force-reinstall {package}"
    )


def _required() -> set[str]:
    """The packages that gridrun itself requires: each is installed by the name that it is imported by.

    What they require need not be: dateutil comes as python-dateutil.
    """
    with suppress(PackageNotFoundError):
        return {re.split(r"\W", each)[0] for each in requires("gridrun") or () if "extra ==" not in each}
    return set()
