"""What the command line prints: results to stdout, messages to stderr, strangers' text made harmless."""

import sys
from typing import NoReturn

from gridrun.terminal import Lasting, visible


def say(text: str) -> None:
    """Print a result: it may be a stranger's, and the reader may have gone."""
    write(visible(text, keep="\n") + "\n")


def write(text: str) -> None:
    """Print a result that is harmless already, without an end of line."""
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        leave_reader()


def note(message: str) -> None:
    """Tell something on the side."""
    print(f"gridrun: {visible(message)}", file=sys.stderr, flush=True)


def leave_reader() -> NoReturn:
    """The reader of a pipe has gone (`gridrun status | head`); nothing is left to say."""
    sys.stdout = Lasting(sys.stdout)
    sys.exit(0)
