"""One worker process, and all that is known of loky: the only file that imports joblib.

joblib's surprises, met here: one dead worker ends every task of its pool (TerminatedWorkerError), and
`timeout=` ends the whole call. So each worker is a pool of its own, a loky executor with one process:
what a death or a timeout takes along is known exactly, and the neighbours never notice.

loky's: to end a worker it asks `pgrep` for its children, which a slim container lacks, and then calls what is
not there. It replaces a worker that has grown, by a process that nobody else knows. It leaves its start
method in the worker. It starts each of its processes by `python -m` or `-c`, which imports from the working
directory first: a random.py there ended them all (PYTHONSAFEPATH). It hears of a worker's death by the end of
a pipe, which a child of the worker holds open. Where no file can be opened its clean-up raises
UnboundLocalError. Where no thread can be started (ulimit -u, ulimit -v) it has begun a process that nobody
ends, or its own thread dies of it and nothing is ever done. It dies with a traceback when a worker is ended
just after it was given something to do. What a worker says that can't start (no memory) it has on our own
stdout.
"""

import contextlib
import math
import multiprocessing.resource_tracker
import multiprocessing.util
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import MappingProxyType
from typing import Any

with warnings.catch_warnings():
    # Where there can be no semaphore: told in a line when a worker is to be started.
    warnings.filterwarnings("ignore", message=".*joblib will operate in serial mode")
    import joblib
from joblib.externals.loky import process_executor
from joblib.externals.loky.backend import fork_exec, resource_tracker
from joblib.externals.loky.process_executor import BrokenProcessPool, ProcessPoolExecutor

from gridrun.guard import Guard
from gridrun.worker import LEFT_TO_PARENT, start

__all__ = ["BrokenProcessPool", "Process", "count_cores", "name_cause", "start_trackers"]


def count_cores(jobs: int) -> int:
    """How many workers `jobs` means, as joblib counts: -1 every core, -2 all but one."""
    return int(joblib.effective_n_jobs(jobs))


class Process:
    """One worker process, from its start to its end, with all that its process group holds.

    `worker_files` are those by which it and its parent meet: see `start`.
    """

    def __init__(self, worker_files: tuple[Path, ...], guard: Guard, environment: Mapping[str, str]) -> None:
        self._guard = guard
        self._executor = ProcessPoolExecutor(
            max_workers=1,
            initializer=_begin,
            initargs=(os.environ.get(_SAFE_PATH), os.getpid(), *worker_files),
            env={
                **environment,
                _SAFE_PATH: "1",
                _OUTPUT: str(worker_files[1]),
            },  # before it loads any library
        )
        self._process: Any = None

    def call(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Call a function there. Raises: BrokenProcessPool if the process has died."""
        if self._process is not None:
            return self._submit(function, *args)
        # Until it can leave them to its parent a new process is not to get the signals that all get.
        start_trackers()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_PARENT)
        try:
            # Before its own thread would, which dies if there can be no other.
            self._executor._call_queue._start_thread()
            future = self._submit(function, *args)
        except BaseException:  # no thread that waits for the process, and ends it
            for process in self._executor._processes.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
                process.join()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._process = next(iter(list(self._executor._processes.values())), None)  # None: dead already
        if self._process is not None:
            self._process.gridrun_group = _Group(self._process._popen)
            self._guard.add(self._process.pid)
        return future

    def _submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        future: Future[Any] = self._executor.submit(function, *args)
        return future

    def has_ended(self) -> bool:
        """Whether it has; asking ends what it has left running."""
        return self._process is None or self._process.exitcode is not None

    def leave(self) -> None:
        """Ask it to leave when it has finished what it is at."""
        self._executor.shutdown(wait=False)

    def wait(self, limit_s: float) -> None:
        """Wait until it has left, or the time is over."""
        until = time.monotonic() + limit_s
        # In steps: a child of its own may hold the pipe whose end tells of its.
        while not self.has_ended() and time.monotonic() < until:
            self._process.join(0.05)

    def end(self) -> None:
        """End it, whatever it is doing."""
        self._executor.shutdown(wait=False, kill_workers=True)
        if self._process is not None:
            if self._process.exitcode is None:
                _end_process(self._process)
            self._guard.remove(self._process.pid)


_environment = threading.Lock()  # a Dask worker's threads start a process each
_SAFE_PATH = "PYTHONSAFEPATH"  # the working directory's modules are those of cells, not of our own start


def start_trackers() -> None:
    """Start the processes that clear up semaphores.

    Before a worker starts, as loky would do it then, and lets in the signals that are to be kept from it.
    """
    with _environment:
        before = os.environ.get(_SAFE_PATH)
        try:
            os.environ[_SAFE_PATH] = "1"
            multiprocessing.resource_tracker.ensure_running()
            resource_tracker._resource_tracker.ensure_running()
        finally:
            _put_back(_SAFE_PATH, before)


# A tracker that follows one that somebody has killed has a traceback for each semaphore that it does not
# know, and one whose parent was killed a warning of those that were left.
warnings.filterwarnings("ignore", message="resource_tracker: process died unexpectedly")
_spawn: Any = multiprocessing.util.spawnv_passfds


def _spawn_quietly(path: bytes, command: Sequence[Any], descriptors: Sequence[Any]) -> int:
    """Start a process as multiprocessing does; trackers say nothing. Raises: OSError."""
    return _start(command, descriptors) if _is_tracker(command) else int(_spawn(path, command, descriptors))


def _is_tracker(command: Sequence[Any]) -> bool:
    return any("resource_tracker" in str(word) for word in command)


multiprocessing.util.spawnv_passfds = _spawn_quietly  # type: ignore[assignment]


_OUTPUT = "GRIDRUN_WORKER_OUTPUT"  # where a worker writes until it can be asked to
_fork_exec = fork_exec.fork_exec


def _start_process(
    command: list[str], descriptors: Sequence[int], env: Mapping[str, str] | None = None
) -> int:
    """Start a process as loky does; ours write to a file from their first instant. Raises: OSError."""
    env = dict(env or {})
    file = env.pop(_OUTPUT, None)
    if file is not None:
        with open(file, "ab") as output:  # noqa: PTH123
            return _start(command, descriptors, env, output)
    if _is_tracker(command):  # of joblib before 1.5
        return _start(command, descriptors)
    return int(_fork_exec(command, descriptors, env=env))  # of a cell that uses joblib where it is sequential


def _start(
    command: Sequence[Any],
    descriptors: Sequence[Any],
    env: Mapping[str, str] = MappingProxyType({}),
    output: Any = subprocess.DEVNULL,
) -> int:
    """Start a process whose exit status is for others to take. Raises: OSError."""
    process = subprocess.Popen(
        command,
        pass_fds=tuple(map(int, descriptors)),
        env={**os.environ, **env},
        stdout=output,
        stderr=output,
        restore_signals=False,
    )
    process.returncode = 0
    return process.pid


fork_exec.fork_exec = _start_process


def _put_back(name: str, value: str | None) -> None:
    """Set an environment variable as it was; None: it was not there."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _begin(safe_path: str | None, parent: int, stack_file: Path, spool_file: Path, pipe: Path) -> None:
    """In a new worker: make a plain process of what loky has started, and begin."""
    _put_back(_SAFE_PATH, safe_path)  # programs that a cell starts import as they do without us
    # Replaced by us, and told to the guard; and without psutil, no collection of garbage each second.
    process_executor._MEMORY_LEAK_CHECK_DELAY = math.inf
    # Its start method is unknown to the children that a cell starts: in a pool they die of it, each followed
    # by another. And what they import again as their main program must not be loky's.
    multiprocessing.set_start_method(None, force=True)
    multiprocessing.current_process().name = "MainProcess"
    sys.modules["__main__"] = types.ModuleType("__main__")
    start(parent, stack_file, spool_file, pipe)


class _Group:
    """The process group that a worker leads: it ends when the worker does.

    Ended by its number, which is the worker's and nobody else's until the worker's exit status is taken.
    So all that takes it goes through here.
    """

    def __init__(self, popen: Any) -> None:
        self._popen, self._take, self._lock = popen, popen.poll, threading.Lock()
        popen.poll = self.poll

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Take the exit status of a worker that has ended, and end its group just before."""
        if self._popen.returncode is None and not hasattr(os, "waitid"):  # macOS before Python 3.13
            if self._take(flag) is not None:
                self._signal()
        elif self._popen.returncode is None:
            if not flag & os.WNOHANG:
                self._look(0)
            with self._lock:
                if self._popen.returncode is None and self._look(os.WNOHANG):
                    self._signal()
                    self._take(os.WNOHANG)
        return self._popen.returncode  # type: ignore[no-any-return]

    def _look(self, flag: int) -> bool:
        """Whether the worker has ended; without the flag, when it has."""
        try:
            return os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOWAIT | flag) is not None
        except ChildProcessError:  # somebody else in this process has taken its status, and freed its number
            self._popen.returncode = 255
            return False

    def kill(self) -> None:
        """End the worker, and its group."""
        with self._lock:
            if self._popen.returncode is None and hasattr(os, "waitid"):
                self._look(os.WNOHANG)
            if self._popen.returncode is None:
                self._signal()

    def _signal(self) -> None:
        for kill in (os.killpg, os.kill):  # a worker that has just begun leads no group yet
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(self._popen.pid, signal.SIGKILL)


_kill_process_tree = process_executor.kill_process_tree


def _end_process(process: Any, use_psutil: bool = True) -> None:
    """End a worker, as loky is to do it too."""
    group = getattr(process, "gridrun_group", None)
    if group is None:  # somebody else's: a cell that uses joblib where the backend is sequential
        _kill_process_tree(process, use_psutil)
        return
    group.kill()
    process.join()


process_executor.kill_process_tree = _end_process

_add_orders = process_executor._ExecutorManagerThread.add_call_item_to_queue


def _add_orders_that_stand(manager: Any) -> None:
    """Hand on what a worker is to do, as loky does; of what was taken back meanwhile there is no trace."""
    while True:
        try:
            return _add_orders(manager)  # type: ignore[no-any-return]
        except KeyError:  # and nothing of those that come after it
            continue


process_executor._ExecutorManagerThread.add_call_item_to_queue = _add_orders_that_stand


def name_cause(death: BaseException) -> str:
    """Name what ended a worker, from the exit codes in loky's message: SIGKILL(-9) or EXIT(3)."""
    found = re.search(r"\{\w+\((-?\d+)\)", str(death))
    if found is None:
        return "an unknown cause"
    code = int(found[1])
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:  # the real-time signals between the first and the last have no name
        return f"signal {-code}"
