"""More than a hundred ways for a cell to misbehave, as a table: what each does, and how it ends.

Together with those that toy.py and owner.py know. A new one is a line of WAYS, and test_misbehaviour.py tries
it on every backend.
"""

import asyncio
import atexit
import builtins
import contextlib
import ctypes
import gc
import json
import math
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tests.acceptance import owner, toy


@dataclass(frozen=True)
class Way:
    """What a cell does; `ends` is a regular expression for why it has failed, "" if it is completed.

    What it `leaves` behind reaches the next cell of the process, as in plain Python: such ways are tried
    with a process for each cell. `needs_worker` is whether it ends its process, or something must be ended.
    """

    act: Callable[[], Any]
    ends: str = ""
    leaves: bool = False
    starts: bool = False  # processes that go on

    @property
    def needs_worker(self) -> bool:
        return self.ends.startswith(("its worker died", "timed out")) or self.leaves or self.starts


def train(*, what: str, n: int, ledger: str) -> Any:
    """Misbehave where n is 0; what is given is the metrics."""
    toy.note(ledger, f"start {n} {what.replace(' ', '-')} {os.getpid()}")
    given = WAYS[what].act() if n == 0 else None
    return {"score": 1.0} if given is None else given


# What it raises.


def throw(error: BaseException) -> NoReturn:
    raise error


class Exits(Exception):
    def __str__(self) -> str:
        raise SystemExit(0)

    __repr__ = __str__


class Interrupts(BaseException):
    @property
    def __notes__(self) -> list[str]:
        raise KeyboardInterrupt


class Unsendable(Exception):
    """Neither to be pickled nor, as it takes two arguments, to be made again."""

    def __init__(self, one: object, _two: object) -> None:
        super().__init__(one)
        self.lock = threading.Lock()


class Pretends(Exception):
    __class__ = SystemExit  # type: ignore[assignment]


def recurse() -> None:
    recurse()


def circle() -> None:
    """Exceptions that are each other's cause."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def deep(depth: int = 900) -> None:
    if depth == 0:
        raise ValueError("deep down")
    deep(depth - 1)


def long_chain() -> None:
    error: Exception = ValueError("the first")
    for number in range(5000):
        following = ValueError(f"number {number}")
        following.__context__ = error
        error = following
    raise error


async def cancel() -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(60)


def raise_from_finally() -> Iterator[dict[str, float]]:
    try:
        yield {"score": 1.0}
    finally:
        raise ValueError("from finally")


def raise_in_thread() -> None:
    threading.excepthook = lambda _: None
    thread = threading.Thread(target=throw, args=[ValueError("in a thread")])
    thread.start()
    thread.join()
    threading.excepthook = threading.__excepthook__


def raise_when_collected() -> None:
    class Falls:
        def __del__(self) -> None:
            raise ValueError("when collected")

    Falls()


def raise_at_exit() -> None:
    atexit.register(throw, SystemExit(0))


def hang_at_exit() -> None:
    atexit.register(time.sleep, 600)


# What it gives.


class Number(float):
    def __float__(self) -> float:
        raise KeyboardInterrupt

    def __reduce__(self) -> NoReturn:
        raise SystemExit(0)


class Name(str):
    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise SystemExit(0)


class Table(dict[str, float]):
    def items(self) -> Any:
        raise SystemExit(0)


async def promise() -> dict[str, float]:
    return {"score": 1.0}


def unawaited() -> Any:
    coroutine = promise()
    coroutine.close()
    return coroutine


def endless() -> Iterator[dict[str, float]]:
    while True:
        yield {"score": 1.0}
        time.sleep(0.01)


# How it ends its process.


def end_by(number: int) -> Callable[[], None]:
    def act() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    return act


def end_group() -> None:
    os.killpg(0, signal.SIGKILL)


def overflow_stack() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(10**9)
    threading.stack_size(0)
    repeat = json.loads("[" * 900 + "]" * 900)
    for _ in range(10**6):
        repeat = [repeat]
    del repeat  # freed one inside the other
    ctypes.CFUNCTYPE(None)(1)()


def burn() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (1, 2))
    while True:
        pass


def set_alarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    time.sleep(60)


def become_another() -> None:
    os.execv("/bin/true", ["true"])


def fork_and_die() -> None:
    if os.fork() == 0:
        time.sleep(600)
    os.kill(os.getpid(), signal.SIGKILL)


# How it hangs.


def wait_for_itself() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def swallow_everything() -> None:
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(600)


def block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
    time.sleep(600)


def wait_for_child() -> None:
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))
        time.sleep(600)
    os.waitpid(child, 0)


def stop_itself() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def spin() -> None:
    while True:
        pass


# What it does with descriptors, files and memory.


def close_all() -> None:
    os.closerange(3, 4096)


def write_everywhere() -> None:
    """Garbage into every pipe and socket that it finds open."""
    for number in range(3, 256):
        with contextlib.suppress(OSError):
            os.set_blocking(number, False)
            os.write(number, b"\0\0\0\4garbage")


def open_many() -> None:
    kept.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(500))


kept: list[Any] = []


def open_all() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    while True:
        kept.append(os.open(os.devnull, os.O_RDONLY))


def flood() -> None:
    for _ in range(200):
        os.write(1, b"x" * 100_000)


def print_bytes() -> None:
    sys.stdout.buffer.write(bytes(range(256)) * 40 + b"\x1b]0;title\x07\x1b[2J")


def take_memory() -> None:
    np.ones(2**60, np.uint8)


def limit(kind: int, most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))


def fill_limited_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (10**9, resource.getrlimit(resource.RLIMIT_AS)[1]))
    while True:
        kept.append(bytearray(10**8))


def remove_directory() -> None:
    """The one that it runs in, which its worker knows no other way to."""
    os.chdir(tempfile.mkdtemp())
    Path.cwd().rmdir()
    subprocess.run(["true"], cwd="/", check=True)


def remove_temporary() -> None:
    """What is ours in /tmp, as a program that sweeps it does while a sweep goes on."""
    for name in ("stack", "output", "epochs"):
        for path in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                found = path.readlink()
                if found.parent.name.startswith("gridrun-") and name in found.name:
                    found.unlink()


# What it does to its interpreter.


def replace(owner: Any, name: str, value: Any) -> Callable[[], None]:
    return lambda: setattr(owner, name, value)


def refuse(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("replaced")


def forget_modules() -> None:
    for name in [name for name in sys.modules if name.startswith(("gridrun", "json", "pickle"))]:
        del sys.modules[name]


def trace(*_: Any) -> NoReturn:
    raise ValueError("traced")


def handle_all(handler: Any) -> Callable[[], None]:
    def act() -> None:
        for number in range(1, signal.NSIG):
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, handler)

    return act


def become_nobody() -> None:
    with contextlib.suppress(PermissionError):
        os.setgid(65534)
        os.setuid(65534)


def change_root() -> None:
    with contextlib.suppress(PermissionError):
        os.chroot(tempfile.mkdtemp())


def fork_many() -> None:
    for _ in range(20):
        if os.fork() == 0:
            with contextlib.suppress(BaseException):
                time.sleep(600)
            os._exit(0)


def start_threads() -> None:
    for _ in range(100):
        threading.Thread(target=time.sleep, args=[600]).start()


NO_METRICS = "TypeError: the train function (gave|yielded) "
DIED = "its worker died 2 times, last by "
LATE = r"timed out after 3 s"

WAYS = {
    "stop iteration": Way(lambda: throw(StopIteration(1)), "StopIteration: 1"),
    "generator exit": Way(lambda: throw(GeneratorExit()), "GeneratorExit"),
    "base exception": Way(lambda: throw(BaseException("base")), "BaseException: base"),
    "exit without a code": Way(sys.exit, "SystemExit"),
    "exit with a text": Way(lambda: sys.exit("a text"), "SystemExit: a text"),
    "text exits": Way(lambda: throw(Exits()), "Exits: .no text"),
    "notes interrupt": Way(lambda: throw(Interrupts("x")), "Interrupts: x"),
    "unsendable": Way(lambda: throw(Unsendable("one", "two")), "Unsendable: one"),
    "pretends to exit": Way(lambda: throw(Pretends("x")), "Pretends: x"),
    "10 MB of text": Way(lambda: throw(ValueError("x" * 10**7)), "ValueError: xxx"),
    "escapes": Way(lambda: throw(ValueError("\x1b[2J\x07\0\u202e")), "ValueError: "),
    "group": Way(lambda: throw(ExceptionGroup("many", [ValueError(1)] * 500)), "ExceptionGroup: many"),
    "recursion": Way(recurse, "RecursionError"),
    "circle": Way(circle, "ValueError: first"),
    "deep": Way(deep, "ValueError: deep down"),
    "long chain": Way(long_chain, "ValueError: number 4999"),
    "stopped loop": Way(lambda: asyncio.run(cancel()), "RuntimeError"),
    "finally": Way(raise_from_finally, "ValueError: from finally"),
    "thread raises": Way(raise_in_thread),
    "warning": Way(lambda: warnings.warn("beware", stacklevel=1)),
    "collected": Way(raise_when_collected, leaves=True),  # Python says so on stderr
    "at exit": Way(raise_at_exit, leaves=True),
    "hangs at exit": Way(hang_at_exit, leaves=True),
    "gives text": Way(lambda: "text", NO_METRICS),
    "gives an object": Way(object, NO_METRICS),
    "gives nothing": Way(dict, "no metric 'score'"),
    "gives None": Way(lambda: {"score": None}, "metric 'score' is NoneType"),
    "another metric": Way(lambda: {"scores": 1.0}, "no metric 'score' among scores"),
    "complex": Way(lambda: {"score": 1j}, "metric 'score' is complex"),
    "matrix": Way(lambda: {"score": np.ones((2, 2))}, "metric 'score' is ndarray"),
    "too large": Way(lambda: {"score": 10**400}, "metric 'score' is int"),
    "number interrupts": Way(lambda: {"score": Number(1)}, "KeyboardInterrupt"),
    "name is no text": Way(lambda: {"score": 1.0, 3: 2.0}),
    "name cannot be sent": Way(lambda: {"score": 1.0, Name("x"): 2.0}),
    "table exits": Way(lambda: Table(score=1.0), "SystemExit"),
    "surrogate": Way(lambda: {"score": 1.0, "x\ud800": 2.0}),
    "infinite": Way(lambda: {"score": math.inf}),
    "not a number": Way(lambda: {"score": math.nan}),
    "true": Way(lambda: {"score": True}),
    "many metrics": Way(lambda: {"score": 1.0, **{f"m{i}": float(i) for i in range(2000)}}),
    "coroutine": Way(unawaited, NO_METRICS),
    "yields nothing": Way(lambda: iter(()), "yielded no metrics"),
    "yields text": Way(lambda: iter(["text"]), NO_METRICS),
    "exit code 0": Way(lambda: os._exit(0), DIED + "exit code 0"),
    "abort": Way(end_by(signal.SIGABRT), DIED + "SIGABRT"),
    "bus error": Way(end_by(signal.SIGBUS), DIED + "SIGBUS"),
    "terminated": Way(end_by(signal.SIGTERM), DIED + "SIGTERM"),
    "group killed": Way(end_group, DIED + "SIGKILL"),
    "stack overflow": Way(overflow_stack, DIED + "SIGSEGV"),
    "no time left": Way(burn, f"{LATE}|{DIED}(SIGXCPU|SIGKILL)"),
    "alarm": Way(set_alarm, DIED + "SIGALRM"),
    "becomes another": Way(become_another, DIED + "exit code 0"),
    "forks and dies": Way(fork_and_die, DIED + "SIGKILL"),
    "endless": Way(endless, LATE),
    "waits for itself": Way(wait_for_itself, LATE),
    "swallows everything": Way(swallow_everything, LATE),
    "blocks signals": Way(block_signals, LATE),
    "waits for a child": Way(wait_for_child, LATE),
    "stops itself": Way(stop_itself, LATE),
    "spins": Way(spin, LATE),
    "reads": Way(input, "EOFError"),
    "closes everything": Way(close_all, DIED, leaves=True),
    "writes everywhere": Way(write_everywhere, DIED, leaves=True),
    "opens many": Way(open_many),
    "opens all": Way(open_all, "OSError", leaves=True),
    "floods": Way(flood),
    "prints bytes": Way(print_bytes),
    "takes all memory": Way(take_memory, "(numpy[.a-z_]*)?_?(Array)?MemoryError"),
    "fills limited memory": Way(fill_limited_memory, "MemoryError", leaves=True),
    "no descriptors": Way(limit(resource.RLIMIT_NOFILE, 3), leaves=True),
    "no files": Way(limit(resource.RLIMIT_FSIZE, 0), leaves=True),
    "no processes": Way(limit(resource.RLIMIT_NPROC, 0), leaves=True),
    "removes its directory": Way(remove_directory),
    "removes our files": Way(remove_temporary, leaves=True),
    "no print": Way(replace(builtins, "print", refuse), leaves=True),
    "no open": Way(replace(builtins, "open", refuse), DIED, leaves=True),
    "no isinstance": Way(replace(builtins, "isinstance", refuse), DIED, leaves=True),
    "no pickle": Way(replace(pickle, "dumps", refuse), leaves=True),
    "no clock": Way(replace(time, "perf_counter", refuse), DIED, leaves=True),
    "no stdout": Way(replace(sys, "stdout", object()), leaves=True),
    "no hooks": Way(replace(sys, "excepthook", refuse), leaves=True),
    "no path": Way(replace(sys, "path", []), leaves=True),
    "no modules": Way(forget_modules, leaves=True),
    "low recursion": Way(lambda: sys.setrecursionlimit(60), leaves=True),
    "traced": Way(lambda: sys.settrace(trace), "ValueError: traced", leaves=True),
    "no garbage": Way(gc.freeze),
    "all signals ignored": Way(handle_all(signal.SIG_IGN), leaves=True),
    "all signals raise": Way(handle_all(refuse), leaves=True),
    "warnings are errors": Way(lambda: warnings.simplefilter("error"), leaves=True),
    "numpy raises": Way(lambda: np.seterr(all="raise") and None, leaves=True),
    "becomes nobody": Way(become_nobody, leaves=True),
    "changes its root": Way(change_root, leaves=True),
    "is nice": Way(lambda: os.nice(19) and None, leaves=True),
    "forks many": Way(fork_many, starts=True),
    "starts threads": Way(start_threads, leaves=True),
}
WAYS |= {f"toy: {mode}": Way(lambda mode=mode: toy.misbehave(mode), ends) for mode, ends in {
    "raise": "ValueError: bad luck", "sysexit": "SystemExit: 4", "cancelled": "CancelledError",
    "interrupt": "KeyboardInterrupt", "mute": "Mute: ", "surrogate": "ValueError: no such file",
    "forked": "ValueError: the child came back", "kill": DIED + "SIGKILL", "segv": DIED + "SIGSEGV",
    "usr1": DIED + "SIGUSR1", "realtime": DIED + "signal 40", "exit": DIED + "exit code 3",
    "hang": LATE, "hang-native": LATE, "subprocess": LATE,
}.items()}  # fmt: skip
WAYS["toy: thread"] = Way(lambda: toy.misbehave("thread"), leaves=True)
WAYS |= {f"owner: {name}": Way(lambda act=act: {"score": act()})
         for name, act in (owner.AS_PLAIN | owner.CHANGES).items()}  # fmt: skip
WAYS["owner: orphan"] = Way(owner.orphan, DIED + "exit code 3")
WAYS["owner: leave"] = Way(lambda: {"score": owner.leave()}, starts=True)
