"""Runs programs for a worker, one after another, in a process of its own, and ends each with all it started.

What a program starts is found by its process group, and what has left that (setsid, the double fork of a
daemon) by its parent: on Linux orphans are given to this process, a "subreaper". And when the worker is gone,
however it went, the kernel closes the socket between them, and the program is ended.

This file is what that process runs, too: as a script, with the standard library alone.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

# From linux/prctl.h.
PR_SET_CHILD_SUBREAPER = 36
# What can't be killed (another user's, after sudo) is left after so long.
END_S = 5.0
_HEAD = struct.Struct("!I")


def send(peer: socket.socket, message: Any, descriptors: tuple[int, ...] = ()) -> None:
    """Send a message, and open descriptors along with it. Raises: OSError."""
    body = json.dumps(message).encode()
    head = _HEAD.pack(len(body))
    if descriptors:
        socket.send_fds(peer, [head], descriptors)
        peer.sendall(body)
    else:
        peer.sendall(head + body)


def receive(peer: socket.socket) -> tuple[Any, list[int]]:
    """A message, and the descriptors that came with it; None when the other end is gone."""
    try:
        head, descriptors, _, _ = socket.recv_fds(peer, _HEAD.size, 2)
        size = _HEAD.unpack(head)[0]
        body = bytearray()
        while len(body) < size and (data := peer.recv(size - len(body))):
            body += data
        return json.loads(body), descriptors
    except (OSError, ValueError, struct.error):
        return None, []


# In the keeper's process.


def serve(worker: socket.socket) -> None:
    """Run what the worker asks for until it is gone."""
    # Handlers that do nothing: SIG_IGN would be inherited by programs.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _survive)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGCHLD, _survive)
    bell, ring = os.pipe()
    os.set_blocking(ring, False)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    while True:
        order, descriptors = receive(worker)
        if order is None:
            return
        if order:  # else: to end what had ended already
            with contextlib.suppress(OSError):  # the worker is gone: the next look will find that
                send(worker, _run(order, descriptors, worker, bell))


def _survive(_number: int, _frame: FrameType | None) -> None:
    """Do nothing."""


def _run(order: dict[str, Any], descriptors: list[int], worker: socket.socket, bell: int) -> dict[str, Any]:
    """Run a program to its end, or until the worker wants it ended or is gone; return its exit status."""
    words, folder, environment = (_as_bytes(order[name]) for name in ("words", "folder", "environment"))
    try:
        program = subprocess.Popen(
            words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=descriptors[0],
            stderr=descriptors[1], start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        return {"error": error.strerror or str(error)}
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    with contextlib.suppress(OSError):
        send(worker, {"started": program.pid})
    while not _has_ended(program):
        ready, _, _ = select.select([worker.fileno(), bell], [], [])
        if worker.fileno() in ready:
            receive(worker)
            break
        os.read(bell, 4096)
    _end(program)
    return {"status": program.returncode}


def _as_bytes(found: Any) -> Any:
    """What JSON brought, as the bytes that it stands for."""
    if isinstance(found, str):
        return found.encode("latin-1")
    if isinstance(found, list):
        return [_as_bytes(item) for item in found]
    return {_as_bytes(name): _as_bytes(item) for name, item in found.items()}


def _has_ended(program: "subprocess.Popen[bytes]") -> bool:
    """Whether it has; its status is not taken yet, so its number is still its own. Buries orphans."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return program.poll() is not None
    while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if found.si_pid == program.pid:
            return True
        os.waitpid(found.si_pid, 0)
    return False


def _end(program: "subprocess.Popen[bytes]") -> None:
    """End a program, its process group, and whatever it had started besides."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGKILL)
    program.wait()
    until = time.monotonic() + END_S
    with contextlib.suppress(ChildProcessError):  # nobody is left: nearly always at once
        while time.monotonic() < until:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
            for child in _children():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.001)


def _children() -> list[int]:
    """The processes whose parent this one is: children of the program, orphaned as it ended."""
    own, found = str(os.getpid()), []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            # After the name, which may hold anything: the state, then the parent.
            if (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1] == own:
                found.append(int(entry.name))
    return found


if __name__ == "__main__":
    serve(socket.socket(fileno=0))
