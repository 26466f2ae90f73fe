"""Datasets laid out as they exist in the wild: each is used, or told in one line; none is passed over."""

import gzip
import io
import pickle
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from cnn_core import ConfigError, datasets
from cnn_core.datasets import openml

Array = np.ndarray[Any, Any]
TRAIN, TEST = 12, 8
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (TRAIN + TEST, 28, 28), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (TRAIN + TEST, 3, 32, 32), dtype=np.uint8)
Y = (np.arange(TRAIN + TEST) % 10).astype(np.uint8)


@pytest.fixture(autouse=True)
def _no_download(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(folder: Path) -> None:
        raise AssertionError(f"a download into {folder}")

    monkeypatch.setattr(openml, "download_mnist", refuse)
    return


def idx(values: Array) -> bytes:
    return bytes((0, 0, 8, values.ndim)) + np.array(values.shape, ">u4").tobytes() + values.tobytes()


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def idx_files(
    folder: str, *, prefix: str = "", images: str = "images-idx3-ubyte", labels: str = "labels-idx1-ubyte",
    end: str = "", pack: bool = False, first: int = 0, test: str = "t10k",
) -> Callable[[Path], None]:  # fmt: skip
    def write(root: Path) -> None:
        for part, kept in (("train", slice(TRAIN)), (test, slice(TRAIN, None))):
            for kind, values in ((images, X[kept]), (labels, Y[kept] + first)):
                content = idx(values.astype(np.uint8))
                name = f"{prefix}{part}-{kind}{end}"
                put(root / folder / name, gzip.compress(content, 1) if pack else content)

    return write


def idx_in_folders_of_its_names(root: Path) -> None:
    idx_files("mnist")(root)
    for path in list((root / "mnist").iterdir()):
        content = path.read_bytes()
        path.unlink()
        put(path / path.name, content)


def mat(path: str, **options: Any) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        savemat(root / path, {"data": X.reshape(len(X), -1).T, "label": Y[None] * 1.0}, **options)

    return write


def hdf5(root: Path) -> None:
    put(
        root / "mnist/mnist-original.mat",
        b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n",
    )


def npz(path: str, *, shape: tuple[int, ...] | None = None, **names: slice) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        x = X if shape is None else X.reshape(-1, *shape)
        arrays = {name: (x if each % 2 == 0 else Y)[kept] for each, (name, kept) in enumerate(names.items())}
        np.savez(root / path, **arrays)

    return write


KERAS = {
    "x_train": slice(TRAIN),
    "y_train": slice(TRAIN),
    "x_test": slice(TRAIN, None),
    "y_test": slice(TRAIN, None),
}
MEDMNIST = dict(
    zip(("train_images", "train_labels", "test_images", "test_labels"), KERAS.values(), strict=True)
)
WHOLE = slice(None)
EACH = (slice(TRAIN), slice(TRAIN), slice(TRAIN, None), slice(TRAIN, None))
KERAS = dict(zip(("x_train", "y_train", "x_test", "y_test"), EACH, strict=True))
MEDMNIST = dict(zip(("train_images", "train_labels", "test_images", "test_labels"), EACH, strict=True))
KAGGLE = {"trainingSet": slice(TRAIN), "testSet": slice(TRAIN, None)}


def csv(
    folder: str, files: dict[str, slice], *, header: bool = True, labels: bool = True
) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for name, kept in files.items():
            columns = [*(["label"] if labels else []), *(f"pixel{n}" for n in range(784))]
            lines = [",".join(columns)] if header else []
            for image, label in zip(X[kept], Y[kept], strict=True):
                lines.append(",".join(map(str, [*([label] if labels else []), *image.ravel()])))
            put(root / folder / name, "\n".join(lines).encode() + b"\n")

    return write


def two(prefix: str = "") -> dict[str, slice]:
    return {f"{prefix}train.csv": slice(TRAIN), f"{prefix}test.csv": slice(TRAIN, None)}


def pictures(
    folder: str,
    parts: dict[str, slice],
    *,
    ending: str = "png",
    names: Callable[[int], str] = str,
    colour: bool = False,
) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        image = pytest.importorskip("PIL.Image")
        for part, kept in parts.items():
            for number, label in zip(range(len(X))[kept], Y[kept], strict=True):
                pixels = COLOUR[number].transpose(1, 2, 0) if colour else X[number]
                path = root / folder / part / names(int(label)) / f"{number:03}.{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                image.fromarray(pixels).save(path)

    return write


SPLIT = {"train": slice(TRAIN), "test": slice(TRAIN, None)}


def cifar(
    folder: str, *, labels: int = 1, names: tuple[str, str] = ("data_batch_1.bin", "test_batch.bin")
) -> Any:
    def write(root: Path) -> None:
        for name, kept in zip(names, (slice(TRAIN), slice(TRAIN, None)), strict=True):
            y = np.repeat(Y[kept, None], labels, axis=1)
            put(root / folder / name, np.hstack([y, COLOUR[kept].reshape(-1, 3072)]).tobytes())

    return write


def svhn(folder: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        (root / folder).mkdir(parents=True)
        for name, kept in (("train_32x32.mat", slice(TRAIN)), ("test_32x32.mat", slice(TRAIN, None))):
            y = np.where(Y[kept] == 0, 10, Y[kept])[:, None]
            x = COLOUR[kept].transpose(2, 3, 1, 0)
            savemat(root / folder / name, {"X": x, "y": y}, do_compression=True)

    return write


def junk(*paths: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for path in paths:
            put(root / path, b"junk")

    return write


def both(*writers: Callable[[Path], None]) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for each in writers:
            each(root)

    return write


USED: dict[str, tuple[str, Callable[[Path], None]]] = {
    "idx": ("mnist", idx_files("mnist")),
    "idx gz": ("mnist", idx_files("mnist", end=".gz", pack=True)),
    "idx with dots": ("mnist", idx_files("mnist", images="images.idx3-ubyte", labels="labels.idx1-ubyte")),
    "idx in folders of their names": ("mnist", idx_in_folders_of_its_names),
    "torchvision": ("mnist", idx_files("MNIST/raw")),
    "torchvision gz": ("mnist", idx_files("MNIST/raw", end=".gz", pack=True)),
    "raw within": ("mnist", idx_files("mnist/raw")),
    "torchvision in our folder": ("mnist", idx_files("mnist/MNIST/raw")),
    "data_dir itself": ("mnist", idx_files(".")),
    "data_dir is MNIST": ("mnist", idx_files("raw")),
    "a browser unpacked": ("mnist", idx_files("mnist", end=".gz")),
    "a browser kept the name": ("mnist", idx_files("mnist", pack=True)),
    "test for t10k": ("mnist", idx_files("mnist", test="test")),
    "archive within": ("mnist", idx_files("mnist/archive")),
    "mat": ("mnist", mat("mnist/mnist-original.mat")),
    "mat, short name": ("mnist", mat("mnist/mnist.mat")),
    "mat of the course": ("mnist", mat("mnist-original.mat", do_compression=True)),
    "Keras": ("mnist", npz("mnist/mnist.npz", **KERAS)),
    "Keras in data_dir": ("mnist", npz("mnist.npz", **KERAS)),
    "Fashion-MNIST of torchvision": ("fashion-mnist", idx_files("FashionMNIST/raw", end=".gz", pack=True)),
    "Fashion-MNIST of Zalando": ("fashion-mnist", idx_files("fashion-mnist")),
    "Fashion-MNIST, underscore": ("fashion_mnist", idx_files("Fashion-MNIST")),
    "KMNIST": ("kmnist", idx_files("KMNIST/raw")),
    "EMNIST": (
        "emnist-letters",
        idx_files("emnist-letters/gzip", prefix="emnist-letters-", end=".gz", pack=True),
    ),
    "EMNIST from 1": ("emnist-letters", idx_files("emnist-letters", prefix="emnist-letters-", first=1)),
    "EMNIST among others": (
        "emnist-letters",
        both(idx_files(".", prefix="emnist-letters-"), idx_files(".", prefix="emnist-digits-", first=1)),
    ),
    "npz of x and y": ("own", npz("own/own.npz", x=WHOLE, y=WHOLE)),
    "npz of another name": ("own", npz("own/data.npz", images=WHOLE, labels=WHOLE)),
    "npz of MedMNIST": ("pathmnist", npz("pathmnist.npz", **MEDMNIST)),
    "npz, channels last": ("own", npz("own/own.npz", shape=(28, 28, 1), X=WHOLE, y=WHOLE)),
    "npz, channels first": ("own", npz("own/own.npz", shape=(1, 28, 28), X=WHOLE, y=WHOLE)),
    "csv of Kaggle": ("mnist", csv("mnist", two())),
    "csv without header": ("mnist", csv("mnist", two("mnist_"), header=False)),
    "csv, Fashion-MNIST of Kaggle": ("fashion-mnist", csv(".", two("fashion-mnist_"))),
    "csv of one file": ("own", csv("own", {"own.csv": WHOLE})),
    "class folders": ("digits-as-png", pictures("digits-as-png", {"": WHOLE})),
    "class folders, split": ("own", pictures("own", SPLIT)),
    "class folders, Kaggle's names": ("own", pictures("own", KAGGLE)),
    "class folders for MNIST": ("mnist", pictures("mnist/MNIST", SPLIT)),
    "class folders by name": ("own", pictures("own", {"": WHOLE}, names=lambda label: f"kind {label}")),
    "class folders of bitmaps' kin": ("own", pictures("own", {"": WHOLE}, ending="PNG")),
}


def read(name: str, root: Path) -> tuple[Array, Array, int]:
    """All images with their labels, in the order of their pixels."""
    counts = {"train_size": TRAIN, "test_size": TEST}
    images = datasets.load(name, data_dir=root, data_seed=0, split="test", validation_size=None, **counts)
    x, y = np.concatenate([images.train_x, images.test_x]), np.concatenate([images.train_y, images.test_y])
    return *in_order(np.rint(x * 255).astype(np.uint8), y), images.classes


def in_order(x: Array, y: Array) -> tuple[Array, Array]:
    order = np.lexsort(x.reshape(len(x), -1).T)
    return x[order], y[order]


@pytest.mark.parametrize("layout", USED)
def test_files_are_used_as_they_lie(tmp_path: Path, layout: str) -> None:
    name, write = USED[layout]
    write(tmp_path)
    x, y, classes = read(name, tmp_path)
    expected_x, expected_y = in_order(X[:, None], Y)
    np.testing.assert_array_equal(x, expected_x)
    np.testing.assert_array_equal(y, expected_y)
    assert classes == 10
    assert len(datasets.fingerprint(name, data_dir=tmp_path)) == 64


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("cifar10", cifar("cifar10/cifar-10-batches-bin")),
        ("cifar10", cifar("cifar-10-batches-bin")),
        ("cifar10", cifar(".")),
        ("cifar100", cifar("cifar100/cifar-100-binary", labels=2, names=("train.bin", "test.bin"))),
        ("svhn", svhn("svhn")),
        ("svhn", svhn("SVHN")),
        ("own", pictures("own", SPLIT, colour=True)),
    ],
)
def test_colour_is_used_as_it_lies(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    x, y, classes = read(name, tmp_path)
    expected_x, expected_y = in_order(COLOUR, Y)
    np.testing.assert_array_equal(x, expected_x)
    np.testing.assert_array_equal(y, expected_y)
    assert classes == (100 if name == "cifar100" else 10)


def v4(root: Path) -> None:
    (root / "mnist").mkdir()
    savemat(
        root / "mnist/mnist-original.mat", {"data": X.reshape(len(X), -1).T, "label": Y[None]}, format="4"
    )


def pickles(root: Path) -> None:
    for name in ("data_batch_1", "batches.meta"):
        put(root / "cifar10/cifar-10-batches-py" / name, pickle.dumps({}))


def images_of_two_sizes(root: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pictures("own", {"": WHOLE})(root)
    image.new("L", (20, 28)).save(root / "own/3/zzz.png")


REFUSED: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "mat 4": ("mnist", v4, r"of version 4, which is not read; save it again in MATLAB with save\("),
    "mat 7.3": ("mnist", hdf5, r"version 7\.3, which is not read; save it again .*-v7"),
    "pickles": ("cifar10", pickles, "is CIFAR's Python version, made of pickles, .* take the binary"),
    "tar": ("cifar10", junk("cifar10/cifar-10-binary.tar.gz"), r"write tar -xf .*\.tar\.gz -C .*cifar10"),
    "zip": ("mnist", junk("mnist/archive.zip"), r"is not unpacked; write unzip .*archive\.zip -d "),
    "zip in data_dir": ("mnist", junk("mnist.zip"), r"mnist\.zip: is not unpacked; write unzip "),
    "something else": (
        "mnist",
        junk("mnist/mnist.pkl.gz"),
        r"not in .*mnist, which holds mnist\.pkl\.gz; put its",
    ),
    "beside": (
        "mnist",
        junk("MNIST_data/x"),
        "holds MNIST_data; .* or make an empty folder .*/mnist to have",
    ),
    "Kaggle's test alone": (
        "mnist",
        csv("mnist", {"test.csv": WHOLE}, labels=False),
        "which holds test.csv; put its",
    ),
    "many": ("own", junk(*(f"own/{n}.bmp" for n in range(20))), r"holds 0\.bmp, 1\.bmp, .*, \.\.\.; put"),
    "labels alone": (
        "mnist",
        junk("mnist/train-labels-idx1-ubyte"),
        "found train-labels-idx1-ubyte without train",
    ),
    "two datasets": (
        "emnist",
        both(idx_files("emnist", prefix="emnist-letters-"), idx_files("emnist", prefix="emnist-digits-")),
        "found several datasets, emnist-digits, emnist-letters; write one of these as dataset",
    ),
    "two sizes": ("own", images_of_two_sizes, r"zzz\.png: is 20x28, .*png is 28x28; write all"),
    "no image": ("own", pictures("own", {"": slice(0)}), r"found 'own', and no images in .*own"),
    "a misspelt name": (
        "mnits",
        idx_files("mnist"),
        '"mnits" is not in .*, which holds mnist; put its files',
    ),
    "a path": ("../mnist", idx_files("mnist"), r"a folder's name, found '\.\./mnist'"),
    "no picture": ("own", junk("own/cat/1.png"), r"1\.png: not a PNG or JPEG, or damaged"),
    "no table": ("own", junk("own/own.csv"), "which holds own.csv|pixels a line"),
    "csv of no square": ("own", lambda root: put(root / "own/own.csv", b"1,2,3\n"), "found 2 pixels a line"),
    "csv of ragged lines": (
        "own",
        lambda root: put(root / "own/own.csv", b"1,2,3,4,5\n" * 19 + b"1,2\n"),
        "own.csv: .*; expected whole numbers",
    ),
}


@pytest.mark.parametrize("layout", REFUSED)
def test_what_is_not_used_is_told_in_one_line_and_nothing_is_downloaded(tmp_path: Path, layout: str) -> None:
    name, write, message = REFUSED[layout]
    write(tmp_path)
    with pytest.raises(ConfigError) as refused:
        read(name, tmp_path)
    assert re.search(message, str(refused.value)), str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_official_split_is_kept_apart(tmp_path: Path) -> None:
    idx_files("kmnist")(tmp_path)
    options: dict[str, Any] = {"data_dir": tmp_path, "split": "official", "validation_size": None}
    images = datasets.load("kmnist", train_size=10, test_size=8, data_seed=3, **options)
    given = {image.tobytes(): place for place, image in enumerate(X)}
    train, test = (
        [given[np.rint(x * 255).astype(np.uint8).tobytes()] for x in part]
        for part in (images.train_x, images.test_x)
    )
    assert max(train) < TRAIN
    assert sorted(test) == list(range(TRAIN, TRAIN + TEST))
    np.testing.assert_array_equal(images.held_x, images.test_x)
    with pytest.raises(ConfigError, match="train_size 13 is more than the 12 images that kmnist has for it"):
        datasets.check("kmnist", train_size=13, test_size=1, **options)
    with pytest.raises(
        ConfigError, match="needs test images that digits keeps apart, found none; write split"
    ):
        datasets.check("digits", train_size=13, test_size=1, **options)


def test_an_image_that_promises_gigabytes_is_refused_by_its_header(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    made = io.BytesIO()
    image.new("L", (1, 1)).save(made, "PNG")
    content = bytearray(made.getvalue())
    content[16:24] = struct.pack(">II", 8000, 8000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    put(tmp_path / "own/0/a.png", bytes(content))
    with pytest.raises(ConfigError, match="is 8000x8000; write images of at most 4096 a side"):
        read("own", tmp_path)
