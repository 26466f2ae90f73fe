"""A train function that prints, in all the ways that there are."""

import ctypes
import faulthandler
import io
import logging
import os
import subprocess
import sys
import time
from pathlib import Path


def train(*, how: str, n: int, folder: str) -> float:
    WAYS[how](Path(folder))
    return float(n)


def python(_: Path) -> None:
    print("out")
    print("err", file=sys.stderr)


def replaced(_: Path) -> None:
    print("before")
    sys.stdout = io.StringIO()
    print("nowhere")


def closed(_: Path) -> None:
    print("before")
    sys.stdout.close()
    sys.stderr.close()


def redirected(_: Path) -> None:
    print("before")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    print("nowhere")


def raises(_: Path) -> None:
    print("before it raised")
    raise ValueError("on purpose")


def descriptors(_: Path) -> None:
    os.write(1, b"one\n")
    os.write(2, b"two\n")


def attempt(folder: Path, how: str) -> None:
    with (folder / how).open("a") as file:
        file.write("x")
    print(f"attempt {(folder / how).stat().st_size}")


def dies(folder: Path) -> None:
    attempt(folder, "dies")
    ctypes.CDLL(None).printf(b"printf\n")
    os.kill(os.getpid(), 9)


def crashes(folder: Path) -> None:
    attempt(folder, "crashes")
    ctypes.CDLL(None).printf(b"printf\n")
    ctypes.string_at(0)


def hangs(folder: Path) -> None:
    attempt(folder, "hangs")
    time.sleep(600)


def long(folder: Path) -> None:
    print("line 0")
    (folder / "began").touch()
    for number in range(1, 6):
        time.sleep(0.3)
        while not (folder / "go").exists():
            time.sleep(0.05)
        print(f"line {number}")
    print("bye")


def flood(_: Path) -> None:
    print("begin", flush=True)
    subprocess.run("yes | head -c 2000000000", shell=True, check=True)
    print("end")


WAYS = {
    "python": python,
    "no newline": lambda _: print("half a line", end=""),
    "descriptors": descriptors,
    "program": lambda _: subprocess.run(
        "echo from a program; echo and its stderr >&2", shell=True, check=True
    ),
    "native": lambda _: ctypes.CDLL(None).printf(b"from printf %d\n", 7),
    "logging": lambda _: logging.warning("careful"),
    "replaced": replaced,
    "closed": closed,
    "redirected": redirected,
    "not utf-8": lambda _: os.write(1, b"\xff\n"),
    "silent": lambda _: None,
    "raises": raises,
    "faulthandler": lambda _: faulthandler.dump_traceback(2),
    "dies": dies,
    "crashes": crashes,
    "hangs": hangs,
    "long": long,
    "flood": flood,
}
