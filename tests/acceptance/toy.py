"""A train function that keeps a ledger of what it was asked, and can be made to fail in many ways."""

import asyncio
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path


def train(
    *, a: int, b: float = 1.0, epochs: int = 1, mode: str = "ok", ledger: str = "", nap: float = 0.0
) -> Iterator[dict[str, float]]:
    cell = f"{a} {b} {epochs} {mode} {os.getpid()}"
    note(ledger, f"start {cell}")
    while mode == "wait" and not Path(ledger).with_name("go").exists():
        time.sleep(0.02)
    for epoch in range(epochs):
        time.sleep(nap * float(os.environ.get("TOY_NAPS", "1")))
        if a == 2:
            misbehave(mode)
        print("noise on stdout")
        yield {"accuracy": a * b / (epoch + 1), "loss": float(epoch)}
    note(ledger, f"end {cell}")


def misbehave(mode: str) -> None:
    if mode == "raise":
        raise ValueError("bad luck\nin two lines")
    if mode == "exit":
        os._exit(3)
    if mode == "sysexit":
        raise SystemExit(4)
    if mode == "kill":
        os.kill(os.getpid(), 9)
    if mode == "kill-host":
        os.kill(os.getppid(), 9)  # who looks after this process on a cluster's machine
        time.sleep(600)
    if mode == "segv":
        ctypes.string_at(0)
    if mode == "hang":
        time.sleep(600)
    if mode == "hang-native":
        ctypes.PyDLL(None).sleep(600)  # keeps the GIL
    if mode == "cancelled":
        raise asyncio.CancelledError
    if mode == "interrupt":
        raise KeyboardInterrupt
    if mode == "mute":
        raise Mute
    if mode == "surrogate":
        raise ValueError("no such file: \udcff")
    if mode == "forked":
        process = os.fork()
        if process:
            os.waitpid(process, 0)
        raise ValueError("the child came back as well")
    if mode in ("usr1", "realtime"):
        number = signal.SIGUSR1 if mode == "usr1" else 40
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    if mode == "late-exit":
        threading.Timer(0.7, os._exit, [3]).start()
    if mode == "thread":
        threading.Thread(target=time.sleep, args=[600]).start()
    if mode == "subprocess":
        subprocess.run(["sleep", "600"], check=True)

    if mode == "daemon" and not Path("daemon").exists():
        process = os.fork()
        if process == 0:
            time.sleep(600)
        Path("daemon").write_text(str(process))
        time.sleep(600)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def note(ledger: str, line: str) -> None:
    if ledger:
        with Path(ledger).open("a") as file:
            file.write(line + "\n")


def validate(*, a: int, **_: object) -> None:
    if a < 0:
        raise ValueError(f"a must be 0 or more, found {a}; write 1")


train.validate = validate  # type: ignore[attr-defined]
