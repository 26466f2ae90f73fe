"""Train functions that keep a ledger of the epochs they run, and checkpoints to go on from."""

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path


def train(
    *,
    a: int,
    epochs: int,
    output_dir: str,
    resume_from: int,
    ledger: str,
    nap: float = 0.0,
    every: int = 1,
    fails: int = 0,
    dies: int = 0,
) -> Iterator[dict[str, float]]:
    """Each epoch's score depends on the one before: who loses or repeats one gets others.

    A checkpoint is written after `every` so many epochs.
    """
    file = Path(output_dir, "checkpoint.json")
    score, history = json.loads(file.read_text()) if file.exists() else (float(a), [])
    for epoch in range(epochs):
        if epoch == len(history):
            note(ledger, f"{a} {epoch} {resume_from} {os.getpid()}")
            if 0 < dies == epoch and not resume_from and "NAPS" not in os.environ:
                os.kill(os.getpid(), 9)
            time.sleep(nap * float(os.environ.get("NAPS", "1")))
            score = random.Random(f"{score} {epoch}").random()
            if fails == epoch + 1 and not Path(ledger).with_name("mended").exists():
                raise ValueError("no luck yet")
            history.append({"score": score, "epoch": epoch})
            if len(history) % every == 0:
                partial = file.with_suffix(".partial")
                partial.write_text(json.dumps([score, history]))
                partial.replace(file)
        if epoch >= resume_from:
            yield history[epoch]


def anew(*, a: int, epochs: int, ledger: str, nap: float = 0.0) -> Iterator[dict[str, float]]:
    for epoch in range(epochs):
        note(ledger, f"{a} {epoch} 0 {os.getpid()}")
        time.sleep(nap * float(os.environ.get("NAPS", "1")))
        yield {"score": a * epoch}


def whole(*, a: int, output_dir: str, resume_from: int, ledger: str) -> dict[str, float]:
    note(ledger, f"{a} 0 {resume_from} {os.path.isdir(output_dir)}")  # noqa: PTH112
    return {"score": a}


def note(ledger: str, line: str) -> None:
    with Path(ledger).open("a") as file:
        file.write(line + "\n")
