"""Signals that ask the program to end: at once outside a sweep, after what is in flight within one."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from gridrun.command import how_to_go_on
from gridrun.terminal import screen, takes, visible

# The last two are what schedulers send before the time of a job is over, if asked to.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
# A wrapper (timeout, uv run) passes on the signal that the terminal or it itself sent to all of the group:
# what comes within so many seconds of the first is the first.
FINISHING = "finishing the cells in flight; once more stops at once"
ECHO_S = 1.0


@dataclass
class Stop:
    """Set by a signal: nothing new is started; what is in flight is finished."""

    asked: bool = False


# By signal: the handler of ours. No child has it: one that is started (exec) by itself, one that is forked by
# `_give_back`. With SIG_IGN it would be otherwise: that is inherited, and a child could not be terminated.
_held: dict[int, Any] = {}
_forking = threading.local()


def hold(number: int, handler: Any) -> None:
    """Handle a signal in this process, unless it is ignored: nohup's wish, a shell's in the background."""
    if signal.getsignal(number) is signal.SIG_IGN:
        return
    signal.signal(number, handler)
    _held[number] = handler


def _hold_back() -> None:
    """Before a fork: what comes for the child waits until its handlers are its own, or it would be lost."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _held)


def _let_in() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _give_back() -> None:
    """In a forked child: what we handle is as Python has it when it starts."""
    for number, handler in _held.items():
        if signal.getsignal(number) is handler:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
    _let_in()


os.register_at_fork(before=_hold_back, after_in_parent=_let_in, after_in_child=_give_back)


def hold_again() -> None:
    """Put back the handlers that somebody else has replaced."""
    for number, handler in _held.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def end_on_signals() -> None:
    """Outside a sweep: the first signal ends the program with one line, by KeyboardInterrupt."""
    for number in SIGNALS:
        hold(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    _tell("gridrun: interrupted; nothing was changed")
    raise KeyboardInterrupt


@contextmanager
def drain_on_signals(stop: Stop, *, shown: bool = False) -> Iterator[None]:
    """While the block runs the first signal sets `stop`: finish what is in flight. The second stops now.

    `shown`: the live screen tells of it; a line from here would be drawn over.
    """
    first = 0.0

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal first
        if stop.asked and time.monotonic() - first < ECHO_S:
            return
        if stop.asked:
            # As SIGKILL would, and as safely: no cleaning up that could hang, nothing raised within
            # a cell that runs here. The guard ends the workers.
            if os.isatty(screen()) and takes(screen()):
                with suppress(OSError):
                    os.write(screen(), b"\x1b[?25h\n")  # the cursor, which the progress bar hides
            _tell(f"gridrun: stopped at once; what was reported done is kept; {how_to_go_on()}")
            os._exit(130)
        stop.asked, first = True, time.monotonic()
        if not shown:
            _tell(f"\ngridrun: {FINISHING}")

    before, held = {number: signal.getsignal(number) for number in SIGNALS}, dict(_held)
    for number in SIGNALS:
        hold(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _held.clear()
        _held.update(held)


class StopNow(KeyboardInterrupt):
    """A second Ctrl-C: whatever runs in this process ends, and no cell has failed for it."""


@contextmanager
def drain_on_interrupt(stop: Stop, *, shown: bool = False) -> Iterator[None]:
    """The same within a program of the user's: the first Ctrl-C sets `stop`, the second raises StopNow.

    The other signals are the program's own, and so is Ctrl-C when the block is left. Python lets nobody but
    the main thread have a handler: elsewhere, and over one that is not Python's, the block runs without.
    """
    before, held = signal.getsignal(signal.SIGINT), dict(_held)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    first = 0.0

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal first
        if not stop.asked:
            stop.asked, first = True, time.monotonic()
            if not shown:
                _tell(f"\ngridrun: {FINISHING}")
        elif time.monotonic() - first >= ECHO_S:
            raise StopNow

    hold(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        _held.clear()
        _held.update(held)


def _tell(message: str) -> None:
    """Print from within a signal handler, where print is not safe; the terminal may be gone, or not read."""
    with suppress(OSError):
        if not takes(screen()):
            return
        os.write(screen(), (visible(message, keep="\n") + "\n").encode(errors="replace"))
