"""Handlers of ours: no child has them, and they are put back when somebody has replaced them."""

import os
import signal
from collections.abc import Iterator

import pytest

from gridrun import signals


@pytest.fixture
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(signals, "_held", {})
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


def handle(*_: object) -> None:
    pass


@pytest.mark.usefixtures("_alone")
def test_a_handler_that_a_cell_has_replaced_is_put_back() -> None:
    signals.hold(signal.SIGUSR1, handle)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    signals.hold_again()
    assert signal.getsignal(signal.SIGUSR1) is handle


@pytest.mark.usefixtures("_alone")
def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signals.hold(signal.SIGUSR1, handle)
    signals.hold_again()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN


@pytest.mark.usefixtures("_alone")
@pytest.mark.slow
def test_a_forked_child_dies_of_what_is_handled_here_however_early_it_comes() -> None:
    """A signal that came before the child had handlers of its own was lost once in a few hundred times."""
    signals.hold(signal.SIGUSR1, handle)
    for _ in range(300):
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
        os.kill(child, signal.SIGUSR1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGUSR1


@pytest.mark.usefixtures("_alone")
def test_a_handler_of_a_cells_own_is_inherited() -> None:
    signals.hold(signal.SIGUSR1, handle)
    signal.signal(signal.SIGUSR1, own := lambda *_: None)
    child = os.fork()
    if child == 0:
        os._exit(signal.getsignal(signal.SIGUSR1) is not own)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
