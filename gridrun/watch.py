"""Text that changes while something runs: redrawn in place on a terminal, printed as it changes elsewhere."""

import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

# Seconds between two looks.
LOOK_S = 1.0


def moves(stream: TextIO) -> bool:
    """Whether a stream is a terminal on which text can be drawn over."""
    return stream.isatty() and os.environ.get("TERM", "dumb").lower() not in ("dumb", "unknown")


def show_changes(look: Callable[[], tuple[str, bool]], say: Callable[[str], None], *, lines: bool) -> None:
    """Show what `look` tells, and whether more will come, until no more does; once at least.

    `lines`: a line for each change on a terminal, too.
    """
    if lines or not moves(sys.stdout):
        _print_changes(look, say)
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    text, goes_on = look()
    with Live(Text(text), console=Console(), auto_refresh=False, vertical_overflow="crop") as live:
        while goes_on:
            time.sleep(LOOK_S)
            text, goes_on = look()
            live.update(Text(text), refresh=True)


def _print_changes(look: Callable[[], tuple[str, bool]], say: Callable[[str], None]) -> None:
    told, goes_on = "", True
    while goes_on:
        if told:
            time.sleep(LOOK_S)
        text, goes_on = look()
        if text != told:
            say(text)
        told = text
