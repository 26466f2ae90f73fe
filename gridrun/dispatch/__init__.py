"""Sends trajectories to where they run, and brings outcomes back: one pool, and a backend that it feeds.

pool.py       batches, deaths, attempts, timeouts: the same for every backend
child.py      one worker process: started, watched, ended; its cause of death named
local.py      backends loky and sequential
dask.py       backend dask: the children live on a cluster's workers
ray.py        backend ray: they live in actors on a cluster's nodes
admission.py  which of a cluster's workers may run cells
"""

import contextlib
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from gridrun.dispatch.child import SINGLE_THREADED, count_cores
from gridrun.dispatch.local import LokyWorkers, SequentialWorkers
from gridrun.dispatch.pool import Pool, Stop, Workers
from gridrun.errors import InputError
from gridrun.spec import BACKENDS, Run
from gridrun.store import Outcome
from gridrun.worker import Job, Task

__all__ = ["SINGLE_THREADED", "Stop", "Workers", "check_backend", "dispatch", "open_workers"]

# What a backend needs that does not come with gridrun.
PACKAGES = {"dask": "distributed", "ray": "ray"}


def check_backend(run: Run) -> None:
    """Raise InputError if cells can't be run the way that is asked for."""
    if run.backend not in BACKENDS:
        raise InputError(f"no backend {run.backend!r}; write {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}")
    if run.backend == "sequential" and run.timeout_s is not None:
        raise InputError(
            "backend 'sequential' runs cells in this process and can't end one at timeout_s;"
            " write loky with jobs = 1"
        )
    if run.jobs == 0:
        raise InputError("jobs must not be 0; write -1 for every core, or 2")
    if run.backend in PACKAGES and find_spec(PACKAGES[run.backend]) is None:
        raise InputError(
            f"backend {run.backend!r} needs a package that is not installed;"
            f" write pip install 'gridrun[{run.backend}]'"
        )
    if run.scheduler is None:
        return
    if run.backend not in PACKAGES:
        raise InputError(f"scheduler {run.scheduler!r} is of use to dask and ray only; write --backend dask")
    scheme, example = ("((tcp|tls)://)?", "tcp://host:8786") if run.backend == "dask" else ("", "host:6379")
    if not re.fullmatch(scheme + r"([^\s/:]+|\[[^\s/]+\]):\d{1,5}", run.scheduler):
        raise InputError(f"scheduler must be an address, found {run.scheduler!r}; write {example}")
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
    workers = _find_workers(run)
    try:
        yield workers
    except BaseException:
        workers.end(kill=True)
        raise
    workers.end(kill=False)


def _find_workers(run: Run) -> Workers:
    if run.backend == "sequential":
        return SequentialWorkers()
    if run.backend == "dask":
        from gridrun.dispatch.dask import DaskWorkers

        return DaskWorkers(run.scheduler, run.jobs)
    if run.backend == "ray":
        from gridrun.dispatch.ray import RayWorkers

        return RayWorkers(run.scheduler, run.jobs)
    return LokyWorkers(count_cores(run.jobs))


def dispatch(
    tasks: Iterator[Task],
    job: Job,
    workers: Workers,
    *,
    max_attempts: int,
    stop: Stop,
    tell: Callable[[str], None],
) -> Iterator[list[Outcome]]:
    """Run tasks and yield outcomes as they arrive, in batches. `tell` gets what the user should know.

    Raises: EnvironmentFault if workers can't be had. A task that ends its worker `max_attempts`
    times is an Outcome with a Failure.
    """
    return Pool(job, workers, max_attempts, stop, tell).run(tasks)
