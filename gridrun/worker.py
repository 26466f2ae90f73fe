"""What runs in a worker: one trainer, one trajectory after another. The only code that does."""

import faulthandler
import functools
import gc
import math
import os
import platform
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from threadpoolctl import threadpool_limits

from gridrun.cell import as_given
from gridrun.job import Job
from gridrun.metrics import Bits, read_epochs, read_report
from gridrun.outcome import Failure, Metrics, Outcome, Output, Task
from gridrun.output import Spool, buffer_lines
from gridrun.relay import AFTER_S, Sender, Teller
from gridrun.selection import Rule
from gridrun.signals import SIGNALS, StopNow, hold, hold_again
from gridrun.surroundings import Surroundings
from gridrun.terminal import leave_terminal, reopen
from gridrun.trainers import Runner, Running, TrajectoryFailed
from gridrun.wording import full_text, one_line

# Who hears of each epoch as it is done: its number from 1, its metrics, the seconds since the start.
Tell = Callable[[int, Metrics, float], None]
# What has been printed since it was last asked; with its last bytes as they were, if that may be followed.
Take = Callable[[bool], Output | None]

# What schedulers send to every process of a job, and a terminal to all that it knows: the parent drains.
LEFT_TO_PARENT = set(SIGNALS)
# A worker that has grown by so many bytes since its first batch, garbage collected, is replaced.
MOST_GROWTH = 500_000_000

_stack_file: Any = None
_spool: Spool | None = None
_sender: Sender | None = None
_first_size: int | None = None
# What this process was last asked to run, and how it runs it.
_prepared: tuple[object, Runner] | None = None


def start(parent: int, stack_file: Path, spool_file: Path, pipe: Path) -> None:
    """Prepare a worker process: it leaves signals to its parent, and ends when its parent has.

    It leads a process group, so that what a cell starts can be ended with it. Stacks of a crash or a timeout
    go to `stack_file`, what is printed to `spool_file`, epochs of long trajectories to `pipe`; the parent
    reads all three.
    """
    global _stack_file, _spool, _sender
    for number in LEFT_TO_PARENT:
        hold(number, _survive)
        signal.siginterrupt(number, False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LEFT_TO_PARENT)  # held back while this process was starting
    leave_terminal()
    os.setpgid(0, 0)
    _end_with(parent)
    _stack_file = stack_file.open("w")
    faulthandler.enable(_stack_file)
    _spool = Spool(spool_file, new=False)
    buffer_lines()
    _spool.redirect()
    _sender = Sender(pipe)
    # What waits for input must not take the parent's.
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.stdin = reopen(0, sys.stdin)


def _survive(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: not SIG_IGN, which children inherit."""


def serve(job: Job, tasks: Sequence[Task], slot: int) -> tuple[list[Outcome], bool]:
    """Run a batch in a worker; tell besides whether the worker should be replaced, for its memory."""
    global _first_size
    take = _spool.take if _spool is not None else None
    outcomes = run(job, tasks, _found, slot=slot, take=take, teller=_sender)
    hold_again()
    size = resident_size()
    if _first_size is None:
        _first_size = size
    if size - _first_size > MOST_GROWTH:
        gc.collect()
        size = resident_size()
    return outcomes, size - _first_size > MOST_GROWTH


@functools.cache
def _found() -> Surroundings:
    return Surroundings()


def run(
    job: Job,
    tasks: Sequence[Task],
    found: Callable[[], Surroundings],
    tell: Tell | None = None,
    slot: int = 0,
    take: Take | None = None,
    teller: Teller | None = None,
) -> list[Outcome]:
    """Run trajectories one after another in this process, each in the same surroundings.

    `found` is asked for these when the train function has been imported: what its module sets is for all.
    `take` gives what a trajectory has printed; the first one's is what was printed by that import, too.
    `tell` hears of each epoch, `teller` of what would be kept if it ended there, once a second.
    """
    try:
        runner = _prepare(job)
    except BaseException as error:  # it could be imported when the sweep began
        failure = Failure(f"importing {job.trainer.name} raised {one_line(error)}", _own_traceback(error))
        return [Outcome(task.trajectory, task.params, (), failure, 0.0) for task in tasks]
    outcomes, surroundings = [], found()
    surroundings.tell(b"GRIDRUN_SLOT", b"%d" % slot)
    root = os.fsencode(job.directory) + b"/"
    for task in tasks:
        name = task.trajectory.encode()
        surroundings.tell(b"GRIDRUN_TRAJECTORY", name)
        surroundings.tell(b"GRIDRUN_OUTPUT_DIR", root + name)
        outcome = _run_one(runner, job, task, tell, teller)
        surroundings.restore()
        if take is not None and (output := take(len(tasks) == 1)) is not None:
            outcome = outcome._replace(output=output)
        outcomes.append(outcome)
    return outcomes


def describe(job: Job) -> dict[str, str]:
    """What results of this process depend on: versions, the train function's code, and its inputs.

    Raises: whatever the train function's module raises.
    """
    return _prepare(job).describe(job.sample)


def _prepare(job: Job) -> Runner:
    """Load the trainer, once a process, and hold every BLAS it brought along to its threads."""
    global _prepared
    if _prepared is None or _prepared[0] != (job.trainer, job.path, job.threads):
        runner = job.trainer.load(job.path)
        threadpool_limits(limits=job.threads)
        _prepared = (job.trainer, job.path, job.threads), runner
    return _prepared[1]


def _run_one(runner: Runner, job: Job, task: Task, tell: Tell | None, teller: Teller | None) -> Outcome:
    params = {name: as_given(value) for name, value in task.params.items()}
    if job.budget is not None and task.epochs is not None:
        params[job.budget] = task.epochs
    history: list[Metrics] = []
    bits: list[Mapping[str, Bits]] = []
    seconds: list[float] = []
    left_out = ""
    failure, status, process, code = None, 0, os.getpid(), ""
    began = time.perf_counter()
    if job.timeout_s is not None and _stack_file is not None:
        # Ends the process from a thread that needs no GIL: a hang in native code is caught too.
        faulthandler.dump_traceback_later(job.timeout_s, exit=True, file=_stack_file)
    before = task.so_far
    running = Running(task.trajectory, task.epochs, job.directory, len(before.history) if before else 0)
    due = math.inf  # when epochs are handed over: half of a run without a budget axis is no outcome
    if teller is not None and task.epochs is not None:
        teller.begin()
        due = AFTER_S
    try:
        code = runner.code()
        given = read_epochs(runner.run(params, running))
        if before is not None and running.resumed:
            history, bits, seconds = [*before.history], [{} for _ in before.history], [*before.seconds]
            began -= before.wall_s
            due += before.wall_s
        for metrics in given:
            # Asked once more than needed, so that what the function does after its last epoch is done.
            if task.epochs is not None and len(history) == task.epochs:
                break
            report = read_report(metrics, job.metric)
            history.append(report.numbers)
            bits.append(report.bits)
            left_out = left_out or report.left_out
            seconds.append(time.perf_counter() - began)
            if (
                teller is not None
                and seconds[-1] >= due
                and len(history) != task.epochs
                and os.getpid() == process
            ):
                so_far = Outcome(
                    task.trajectory, task.params, history, None, seconds[-1], seconds,
                    False, bits, _place(), left_out, code, task.number, underway=True,
                )  # fmt: skip
                due = seconds[-1] + teller.send(_sound_part(job, so_far))
            if tell is not None:
                tell(len(history), report.numbers, seconds[-1])
    except TrajectoryFailed as error:
        if error.signal and _stack_file is not None:
            _end_by(error)
        failure = Failure(error.reason, error.detail)
    except StopNow:  # of the program that this cell runs in
        raise
    # Everything: a cell that calls sys.exit or is cancelled has failed, and ends neither its worker nor
    # the sweep. (Ctrl-C is no exception here: its handlers raise none, see signals.py.)
    except BaseException as error:
        failure = Failure(one_line(error), _own_traceback(error))
        status = _exit_status(error)
    finally:
        if os.getpid() != process:
            # A child that the train function forked: two of us must not go on. Nor may it wait for
            # the thread of faulthandler's, which it has not got.
            os._exit(status)
        if job.timeout_s is not None:
            faulthandler.cancel_dump_traceback_later()
    running.leave()
    wall_s = time.perf_counter() - began
    kept = len(history)
    ended = failure is None and task.epochs is not None and kept < task.epochs
    if failure is None:
        failure, kept = _check(job, history, ended, left_out)
    elif task.epochs is None:
        kept = 0  # without a budget axis the cell is the whole run, and half of one is no outcome
    return Outcome(
        task.trajectory, task.params, history[:kept], failure, wall_s, seconds[:kept],
        ended and failure is None, bits[:kept], _place(), left_out, code, task.number,
    )  # fmt: skip


def _exit_status(error: BaseException) -> int:
    """The exit status of a child that the train function forked and that ends by `error`.

    By what it is and not by what it says of itself: its class, and its `code`, may be the user's.
    """
    if not issubclass(type(error), SystemExit):
        return 1
    code = vars(SystemExit)["code"].__get__(error)
    return code if type(code) is int else 1


def _end_by(death: TrajectoryFailed) -> None:
    """End this worker as its program was ended: deaths are counted, and their trajectories run again."""
    assert _stack_file is not None
    _stack_file.write(f"{death.reason}; {death.detail}")
    _stack_file.flush()
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # there is no other handler of SIGKILL
        signal.signal(death.signal, signal.SIG_DFL)
    os.kill(os.getpid(), death.signal)


def _check(job: Job, history: Sequence[Metrics], ended: bool, left_out: str) -> tuple[Failure | None, int]:
    """Whether a run has the metric where its largest cell asks for it; and how many epochs to keep.

    A smaller cell may lack it (validation every second epoch): it is told as absent.
    """
    if not history:
        return Failure("yielded no metrics; yield one mapping an epoch"), 0
    if job.metric in history[-1] and job.epoch == "last":
        return None, len(history)  # the largest cell asks for the last epoch that there is
    sound = _reach(job, history, ended)
    if sound == len(history):
        return None, sound
    kept = sound if job.budget is not None else 0
    found = ", ".join(sorted({name for metrics in history for name in metrics}))
    if job.metric in found.split(", "):
        came = ", ".join(str(k) for k, metrics in enumerate(history, start=1) if job.metric in metrics)
        return Failure(
            f"no metric {job.metric!r} at epoch {len(history)}, only at {came[:60]};"
            ' yield it there, or write epoch = "best" under [sweep]'
        ), kept
    if left_out.startswith(f"metric {job.metric!r} is "):
        return Failure(f"{left_out}, not a number; give float(...) of it, or NaN where there is none"), kept
    if not found:
        return Failure(f"no metric {job.metric!r}, nor any other number; yield {{{job.metric!r}: ...}}"), kept
    return Failure(f"no metric {job.metric!r} among {found}; write one of them as [sweep] metric"), kept


def _sound_part(job: Job, so_far: Outcome) -> Outcome:
    """What would be kept of it if it ended here."""
    sound = _reach(job, so_far.history)
    return so_far._replace(
        history=so_far.history[:sound], seconds=so_far.seconds[:sound], bits=so_far.bits[:sound]
    )


def _reach(job: Job, history: Sequence[Metrics], ended: bool = False) -> int:
    """How many epochs to keep: those before a cell that lacks the metric, as all larger ones do."""
    rule, sound = Rule(job.metric, job.mode, job.epoch), len(history)
    epochs = {rule.epoch_of(history, budget, ended) for budget in job.budgets or (None,)}
    for epoch in sorted((epoch for epoch in epochs if epoch is not None), reverse=True):
        if job.metric in history[epoch]:
            break
        sound = epoch
    return sound


@functools.cache
def _place() -> str:
    """This machine and process, as an outcome tells where it was made."""
    return f"{platform.node()} {os.getpid()}"


def _own_traceback(error: BaseException) -> str:
    """The traceback without the frames of this file above the train function's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__ and trace.tb_next is not None:
        trace = trace.tb_next
    return full_text(error, trace)


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, unless native code holds the GIL: guard.py sees to that."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, name="gridrun-parent-watch", daemon=True).start()


def resident_size() -> int:
    """How many bytes of memory this process has; where that can't be told, how many it has had at most."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - a third of the time
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
