"""A call of `gridrun.sweep` written as a grid.toml, which the store keeps for `status` and `report` to read.

Values are whatever JSON can say, NumPy's scalars and arrays included. What can be none is refused here, in
the words of the call. All else the reader of grid.toml refuses; `in_words_of_the_call` translates its words.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from gridrun.cell import Value, read_value
from gridrun.errors import InputError
from gridrun.reading import MOST_VALUES, shown

WHERE = "gridrun.sweep"
# Of them a list is written out entry by entry: a table that stands several times.
Tables = Mapping[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]]


def write_grid(tables: Tables) -> str:
    """The text of a grid.toml with these tables. An empty one is left out, but for `grid` and `refit`.

    Raises: InputError for what grid.toml can't say.
    """
    parts = []
    for name, table in tables.items():
        if name == "zip" and isinstance(table, Mapping):
            for key, axes in table.items():
                place = f"zip[{key!r}]"
                if not isinstance(axes, Mapping):
                    raise InputError(
                        f"{WHERE}: {place} must be a dict of lists of one length, found {shown(axes)};"
                        " write {'lr': [0.1, 0.01], 'momentum': [0.0, 0.9]}"
                    )
                parts.append(f"[zip.{_write_text(_named('zip', key))}]\n" + _write_table(place, axes))
        elif isinstance(table, Mapping) and name != "exclude":
            if table or name in ("grid", "refit"):
                parts.append(f"[{name}]\n" + _write_table(name, table))
        elif isinstance(table, list | tuple) and all(isinstance(entry, Mapping) for entry in table):
            parts += [f"[[{name}]]\n" + _write_table(name, entry) for entry in table]
        else:
            example = "[{'lr': 0.1}]" if name == "exclude" else "{'lr': [0.1, 0.01]}"
            kind = "a list of dicts" if name == "exclude" else "a dict"
            raise InputError(f"{WHERE}: {name} must be {kind}, found {shown(table)}; write {example}")
    return "\n".join(parts)


def _write_table(table: str, entries: Mapping[Any, Any]) -> str:
    lines = []
    for key, value in entries.items():
        _named(table, key)
        place = key if table in ("sweep", "run") else f"{table}[{key!r}]"
        lines.append(f"{_write_text(key)} = {_write_value(_read(place, value))}\n")
    return "".join(lines)


def _named(table: str, key: object) -> str:
    if not isinstance(key, str):
        raise InputError(
            f"{WHERE}: a name in {table} must be a string, found {shown(key)}; write {str(key)!r}"
        )
    return key


def _read(place: str, found: Any) -> Value:
    """A value of the call's; a list may be a tuple, a range, an array or a column of a table."""
    if isinstance(found, range) and found[MOST_VALUES:]:  # before a list of it is made
        words = f"{shown(found[0])} to {shown(found[-1])}"
        raise InputError(
            f"{WHERE}: {place} is a range of more than {MOST_VALUES:,} values, found {words};"
            " write fewer, or {'from': 1, 'to': 1000, 'num': 4, 'scale': 'log'}"
        )
    if isinstance(found, range) or (getattr(found, "ndim", None) and hasattr(found, "tolist")):
        found = list(found) if isinstance(found, range) else found.tolist()
    if isinstance(found, list | tuple):
        return tuple(_read(place, item) for item in found)
    if isinstance(found, dict):
        if found == {"null": True}:  # grid.toml's own word for it
            raise InputError(f"{WHERE}: {place} holds {{'null': True}}, which stands for None; write None")
        found = {key: _read(f"{place}[{key!r}]", value) for key, value in found.items()}
    try:
        return read_value(found)
    except (ValueError, RecursionError):
        raise InputError(
            f"{WHERE}: {place} must be made of numbers, strings, True, False, None, lists and dicts of them,"
            f" found {shown(found)}; write a string, and look up in the function what it stands for"
        ) from None


def _write_value(value: Value) -> str:
    if value is None:
        return "{ null = true }"
    if isinstance(value, str):
        return _write_text(value)
    if isinstance(value, Mapping):
        entries = ", ".join(f"{_write_text(key)} = {_write_value(item)}" for key, item in value.items())
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_write_value, value)) + "]"
    return json.dumps(value)


def _write_text(text: str) -> str:
    # JSON's strings are TOML's, but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


# What messages say of grid.toml and of the command line, and what a call of `gridrun.sweep` has in its place.
_WORDS = (
    (r"\[(?:sweep|run)\] (\w+)", r"\1"),
    (r"(\S+) = (\S+) under \[(fixed|grid)\]", r"\3={'\1': \2}"),
    (r" under \[(?:sweep|run)\]", ""),
    (r"\[zip\.(\w+)\]", r"zip['\1']"),
    (r"\[select\] (rule|prefer|examples)", r"select['\1']"),
    (r"\[\[?(grid|fixed|replicate|exclude|select|refit)\]?\]", r"\1"),
    (r"\{ null = true \}", "None"),
    (r"--retry-failed", "retry_failed=True"),
    (r"--max-failures (\d+)", r"max_failures=\1"),
    (r"--(backend|jobs|scheduler) (\w+)", r"\1=\2"),
    (r"--out", "out"),
    ("the same command goes on", "the same call goes on"),
)


def in_words_of_the_call(message: str, names: Collection[str] = ()) -> str:
    """A message about grid.toml or the command line, as it reads for who has called `gridrun.sweep`.

    `names` are those of parameters: [grid] lr is grid['lr'].
    """
    for name in names:
        message = re.sub(
            rf"\[\[?(grid|fixed|replicate|exclude|refit)\]?\] {re.escape(name)}(?![\w.])",
            rf"\1['{name}']",
            message,
        )
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    return re.sub(r"\{ from = [^{}]* \}", lambda range_: re.sub(r"(\w+) = ", r"'\1': ", range_[0]), message)
