"""Ends workers whose parent has died, from a process of its own: nothing that a cell does can hold it up.

A thread within the worker sees its parent go, but not while native code holds the GIL; and the signal
that the kernel sends then (prctl) is Linux's alone. What every kernel does is close a dead process's
pipes. So a small process waits at the end of one, and ends whatever it was told of before, together
with what that had started itself (each worker leads a process group).

This file is what that process runs, too: as a script, with the standard library alone.
"""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path


class Guard:
    """Should this process die before `close`, the workers told of are ended, and `folder` is removed.

    Raises: OSError if no process can be started.
    """

    def __init__(self, folder: str) -> None:
        self._lock = threading.Lock()  # a Dask worker's threads have a child each
        self._folder = folder
        self._workers: set[int] = set()
        self._process = _begin(folder)

    def add(self, process: int) -> None:
        """End this one too. It must be a worker that was just started."""
        with self._lock:
            self._workers.add(process)
            self._tell(f"+{process}")

    def remove(self, process: int) -> None:
        """This one has ended."""
        with self._lock:
            self._workers.discard(process)
            self._tell(f"-{process}")

    def check(self) -> None:
        """Start another guard if somebody has ended this one: to be called now and then."""
        # Where none can be started, the thread of worker.py is all there is until the next time.
        with self._lock, contextlib.suppress(OSError):
            if self._process.poll() is None:
                return
            process = _begin(self._folder)
            self._let_go()
            self._process = process
            for worker in self._workers:
                self._tell(f"+{worker}")

    def close(self) -> None:
        """Every worker has ended; so may the guard."""
        with self._lock:
            self._tell("none")
            self._let_go()
            self._process.wait()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # somebody has ended it: `check` starts another
            self._process.stdin.write(line + "\n")

    def _let_go(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError, ValueError):
                pipe.close()


def _begin(folder: str) -> "subprocess.Popen[str]":
    # In a session of its own: a kill of the parent's whole process group must not reach it.
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
        start_new_session=True,
    )
    # Awaited: it must be there before the first worker is.
    assert process.stdout is not None
    if not process.stdout.readline():  # no memory for it, or no descriptors
        process.kill()
        process.communicate()
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return process


# In the guard's process.


class Held:
    """A process that is known by more than its number, which may be another's once it has ended.

    By a pidfd, or where there is none by the time at which it started.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._descriptor: int | None = None
        self._started = ""
        try:
            self._descriptor = os.pidfd_open(number)
        except (AttributeError, OSError):  # no Linux, or one before 5.3, or it has ended already
            self._started = start_time(number)

    def lives(self) -> bool:
        """Whether it has not ended, as far as can be told."""
        if self._descriptor is None:
            return self._started != "" and start_time(self.number) == self._started
        try:
            signal.pidfd_send_signal(self._descriptor, 0)
        except OSError:
            return False
        return True

    def end(self) -> None:
        """End it with the process group that it leads, or what is left of the group."""
        if not self.lives() and _exists(self.number):
            return  # somebody else has its number: then nobody has been left in the group
        for kill in (os.killpg, os.kill):  # a worker that has just begun leads no group yet
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(self.number, signal.SIGKILL)

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)


def start_time(number: int) -> str:
    """When a process started, in whatever words the system has; "" if that can't be told."""
    try:
        # After the name, which may hold anything, the 20th of the fields in proc(5) that follow it.
        return Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    try:
        asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(number)], capture_output=True, text=True)
    except OSError:
        return ""
    return asked.stdout.strip()


def _exists(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def watch() -> None:
    """Wait until the parent is gone, and end what it has told of."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    print(flush=True)
    workers: dict[int, Held] = {}
    for line in sys.stdin:
        word = line.strip()
        if word.startswith("+"):
            workers[int(word)] = Held(int(word))
        elif word.startswith("-") and int(word[1:]) in workers:
            workers.pop(int(word[1:])).close()
        elif word == "none":
            workers.clear()
    for worker in workers.values():
        worker.end()
    shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    watch()
