"""An exception in words, whatever its own methods do: they are the user's, and may raise anything."""

import traceback
from types import TracebackType

from gridrun.metrics import storable

# A traceback is for reading; a message of megabytes in it is not.
MOST_TEXT = 20_000
MOST_LINE = 500


def one_line(error: BaseException) -> str:
    """Its type and its message, on one line."""
    name = type(error).__name__
    # BaseException: a __str__ that calls sys.exit must not end what only wanted to tell of it.
    try:
        # KeyError's str is the repr of its argument; a message of ours reads better plain.
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
        text = " ".join(text.split())
    except BaseException as broken:
        text = f"(no text: its __str__ raised {type(broken).__name__})"
    return storable(f"{name}: {text}" if text else name)[:MOST_LINE]


def full_text(error: BaseException, trace: TracebackType | None) -> str:
    """Its traceback from `trace` on, as Python prints it."""
    try:
        text = storable("".join(traceback.format_exception(type(error), error, trace)))
    except BaseException as broken:  # __notes__, or what it says it was caused by
        frames = "".join(traceback.format_tb(trace))
        text = f"{frames}{one_line(error)}\n(no more: telling it raised {type(broken).__name__})"
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT // 2] + "\n...\n" + text[-MOST_TEXT // 2 :]
