"""What a sweep can run, one kind a file: how grid.toml says it, what it tells about itself, how it runs.

importing.py  import strings, and what they lead to
function.py   a Python function, `train = "module:function"`
estimator.py  an estimator of scikit-learn's kind, `estimator = "module:Class"`
command.py    a program, `command = ["python", "train.py", "{params}"]`
callable.py   a function in hand, from `gridrun.sweep`; content.py, its hash
estimator_in_hand.py  an estimator in hand
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from gridrun.cell import Identity, Value
from gridrun.grid import Grid
from gridrun.reading import Reader, Words


class Trainer(Protocol):
    """What a sweep runs, as the parent sees it: asked about itself, never run here."""

    @property
    def defaults(self) -> Mapping[str, Value]:
        """Its own values of the parameters that grid.toml leaves alone: shown, no part of the identity."""

    @property
    def advice(self) -> str:
        """How to have cells run anew whose sources have changed; "" if that makes them other cells anyway."""

    @property
    def resumes(self) -> bool:
        """Whether a trajectory goes on after the epochs that are stored already."""

    def validate(self, grid: Grid) -> None:
        """Raise InputError for a cell that it refuses."""

    def identity(self, grid: Grid) -> Identity:
        """What names cells besides their parameters. Raises: InputError if it can't tell."""


@dataclass
class Running:
    """One trajectory under way: its name, the epochs it is asked for (None: all), where directories are.

    `stored` is how many of its epochs are stored already. `resumed` is whether its runner goes on after them.
    """

    trajectory: str
    epochs: int | None = None
    root: str = ""
    stored: int = 0
    resumed: bool = False
    _made: Path | None = None

    def output_dir(self) -> str:
        """The directory of the trajectory's own, made when it is first asked for, found again later."""
        path = self._made = Path(self.root, self.trajectory)
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    def resume_from(self) -> int:
        """How many epochs are stored already. Who asks gives those after them, who does not begins anew."""
        self.resumed = True
        return self.stored

    def leave(self) -> None:
        """The trajectory is over: a directory in which it has put nothing goes."""
        if self._made is not None:
            with suppress(OSError):
                self._made.rmdir()


class TrajectoryFailed(Exception):
    """A trajectory has failed, told in words: no exception of the user's was raised in this process.

    `detail` is what else there is to read, `signal` the number of the signal that ended its program.
    """

    def __init__(self, reason: str, detail: str = "", *, signal: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.signal = reason, detail, signal


class Runner(Protocol):
    """What a sweep runs, in a worker."""

    def run(self, params: dict[str, Any], running: Running) -> Any:
        """Run one trajectory; return what it gives: a mapping of metrics, or an iterable of one an epoch.

        What it wants of `running` it asks for before it returns.
        """

    def code(self) -> str:
        """The digest of the sources that a trajectory begun now is run by."""

    def describe(self, sample: Mapping[str, Any]) -> dict[str, str]:
        """What results depend on besides the parameters, here; `sample` are those of one trajectory."""


class Settings(Protocol):
    """What grid.toml says of a trainer. It travels to workers."""

    @property
    def name(self) -> str:
        """How messages and reports call the trainer."""

    @property
    def mode(self) -> str | None:
        """Whether more or less of its metrics is better, where that is the trainer's to say."""

    @property
    def replicates(self) -> Mapping[str, Sequence[int]]:
        """The replicate axes that it makes itself: folds."""

    @property
    def overlap(self) -> float | None:
        """Test examples by training examples of its folds, where their number does not tell."""

    def find(self, grid: Grid, grid_file: Path) -> Trainer:
        """Find it. Raises: InputError if there is none, or the grid's names do not fit it."""

    def sources(self, path: Sequence[str]) -> dict[str, str]:
        """A hash of every source of the user's that it is made of, by name, sorted."""

    def load(self, path: Sequence[str]) -> Runner:
        """Load it in a worker; `path` is where the user's files are. Raises: whatever that raises."""


@dataclass(frozen=True)
class Kind:
    """A kind of trainer: the module that reads it, and what of grid.toml is its own.

    `keys` are those of [sweep], `tables` come with their keys (None: any).
    """

    module: str
    keys: tuple[str, ...] = ()
    tables: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)


IN_HAND = "callable"  # written by gridrun.sweep, and by nobody else

DATA = ("load", "file", "target", "groups", "sample_weight", "test_size")  # keys of [data]

# By the key of [sweep] that names the trainer.
KINDS = {
    "train": Kind("gridrun.trainers.function", keys=("call",)),
    "command": Kind("gridrun.trainers.command", keys=("flags", "pattern", "metrics_file")),
    IN_HAND: Kind("gridrun.trainers.callable", keys=("call", "overlap")),
    "estimator": Kind("gridrun.trainers.estimator", tables={"data": DATA, "cv": None}),
}


def read_trainer(reader: Reader, tables: Mapping[str, Mapping[str, Any]]) -> Settings:
    """Read what grid.toml says of its trainer. Raises: InputError."""
    sweep = tables["sweep"]
    named = [name for name in KINDS if name in sweep]
    if not named:
        known = " or ".join(name for name in KINDS if name != IN_HAND)
        reader.refuse(f"[sweep] needs {known}", Words("none"), 'train = "my_module:train"')
    if len(named) > 1:
        reader.refuse("[sweep] names more than one trainer", Words(" and ".join(named)), "one of them")
    for name, kind in KINDS.items():
        for key in kind.keys:
            if key in sweep and key not in KINDS[named[0]].keys:
                reader.refuse(f"[sweep] {key} goes with {name}", Words(f"{key} with {named[0]}"), "it there")
        for table in kind.tables:
            if tables[table] and table not in KINDS[named[0]].tables:
                reader.refuse(f"[{table}] goes with {name}", Words(f"{named[0]} under [sweep]"), "it there")
    settings: Settings = import_module(KINDS[named[0]].module).read(reader, tables)
    return settings
