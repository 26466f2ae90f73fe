"""What runs in a worker: one train function, one trajectory after another. The only code that does."""

import faulthandler
import functools
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from gridrun.cell import Params
from gridrun.environment import describe_process
from gridrun.store import Failure, Outcome
from gridrun.terminal import Lasting
from gridrun.trainers import Train, load_train

# A traceback is for reading; a message of megabytes in it is not.
MOST_TEXT = 20_000

_stack_file: Any = None


@dataclass(frozen=True)
class Task:
    """One trajectory to run: its name, its parameters, and how many epochs are still needed (None: all)."""

    trajectory: str
    params: Params
    epochs: int | None


@dataclass(frozen=True)
class Job:
    """What every worker of a sweep is told once.

    `path` goes before the installed packages on sys.path. `budget` is the parameter that gets the
    number of epochs, `metric` the one that must be yielded, `timeout_s` the seconds a trajectory may take.
    `sample` are the parameters of one trajectory, for which a worker far away tells its fingerprint.
    """

    train: str
    path: tuple[str, ...]
    metric: str
    budget: str | None
    timeout_s: float | None
    sample: Params = field(default_factory=dict)


def start(parent: int, stack_file: Path) -> None:
    """Prepare a worker process: it leaves signals to its parent, and ends when its parent has.

    It leads a process group, so that what a cell starts can be ended with it. Stacks of a crash or
    a timeout go to `stack_file`, which the parent reads.
    """
    global _stack_file
    # The last two would stop a process outside the terminal's own group when it prints or reads there.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGTTOU, signal.SIGTTIN):
        signal.signal(number, signal.SIG_IGN)
    os.setpgid(0, 0)
    _end_with(parent)
    _stack_file = stack_file.open("w")
    faulthandler.enable(_stack_file)
    # Results go to stdout, and they are the parent's: what a train function prints is a message.
    os.dup2(2, 1)
    sys.stdout, sys.stderr = Lasting(sys.stdout), Lasting(sys.stderr)


def run(job: Job, tasks: Sequence[Task]) -> list[Outcome]:
    """Run trajectories one after another in this process."""
    try:
        function = _prepare(job.train, job.path)
    except (Exception, SystemExit) as error:  # it could be imported when the sweep began
        failure = Failure(f"importing {job.train} raised {_one_line(error)}", _own_traceback(error))
        return [Outcome(task.trajectory, task.params, (), failure, 0.0) for task in tasks]
    return [_run_one(function, job, task) for task in tasks]


def describe(job: Job) -> dict[str, str]:
    """What results of this process depend on: versions, the train function's code, and its inputs.

    Raises: whatever the train function's module raises.
    """
    function = _prepare(job.train, job.path)
    described = describe_process(job.train, job.path)
    fingerprint = getattr(function, "fingerprint", None)
    if fingerprint is not None:
        try:
            described["fingerprint"] = str(fingerprint(**job.sample))
        except Exception as error:
            described["fingerprint"] = _one_line(error)
    return described


@functools.cache
def _prepare(train: str, path: tuple[str, ...]) -> Train:
    """Import the train function, once a process, and hold every BLAS it brought along to one thread."""
    function = load_train(train, path)
    threadpool_limits(limits=1)
    return function


def _run_one(function: Train, job: Job, task: Task) -> Outcome:
    params = dict(task.params)
    if job.budget is not None and task.epochs is not None:
        params[job.budget] = task.epochs
    history: list[dict[str, float]] = []
    failure, code, process = None, 0, os.getpid()
    began = time.perf_counter()
    if job.timeout_s is not None and _stack_file is not None:
        # Ends the process from a thread that needs no GIL: a hang in native code is caught too.
        faulthandler.dump_traceback_later(job.timeout_s, exit=True, file=_stack_file)
    try:
        for metrics in _epochs(function(**params)):
            # Asked once more than needed, so that what the function does after its last epoch is done.
            if task.epochs is not None and len(history) == task.epochs:
                break
            history.append(_checked(metrics, job.metric))
    # Everything: a cell that calls sys.exit or is cancelled has failed, and ends neither its worker nor
    # the sweep. (Ctrl-C is no exception here: workers ignore it, and cli.py has a handler of its own.)
    except BaseException as error:
        failure = Failure(_one_line(error), _own_traceback(error))
        code = error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1
    finally:
        if os.getpid() != process:
            # A child that the train function forked: two of us must not go on. Nor may it wait for
            # the thread of faulthandler's, which it has not got.
            os._exit(code)
        if job.timeout_s is not None:
            faulthandler.cancel_dump_traceback_later()
    wall_s = time.perf_counter() - began
    if failure is not None and task.epochs is None:
        history.clear()  # without a budget axis the cell is the whole run, and half of one is no outcome
    if failure is None and len(history) < (task.epochs or 1):
        failure = Failure(f"yielded {len(history)} mappings of metrics, {task.epochs or 1} were needed")
    return Outcome(task.trajectory, task.params, history, failure, wall_s)


def _epochs(result: Any) -> Iterable[Any]:
    if isinstance(result, Mapping):
        return (result,)
    if not isinstance(result, Iterable) or isinstance(result, str | bytes):
        raise TypeError(
            f"the train function gave {type(result).__name__}, not metrics; yield one mapping an epoch"
        )
    return result


def _checked(metrics: Any, needed: str) -> dict[str, float]:
    if not isinstance(metrics, Mapping):
        raise TypeError(f"the train function yielded {type(metrics).__name__}, not a mapping of metrics")
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        if not isinstance(name, str):
            raise TypeError(f"a metric's name must be a text, found {name!r}")
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"metric {name!r} must be a number, found {type(value).__name__}") from None
    if needed not in numbers:
        raise KeyError(
            f"no metric {needed!r} among {', '.join(numbers) or 'none'}; write one of them as [sweep] metric"
        )
    return numbers


def _one_line(error: BaseException) -> str:
    # KeyError's str is the repr of its argument; a message of ours reads better plain.
    try:
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    except Exception as broken:  # a __str__ of the user's that fails itself
        text = f"(no text: its __str__ raised {type(broken).__name__})"
    text = " ".join(text.split())
    return _storable(f"{type(error).__name__}: {text}" if text else type(error).__name__)[:500]


def _own_traceback(error: BaseException) -> str:
    """The traceback without the frames of this file above the train function's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__ and trace.tb_next is not None:
        trace = trace.tb_next
    text = _storable("".join(traceback.format_exception(type(error), error, trace)))
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT // 2] + "\n...\n" + text[-MOST_TEXT // 2 :]


def _storable(text: str) -> str:
    """Text without lone surrogates (a file's name that is no UTF-8 has them): no database takes these."""
    return text.encode("utf-8", "backslashreplace").decode()


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, unless native code holds the GIL: guard.py sees to that."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, name="gridrun-parent-watch", daemon=True).start()
