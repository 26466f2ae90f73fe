"""What every worker of a sweep is told once."""

from dataclasses import dataclass, field

from gridrun.cell import Params
from gridrun.trainers import Settings


@dataclass(frozen=True)
class Job:
    """What every worker of a sweep is told once.

    `trainer` is what grid.toml says of it, `path` goes before the installed packages on sys.path.
    `budget` is the parameter that gets the number of epochs, `budgets` are its values that cells ask for,
    `timeout_s` the seconds a trajectory may take. `metric`, `mode` and `epoch` say what is selected on.
    `sample` are the parameters of one trajectory, for which a worker far away tells its fingerprint. `code`
    is the digest of the trainer's sources here. A worker is given at most `max_tasks`. `threads` is how many
    its libraries may use. `directory` is where each trajectory may have a directory of its own. `gpus` are
    dealt out to workers, one each.
    """

    trainer: Settings
    path: tuple[str, ...]
    metric: str
    budget: str | None
    timeout_s: float | None
    sample: Params = field(default_factory=dict)
    mode: str = "max"
    epoch: str = "last"
    budgets: tuple[int, ...] = ()
    code: str = ""
    max_tasks: int | None = None
    threads: int = 1
    directory: str = ""
    gpus: tuple[int, ...] = ()
