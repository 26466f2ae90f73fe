"""Files that are damaged, or made to harm: one line, and no more memory than the file promises."""

import gzip
import io
import json
import os
import random
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnn_core
from cnn_core import ConfigError, checkpoint, datasets
from cnn_core.checkpoint import Keeper
from cnn_core.config import Config

SOAK = "GRIDRUN_SOAK" in os.environ
DAMAGED = 5000 if SOAK else 400
SEED = int(os.environ.get("GRIDRUN_SEED", random.randrange(2**32) if SOAK else 0))
MOST_BYTES = 1_500_000_000  # of address space: a Python with NumPy, numba and what a bomb promises not


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "weights.npz"
    cnn_core.fit(epochs=1, train_size=20, test_size=20, conv_channels=[2], optimizer="adam").save(path)
    return path.read_bytes()


def damage(content: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, left out, doubled or cut off; or a word of the configuration replaced."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 10])):
        place = chance.randrange(max(1, len(changed) - 1))
        match chance.randrange(5):
            case 0:
                changed[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del changed[place : place + chance.choice([1, 4, 100])]
            case 2:
                changed[place:place] = changed[place : place + chance.choice([1, 4, 100])]
            case 3:
                changed = changed[: max(1, place)]
            case _:
                words = [
                    b"conv_channels",
                    b"parameters",
                    b"[2]",
                    b"shape",
                    b"digits",
                    b"adam",
                    b": 1",
                    b"0.0",
                ]
                others = [b"[null]", b'["x"]', b"1e999", b"[9]", b"{}", b"-1", b"true", b""]
                changed = changed.replace(chance.choice(words), chance.choice(others), 1)
    return bytes(changed)


def test_a_damaged_checkpoint_loads_or_is_a_config_error_of_one_line(sound: bytes, tmp_path: Path) -> None:
    print(f"GRIDRUN_SEED={SEED}")
    chance, path, told = random.Random(f"{SEED} checkpoints"), tmp_path / "weights.npz", list[str]()
    keeper = Keeper(tmp_path, "2", Config())
    for _ in range(DAMAGED):
        path.write_bytes(damage(sound, chance))
        (tmp_path / "training.npz").write_bytes(path.read_bytes())
        try:
            cnn_core.load(path)
            keeper.read(1, 1, 1)
        except ConfigError as error:
            told.append(str(error))
    assert len(told) > DAMAGED / 2
    assert not [message for message in told if "\n" in message]


@pytest.mark.parametrize(
    "meta",
    ["null", "[]", "{}", "[" * 100_000, '{"version": "2", "config": {"epochs": 1e999}}', '"' + "x" * 10_000],
)
def test_whatever_a_checkpoint_says_of_itself_is_told_in_one_short_line(tmp_path: Path, meta: str) -> None:
    path = tmp_path / "weights.npz"
    empty = np.zeros(0, np.float32)
    checkpoint.write(path, meta, empty, empty)
    with pytest.raises(ConfigError, match="is no checkpoint of this version") as refused:
        cnn_core.load(path)
    assert len(str(refused.value)) < 400 + len(str(path))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("parameters", np.nan, "parameters must be finite numbers, found nan: the training diverged, or the"),
        ("parameters", np.inf, "parameters must be finite numbers, found inf: the training diverged, or the"),
        ("statistics", np.nan, "statistics must be finite numbers, found nan: the training diverged, or the"),
        ("statistics", -1.0, "statistics has a variance below 0: it is damaged; write it again"),
    ],
)
def test_numbers_that_no_network_has_are_refused(
    sound: bytes, tmp_path: Path, name: str, value: float, message: str
) -> None:
    with np.load(io.BytesIO(sound)) as file:
        arrays = {key: file[key].copy() for key in file}
    arrays[name][-1] = value
    np.savez(tmp_path / "weights.npz", **arrays)
    with pytest.raises(ConfigError, match="^.*/weights.npz: " + message):
        cnn_core.load(tmp_path / "weights.npz")


def test_a_pipe_instead_of_a_checkpoint_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "weights.npz")
    with pytest.raises(ConfigError, match="no regular file"):
        cnn_core.load(tmp_path / "weights.npz")


def bomb_checkpoint(folder: Path) -> None:
    meta = np.array(json.dumps({"version": "2"}))
    np.savez_compressed(folder / "weights.npz", meta=meta, parameters=np.zeros(5 * 10**8, np.float32))


def bomb_idx(folder: Path) -> None:
    (folder / "mnist").mkdir()
    head = struct.pack(">iiii", 0x803, 100, 28, 28)
    with gzip.open(folder / "mnist/t10k-images-idx3-ubyte.gz", "wb", compresslevel=1) as file:
        file.write(head)
        for _ in range(3000):
            file.write(bytes(1 << 20))
    with gzip.open(folder / "mnist/t10k-labels-idx1-ubyte.gz", "wb") as file:
        file.write(struct.pack(">ii", 0x801, 100) + bytes(100))


def bomb_labels(folder: Path) -> None:
    """Labels that tell the number of classes are read before any image is."""
    (folder / "letters").mkdir()
    images = struct.pack(">iiii", 0x803, 100, 28, 28) + bytes(78_400)
    (folder / "letters/train-images-idx3-ubyte").write_bytes(images)
    with gzip.open(folder / "letters/train-labels-idx1-ubyte.gz", "wb", compresslevel=1) as file:
        file.write(struct.pack(">ii", 0x801, 100))
        for _ in range(2000):
            file.write(bytes(1 << 20))


def bomb_mat(folder: Path) -> None:
    """A variable of 784 x 1 bytes in an element that unpacks to 3 GB."""
    (folder / "mnist").mkdir()
    head = struct.pack("<iiII", 6, 8, 9, 0) + struct.pack("<iiii", 5, 8, 784, 1)
    head += struct.pack("<ii", 1, 4) + b"data" + bytes(4) + struct.pack("<ii", 2, 784)
    promised = 3 << 30
    packer = zlib.compressobj(1)
    packed = packer.compress(struct.pack("<iI", 14, promised) + head + bytes(784))
    left = promised - len(head) - 784
    while left > 0:
        packed += packer.compress(bytes(min(left, 1 << 20)))
        left -= 1 << 20
    packed += packer.flush()
    with (folder / "mnist/mnist-original.mat").open("wb") as file:
        file.write(b"MATLAB 5.0".ljust(124) + struct.pack("<H", 0x100) + b"IM")
        file.write(struct.pack("<ii", 15, len(packed)) + packed)


LOAD = "cnn_core.load({folder!r} + '/weights.npz')"
READ = (
    "datasets.load('mnist', data_dir={folder!r}, train_size=10, test_size=10, data_seed=0, split='test',"
    " validation_size=None)"
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")
@pytest.mark.parametrize(
    ("make", "read"),
    [
        (bomb_checkpoint, LOAD),
        (bomb_idx, READ),
        (bomb_labels, READ.replace("'mnist'", "'letters'")),
        (bomb_mat, READ),
    ],
    ids=["npz", "gz", "labels", "mat"],
)
def test_a_file_that_unpacks_to_gigabytes_is_refused_without_them(
    tmp_path: Path, make: Any, read: str
) -> None:
    make(tmp_path)
    script = f"""
import cnn_core
from cnn_core import ConfigError, datasets
try:
    {read.format(folder=str(tmp_path))}
except ConfigError as error:
    print(error)
"""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))

    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, preexec_fn=limit
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("\n") == 1
    assert "MemoryError" not in told.stdout + told.stderr


def test_datasets_are_still_read() -> None:
    assert datasets.check(
        "digits", data_dir=None, train_size=10, test_size=10, split="test", validation_size=None
    ) == (1, 28, 28, 10)
