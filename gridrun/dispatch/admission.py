"""Which workers of a cluster may run cells: those whose results would be the same as here."""

from collections.abc import Mapping
from queue import SimpleQueue

from gridrun.dispatch.pool import Event
from gridrun.environment import compare
from gridrun.errors import EnvironmentFault


class Admission:
    """Compares workers with this process, and tells the user of those that get no cells."""

    def __init__(self, here: Mapping[str, str], events: "SimpleQueue[Event]") -> None:
        self._here, self._events = here, events
        self._refusals: list[str] = []
        self._admitted = False

    def admit(self, worker: str, there: Mapping[str, str] | BaseException) -> bool:
        """Whether a worker may run cells, by what it said of itself, or by what went wrong when asked."""
        if isinstance(there, EnvironmentFault):
            self._refusals.append(f"worker {worker} is of no use: {there}")
        else:
            if isinstance(there, BaseException):
                reason = f"{type(there).__name__}: {there}"
            else:
                reason = compare(self._here, there)
            if not reason:
                self._admitted = True
                self._tell()
                return True
            self._refusals.append(
                f"worker {worker} is refused, as its results would not be comparable:"
                f" {' '.join(reason.split())[:400]}; install there, and where the scheduler is, what is here"
            )
        if self._admitted:
            self._tell()
        return False

    def check(self, *, more: bool) -> None:
        """Raise EnvironmentFault if all were refused, unless `more` are still being asked."""
        if self._refusals and not self._admitted and not more:
            others = f" ({len(self._refusals) - 1} more are)" if len(self._refusals) > 1 else ""
            raise EnvironmentFault(self._refusals[0] + others)

    def _tell(self) -> None:
        # Told while others work; if none does, the sweep ends with it, and once is enough.
        for refusal in self._refusals:
            self._events.put(refusal)
        self._refusals.clear()
