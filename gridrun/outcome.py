"""The nouns of a sweep: what is asked of a worker, what it answers, how far a trajectory is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gridrun.cell import Params
from gridrun.metrics import Bits

Metrics = Mapping[str, float]

# What a cell can be. `completed`: it has an outcome, that of a run which ended by itself before the cell's
# budget included. `failed`: its trajectory ended in an error before it. `pending`: nothing is known yet.
COMPLETED, FAILED, PENDING = STATUSES = ("completed", "failed", "pending")


@dataclass(frozen=True)
class Task:
    """One trajectory to run: its name, its parameters, and how many epochs are still needed (None: all).

    `number` is its place among the grid's trajectories, from 0. `so_far` are the epochs that are stored
    already: a trainer that keeps checkpoints goes on after them.
    """

    trajectory: str
    params: Params
    epochs: int | None
    number: int = -1
    so_far: "Outcome | None" = None


@dataclass(frozen=True)
class Failure:
    """Why a trajectory ended early: one line, and the traceback (may be empty)."""

    reason: str
    traceback: str = ""


class Output(NamedTuple):
    """What a trajectory printed: its first and last part as text, and the bytes that it was in all.

    `rest` are the last bytes as they were printed, for who follows it; not kept.
    """

    text: str
    size: int
    rest: bytes = b""


class Piece(NamedTuple):
    """Some of what a running trajectory prints: bytes, and how many came before them."""

    trajectory: str
    start: int
    data: bytes


class Working(NamedTuple):
    """What a slot is doing: a task, since when (monotonic clock), and how many epochs of it are known.

    Short tasks travel together: `task` is the first of them, and `more` go with it.
    """

    slot: int
    task: Task
    more: int
    since: float
    epochs: int


class Outcome(NamedTuple):
    """What became of one trajectory: the epochs it completed and, if it failed, why.

    A tuple, as a thousand travel at once: made, sent and read in half the time of a dataclass.

    `wall_s` is the time the trainer took, in seconds, and `seconds` the time to the end of each epoch.
    `ended` is whether the run ended by itself before the epochs that it was asked for. `bits` holds,
    for each epoch, truth values of held-out examples by metric. `place` is the machine and process.
    `left_out` names a metric that is neither a number nor bits. `code` is a digest of the trainer's
    sources as the worker has them. `number` is that of the task. `underway` is whether the trajectory still
    runs, and these are its epochs so far. `output` is what it printed, if anything.
    """

    trajectory: str
    params: Params
    history: Sequence[Metrics]
    failure: Failure | None
    wall_s: float
    seconds: Sequence[float] = ()
    ended: bool = False
    bits: Sequence[Mapping[str, Bits]] = ()
    place: str = ""
    left_out: str = ""
    code: str = ""
    number: int = -1
    underway: bool = False
    output: Output | None = None


class History(NamedTuple):
    """The metrics of each completed epoch, and whether the run ended by itself after them."""

    metrics: Sequence[Metrics] = ()
    ended: bool = False


class Timing(NamedTuple):
    """When and where a trajectory ran: seconds to the end of each epoch, "" and () where it was not kept."""

    finished_at: str
    wall_s: float
    seconds: Sequence[float]
    place: str
    session: int


class Session(NamedTuple):
    """One run of the sweep: which sources and defaults its trainer had. {} and None where it was not kept."""

    number: int
    started_at: str
    environment: Mapping[str, str]
    sources: Mapping[str, str]
    defaults: Params | None


class Progress(NamedTuple):
    """How far a trajectory is, without its metrics: what resuming needs."""

    epochs: int
    failed: bool
    ended: bool = False  # by itself: there will be no more epochs than these

    def status(self, budget: int | None) -> str:
        """The status of this trajectory's cell with that budget."""
        if self.ended or self.epochs >= (budget or 1):
            return COMPLETED
        return FAILED if self.failed else PENDING

    def after(self, outcome: Outcome) -> "Progress":
        """How far it is with an outcome more: the longer history is the one that is kept."""
        return Progress(
            max(self.epochs, len(outcome.history)), outcome.failure is not None, self.ended or outcome.ended
        )


NOTHING = Progress(0, False)
