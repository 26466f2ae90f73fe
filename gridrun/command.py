"""Commands told to the user, to be typed as they stand: quoted, and with the words that were typed before."""

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from gridrun.directory import newest_directory
from gridrun.errors import InputError


def write_command(*words: str | Path) -> str:
    """A gridrun command as it is typed into a shell."""
    # A path that begins with a dash would be an option.
    typed = [
        f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word) for word in words
    ]
    return shlex.join(["gridrun", *typed])


def same_command(*options: str, words: Iterable[str] | None = None) -> str:
    """The command with these words (default: the one that runs now), and options that it may lack."""
    words = list(sys.argv[1:] if words is None else words)
    place = words.index("--") if "--" in words else len(words)
    words[place:place] = [option for option in options if option not in words]
    return write_command(*words)


def how_to_go_on() -> str:
    """The command that resumes what this one began."""
    return "the same command goes on: " + same_command()


def how_to_show(cell: str, directory: Path) -> str:
    """The command that shows a cell of this sweep directory; it is left out where it is the default."""
    return write_command("show", cell, *name_directory(directory))


def name_directory(directory: Path) -> list[Path]:
    """The directory as the last word of a command; nothing where it is the newest under results/."""
    try:
        if newest_directory().resolve() == directory.resolve():
            return []
    except (InputError, OSError):
        pass
    return [directory]
