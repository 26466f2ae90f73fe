"""What choices printed and why they failed, as a page can hold it: ends of texts, each text once."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from gridrun.outcome import Failure
from gridrun.results.aggregate import Aggregate
from gridrun.store import Store
from gridrun.terminal import visible

WHOLE = 200  # combinations, the best, of which the longer end is kept
LONG, SHORT = 2_000, 500  # characters of what one printed
MOST_PRINTED = 1_500_000  # characters in all, of texts that differ
MOST_TOLD = 500_000  # of tracebacks in all; past them only the reason is kept
TRACEBACK = 4_000  # of one, its end
REASON = 200


class Texts:
    """Texts by a number, each once, until they are too many characters."""

    def __init__(self, most: int) -> None:
        self.texts: list[str] = []
        self._places: dict[str, int] = {}
        self._left = most

    def add(self, text: str) -> int:
        """The text's number; -1 if there is no room."""
        if text not in self._places:
            if len(text) > self._left:
                return -1
            self._left -= len(text)
            self._places[text] = len(self.texts)
            self.texts.append(text)
        return self._places[text]


def gather_logs(result: Aggregate, store: Store, combinations: Iterable[int]) -> dict[str, Any]:
    """What the first run of each of `combinations` printed, and what ended any of its runs.

    printed, failed: of each combination a text's number, -1 of one that has none, -2 of one left out.
    """
    repeats, order, ids = result.spec.grid.repeats, list(combinations), result.trajectories
    printed, failed = (np.full(len(ids) // repeats, -2, np.int32) for _ in range(2))
    printed[order] = failed[order] = -1
    texts, long, ahead = Texts(MOST_PRINTED), set(order[:WHOLE]), iter(order)
    for name, output in store.outputs_of(ids[c * repeats] for c in order):
        combination = next(c for c in ahead if ids[c * repeats] == name)
        text = clean(output.text, LONG if combination in long else SHORT)
        if text.strip():
            printed[combination] = _kept(texts.add(text))
    causes, ended = Texts(MOST_TOLD), {name for name, _ in store.failures()}
    runs = ((c, name) for c in order for name in ids[c * repeats : (c + 1) * repeats]) if ended else ()
    number = {name: c for c, name in runs if name in ended}
    for name, failure in store.failures() if number else ():
        if name in number and failed[number[name]] < 0:
            place = causes.add(clean(failure.traceback or failure.reason, TRACEBACK))
            failed[number[name]] = _kept(place if place >= 0 else causes.add(clean(failure.reason, REASON)))
    return {
        "printed": texts.texts,
        "failed": causes.texts,
        "by_combination": {"printed": printed, "failed": failed},
    }


def _kept(place: int) -> int:
    return place if place >= 0 else -2


def clean(text: str, most: int) -> str:
    """The end of a text, made harmless, its lines kept."""
    return "\n".join(visible(line) for line in text[-most:].splitlines())


def tell_failure(failure: Failure) -> str:
    """A traceback made harmless, its lines kept."""
    text = failure.traceback or failure.reason
    return clean(text, len(text) or 1)
