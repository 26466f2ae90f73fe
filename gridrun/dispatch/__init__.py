"""Sends trajectories to where they run, and brings outcomes back: one pool, and a backend that it feeds.

pool.py       batches, deaths, attempts, timeouts: the same for every backend
child.py      a worker process, started when it is needed, replaced when it has died or grown old
process.py    one such process, as loky starts it: watched, ended; its cause of death named
local.py      backends loky and sequential
_dask.py      backend dask: the children live on a cluster's workers
_ray.py       backend ray: they live in actors on a cluster's nodes
admission.py  which of a cluster's workers may run cells
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec

from gridrun.backends import BACKENDS
from gridrun.dispatch.pool import Pool, Workers
from gridrun.errors import InputError
from gridrun.job import Job
from gridrun.outcome import Outcome, Piece, Task, Working
from gridrun.signals import Stop
from gridrun.spec import Run

__all__ = ["Workers", "check_backend", "dispatch", "open_workers"]


def check_backend(run: Run) -> None:
    """Raise InputError if cells can't be run the way that is asked for."""
    if run.backend not in BACKENDS:
        *names, last = BACKENDS
        raise InputError(f"no backend {run.backend!r}; write {', '.join(names)} or {last}")
    backend = BACKENDS[run.backend]
    if not backend.ends_cells and run.timeout_s is not None:
        raise InputError(
            f"backend {run.backend!r} runs cells in this process and can't end one at timeout_s;"
            " write loky with jobs = 1"
        )
    if not backend.ends_cells and run.max_tasks_per_worker is not None:
        raise InputError(
            f"backend {run.backend!r} runs cells in this process and can't replace it after"
            " max_tasks_per_worker; write loky with jobs = 1"
        )
    if run.gpus and not backend.deals_gpus:
        raise InputError(
            f"[run] gpus are dealt to workers of this machine, and backend {run.backend!r} has none;"
            " write loky, or leave gpus out"
            + (" and set CUDA_VISIBLE_DEVICES for each of its workers" if backend.package else "")
        )
    if run.jobs == 0:
        raise InputError("jobs must not be 0; write -1 for every core, or 2")
    if backend.package is not None and find_spec(backend.package) is None:
        raise InputError(
            f"backend {run.backend!r} needs a package that is not installed;"
            f" write pip install 'gridrun[{run.backend}]'"
        )
    if run.scheduler is None:
        return
    if backend.address is None:
        *names, last = (name for name, facts in BACKENDS.items() if facts.address is not None)
        raise InputError(
            f"scheduler {run.scheduler!r} is of use to {', '.join(names)} and {last} only;"
            f" write --backend {names[0]}"
        )
    if not re.fullmatch(backend.address, run.scheduler):
        raise InputError(f"scheduler must be an address, found {run.scheduler!r}; write {backend.example}")
    if run.jobs < -1:
        raise InputError(
            f"jobs = {run.jobs} counts this machine's cores, and cells run elsewhere;"
            " write -1 for all that the scheduler has, or how many at most"
        )


@contextlib.contextmanager
def open_workers(run: Run) -> Iterator[Workers]:
    """Reach the workers that `run` asks for; they end with the block, at once if it is left by an error.

    Raises: InputError if a package is missing, EnvironmentFault if they can't be reached.
    """
    module, _, name = BACKENDS[run.backend].workers.partition(":")
    workers: Workers = getattr(import_module(module), name)(run.scheduler, run.jobs)
    try:
        yield workers
    except BaseException:
        workers.end(kill=True)
        raise
    workers.end(kill=False)


def dispatch(
    tasks: Iterator[Task],
    job: Job,
    workers: Workers,
    *,
    max_attempts: int,
    stop: Stop,
    tell: Callable[[str], None],
    hold: Callable[[], bool] = lambda: False,
    hear: Callable[[Piece], None] = lambda _: None,
    keep: Callable[[Outcome], None] = lambda _: None,
    look: Callable[[list[Working]], None] = lambda _: None,
) -> Iterator[list[Outcome]]:
    """Run tasks and yield outcomes as they arrive, in batches. `tell` gets what the user should know,
    `hear` what trajectories print that take seconds. `keep` commits epochs of a trajectory that runs in this
    process, which the generator can't yield before it is done. `look` is shown twice a second what slots do.
    While `hold` says so no task is sent for the first time.

    Raises: EnvironmentFault if workers can't be had. A task that ends its worker `max_attempts`
    times is an Outcome with a Failure.
    """
    return Pool(job, workers, max_attempts, stop, tell, hold, hear, keep, look).run(tasks)
