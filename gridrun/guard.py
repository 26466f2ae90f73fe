"""Ends workers whose parent has died, from a process of its own: nothing that a cell does can hold it up.

A thread within the worker sees its parent go, but not while native code holds the GIL; and the signal
that the kernel sends then (prctl) is Linux's alone. What every kernel does is close a dead process's
pipes. So a small process waits at the end of one, and ends whatever it was told of before, together
with what that had started itself (each worker leads a process group).
"""

import contextlib
import subprocess
import sys
import threading

# Each line lists every process there is now; after the last one there is no parent any more.
WAIT = """
import os, shutil, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
print(flush=True)
line = ""
for line in sys.stdin:
    pass
for process in map(int, line.split()):
    for kill in (os.killpg, os.kill):  # a worker that has just begun leads no group yet
        try:
            kill(process, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


class Guard:
    """Should this process die before `close`, the workers told of are ended, and `folder` is removed.

    Raises: OSError if no process can be started.
    """

    def __init__(self, folder: str) -> None:
        self._workers: set[int] = set()
        self._lock = threading.Lock()  # a Dask worker's threads have a child each
        # In a session of its own: a kill of the parent's whole process group must not reach it.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", WAIT, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        # Awaited: it must be there before the first worker is.
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def add(self, process: int) -> None:
        """End this one too."""
        with self._lock:
            self._workers.add(process)
            self._tell()

    def remove(self, process: int) -> None:
        """This one has ended; its number may soon be another's."""
        with self._lock:
            self._workers.discard(process)
            self._tell()

    def close(self) -> None:
        """Every worker has ended; so may the guard."""
        with self._lock:
            self._workers.clear()
            self._tell()
        with contextlib.suppress(OSError):
            self._process.communicate()

    def _tell(self) -> None:
        assert self._process.stdin is not None
        # Somebody may have ended the guard; then the thread of worker.py is all there is.
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(" ".join(map(str, sorted(self._workers))) + "\n")
