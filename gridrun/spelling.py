"""A parameter's value in words: as grid.toml writes it, but for the quotes of a string that needs none."""

import json
import re
from collections.abc import Mapping

from gridrun.terminal import visible


def spell(value: object, digits: int | None = None) -> str:
    """A value to read, control characters made visible; the string "1" bears its quotes, as 1 is another one.

    `digits` shortens floats of more than eight characters.
    """
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_inner(each, digits) for each in value) + "]"
    if isinstance(value, Mapping):
        inner = (f"{visible(name)} = {_inner(each, digits)}" for name, each in value.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, float) and digits is not None and len(repr(value)) > 8:
        return f"{value:.{digits}g}"
    if isinstance(value, str) and reads_otherwise(value):
        return visible(json.dumps(value, ensure_ascii=False))
    return visible(str(value))


def _inner(value: object, digits: int | None) -> str:
    """The same within a list or a table, where a string must not look like several values."""
    if isinstance(value, str) and re.search(r"""[,=\[\]{}"]|^\s|\s$""", value):
        return visible(json.dumps(value, ensure_ascii=False))
    return spell(value, digits)


def reads_otherwise(text: str) -> bool:
    """Whether a text without its quotes reads as a value of another kind: a number, true, null, a list."""
    bare = text.strip()
    if not bare or bare[0] in '"[{' or bare.lower() in ("true", "false", "null", "none"):
        return True
    try:
        float(bare)
    except ValueError:
        return False
    return True
