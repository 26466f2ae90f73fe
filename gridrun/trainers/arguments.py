"""The words of a command with the parameters of one trajectory in them: no shell, no quoting.

`{name}` within a word is a parameter's value, `{{` and `}}` are braces, and the word `{params}` stands for an
option of every parameter that no other word names. docs/commands.md has the table of values.
"""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gridrun.cell import Value, as_given
from gridrun.reading import Reader

ALL = "{params}"
# What may stand in braces besides parameters; a parameter of that name comes first.
OUTPUT_DIR, RESUME_FROM = GIVEN = ("output_dir", "resume_from")
EXAMPLE = '["python", "train.py", "{params}"]'
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
# What argparse takes for a value, and not for an option, though it begins with a minus.
_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+")


def read_words(reader: Reader, found: object) -> tuple[str, ...]:
    """[sweep] command as grid.toml writes it. Raises: InputError."""
    if isinstance(found, str):
        try:
            example = "[" + ", ".join(f'"{word}"' for word in shlex.split(found)) + "]"
        except ValueError:
            example = EXAMPLE
        reader.refuse("[sweep] command must be a list of words, as no shell reads it", found, example)
    if not isinstance(found, list) or not found or not all(isinstance(word, str) for word in found):
        reader.refuse("[sweep] command must be a list of strings", found, EXAMPLE)
    for word in found:
        if "\0" in word:
            reader.refuse("[sweep] command: no program can be given a NUL", word, EXAMPLE)
        try:
            names = [] if word == ALL else names_in(word)
        except ValueError as error:
            reader.refuse(f"[sweep] command has {error}", word, "{{ and }} for braces")
        if "params" in names:
            reader.refuse("[sweep] command: {params} must be a word of its own", word, f'"{ALL}"')
    if found[0] in ("", ALL):
        reader.refuse("[sweep] command must begin with a program", found[0], EXAMPLE)
    return tuple(found)


def names_in(word: str) -> list[str]:
    """The names that a word holds in braces. Raises: ValueError for a brace on its own."""
    names = []
    for part in _PART.finditer(word):
        if part[1] is not None:
            names.append(part[1])
        elif part[0] in "{}":
            raise ValueError(f"a lone {part[0]!r}")
    return names


def fill(word: str, params: Mapping[str, Value]) -> str:
    """A word with values in place of the names in braces."""

    def put(part: re.Match[str]) -> str:
        return part[0][0] if part[1] is None else spell_argument(params[part[1]])

    return _PART.sub(put, word)


def fill_command(
    words: Sequence[str], params: Mapping[str, Value], given: Mapping[str, Value], *, hyphen: bool
) -> list[str]:
    """The words of one trajectory's command; `given` are the values of GIVEN."""
    named = {name for word in words if word != ALL for name in names_in(word)}
    filled: list[str] = []
    for word in words:
        if word == ALL:
            for name, value in params.items():
                if name not in named:
                    filled += option(flag(name, hyphen=hyphen), value)
        else:
            filled.append(fill(word, {**given, **params}))
    return filled


def flag(name: str, *, hyphen: bool) -> str:
    """A parameter's name as an option."""
    return "--" + (name.replace("_", "-") if hyphen else name)


def option(flag: str, value: Value) -> list[str]:
    """An option with its value, as argparse reads it.

    True is the bare flag; false and null leave it out. A list is one word for each item (`nargs`).
    """
    if value is None or value is False:
        return []
    if value is True:
        return [flag]
    if isinstance(value, tuple | list):
        return [flag, *map(spell_argument, value)]
    text = spell_argument(value)
    if text.startswith("-") and not _NEGATIVE.fullmatch(text):  # -1e-05 would be an option
        return [f"{flag}={text}"]
    return [flag, text]


def spell_argument(value: Value) -> str:
    """A value as one word: a string as it stands, anything else as JSON writes it."""
    if isinstance(value, str):
        return value
    return json.dumps(as_given(value), ensure_ascii=False, separators=(",", ":"))


def clashes(names: Iterable[str], *, hyphen: bool) -> Iterator[tuple[str, str]]:
    """Yield parameters that would be one option."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(flag(name, hyphen=hyphen), name)
        if other != name:
            yield other, name
