"""Cells that use their process as their own; `train` gives the same metrics in plain Python."""

import gc
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

LEAK = 600_000_000  # bytes; a worker is replaced when it has grown by 500 MB
leaked: list[bytes] = []


def train(*, what: str, n: int = 0, folder: str = ".") -> dict[str, float]:
    """What has a part of a cell's name in PARTS is done; who did it is noted in `folder`."""
    with (Path(folder) / "ledger").open("a") as file:
        file.write(f"start {what} {n} {os.getpid()}\n")
    found = PARTS[what]()
    with (Path(folder) / "ledger").open("a") as file:
        file.write(f"end {what} {n} {os.getpid()}\n")
    return {"score": float(found)}


def square(x: int) -> int:
    return x * x


def pool(method: str | None) -> Callable[[], float]:
    def run() -> float:
        with multiprocessing.get_context(method).Pool(2) as workers:
            return sum(workers.map(square, range(5)))

    return run


def process() -> float:
    sleeper = multiprocessing.Process(target=time.sleep, args=(600,))
    sleeper.start()
    sleeper.terminate()
    sleeper.join()
    return float(sleeper.exitcode or 0)


def loader() -> float:
    """As a data loader does: daemons that are fed by a queue, told to stop, then joined."""
    orders: multiprocessing.Queue[int | None] = multiprocessing.Queue()
    results: multiprocessing.Queue[int] = multiprocessing.Queue()
    workers = [multiprocessing.Process(target=load, args=(orders, results), daemon=True) for _ in range(2)]
    for worker in workers:
        worker.start()
    for x in range(6):
        orders.put(x)
    total = sum(results.get() for _ in range(6))
    for _ in workers:
        orders.put(None)
    for worker in workers:
        worker.join()
    return total


def load(orders: Any, results: Any) -> None:
    for x in iter(orders.get, None):
        results.put(square(x))


def program() -> float:
    sleeper = subprocess.Popen(["sleep", "600"])
    sleeper.terminate()
    return sleeper.wait()


def shell() -> float:
    return subprocess.run(
        ["bash", "-c", "sleep 600 & kill $!; wait $!"], stderr=subprocess.DEVNULL
    ).returncode


def executor() -> float:
    with ProcessPoolExecutor(2) as workers:
        return sum(workers.map(square, range(5)))


def parallel() -> float:
    import joblib

    return sum(joblib.Parallel(n_jobs=2)(joblib.delayed(square)(x) for x in range(5)))


def chosen() -> float:
    """A start method may be chosen once a process: so each cell may do it."""
    multiprocessing.set_start_method("spawn")
    return pool(None)()


def ignored(child: str) -> Callable[[], float]:
    """Which signals a child ignores or has blocked, as a number."""

    def run() -> float:
        if child == "forked":
            reader, writer = os.pipe()
            number = os.fork()
            if number == 0:
                os.write(writer, Path("/proc/self/status").read_bytes())
                os._exit(0)
            os.waitpid(number, 0)
            status = os.read(reader, 10_000).decode()
        else:
            command = {"executed": ["cat", "/proc/self/status"], "shell": "cat /proc/self/status; true"}[
                child
            ]
            status = subprocess.run(command, shell=child == "shell", capture_output=True, text=True).stdout
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return float(int(fields["SigIgn"], 16) + 2**32 * int(fields["SigBlk"], 16))

    return run


def handled() -> float:
    """How a forked child handles what ends a process: 0 as any, 1 with KeyboardInterrupt, 2 otherwise."""
    number = os.fork()
    if number == 0:
        answer = 0
        for place, each in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)):
            handler = signal.getsignal(each)
            known = {signal.SIG_DFL: 0, signal.default_int_handler: 1}
            answer += 3**place * (known.get(handler, 2) if handler is not None else 2)  # type: ignore[call-overload]
        os._exit(answer)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def orphan() -> float:
    """Leave a child, and die: the child holds all pipes that this process had."""
    if os.fork() == 0:
        time.sleep(600)
    os._exit(3)


def leave() -> float:
    """Leave two children running."""
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
    subprocess.Popen(["sleep", "600"])
    return 0.0


def leak() -> float:
    leaked.append(b"x" * LEAK)
    return 0.0


def loop() -> float:
    """Memory that goes when garbage is collected."""
    data: list[object] = [b"x" * LEAK]
    data.append(data)
    gc.disable()
    return 0.0


def nap() -> float:
    time.sleep(0.3)
    return 0.0


# What a cell may do to the process that the next one finds.


def change_directory() -> float:
    os.chdir(tempfile.mkdtemp())
    return 0.0


def change_to_nowhere() -> float:
    gone = tempfile.mkdtemp()
    os.chdir(gone)
    Path(gone).rmdir()
    return 0.0


def change_variables() -> float:
    os.environ["ADDED_BY_A_CELL"] = "1"
    os.environ["HOME"] = "/nowhere"
    del os.environ["PATH"]
    return 0.0


def clear_variables() -> float:
    os.environ.clear()
    return 0.0


def replace_variables() -> float:
    os.environ = {}  # type: ignore[assignment]  # noqa: B003
    return 0.0


def close_streams() -> float:
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()
    return 0.0


def replace_streams() -> float:
    sys.stdout, sys.stderr = io.StringIO(), open(os.devnull, "w")  # noqa: PTH123, SIM115
    sys.stdin = io.StringIO()
    return 0.0


def wrap_streams() -> float:
    """The wrapper closes what it wraps when it is collected."""
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="latin-1")
    return 0.0


def detach_streams() -> float:
    sys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding="utf-8")  # type: ignore[union-attr]
    sys.stdin.detach()  # type: ignore[union-attr]
    return 0.0


def forget_streams() -> float:
    sys.stdin = sys.stdout = sys.stderr = None  # type: ignore[assignment]
    return 0.0


def close_descriptors() -> float:
    for number in range(3):
        os.close(number)
    return 0.0


def redirect_descriptors() -> float:
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    return 0.0


def change_umask() -> float:
    os.umask(0o777)
    return 0.0


def look() -> float:
    """Raise unless everything is as the first who looked found it."""
    found = surroundings()
    expected.append(found)
    changed = {key: (expected[0][key], found[key]) for key in found if found[key] != expected[0][key]}
    if changed:
        raise AssertionError(changed)
    print("stdout lives", flush=True)
    print("stderr lives", file=sys.stderr, flush=True)
    sys.stdin.fileno()
    subprocess.run("echo a child lives; echo here too >&2", shell=True, check=True)
    return 0.0


expected: list[dict[str, object]] = []


def surroundings() -> dict[str, object]:
    umask = os.umask(0)
    os.umask(umask)
    return {
        "directory": os.getcwd(),  # noqa: PTH109
        # Apart from what each trajectory is told of itself.
        "variables": {name: value for name, value in os.environ.items() if not name.startswith("GRIDRUN_")},
        "children's variables": sorted(
            line
            for line in subprocess.run(["/usr/bin/env"], capture_output=True, check=True).stdout.splitlines()
            if not line.startswith(b"GRIDRUN_")
        ),
        "umask": umask,
        "descriptors": [(os.fstat(number).st_dev, os.fstat(number).st_ino) for number in range(3)],
        "closed": [stream.closed for stream in (sys.stdin, sys.stdout, sys.stderr)],
    }


AS_PLAIN: dict[str, Callable[[], float]] = {
    "fork": pool("fork"),
    "spawn": pool("spawn"),
    "forkserver": pool("forkserver"),
    "pool": pool(None),
    "process": process,
    "loader": loader,
    "program": program,
    "shell": shell,
    "executor": executor,
    "parallel": parallel,
    "chosen": chosen,
    "ignored by a forked child": ignored("forked"),
    "ignored by a program": ignored("executed"),
    "ignored by a shell": ignored("shell"),
    "handled": handled,
}
CHANGES: dict[str, Callable[[], float]] = {
    each.__name__: each
    for each in (
        *(change_directory, change_to_nowhere, change_variables, clear_variables, replace_variables),
        *(close_streams, replace_streams, wrap_streams, detach_streams, forget_streams),
        *(close_descriptors, redirect_descriptors, change_umask),
    )
}
PARTS = AS_PLAIN | CHANGES | {each.__name__: each for each in (orphan, leave, leak, loop, nap, look)}
