"""Where dataset files are looked for, and every format, from files written here."""

import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import sklearn.datasets
from scipy.io import loadmat, savemat

from cnn_core import datasets
from cnn_core.config import ConfigError
from cnn_core.datasets import files, folders, openml
from cnn_core.datasets.places import find_source
from cnn_core.datasets.source import Source

TRAIN, T10K = 12, 8
REAL = Path(__file__).parents[3] / "shared" / "data" / "mnist"

Array = np.ndarray[Any, Any]


def pixels_of(seed: int, count: int, side: int = 28) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)


def labels_of(count: int) -> Array:
    return (np.arange(count) % 10).astype(np.uint8)


# Each writer puts TRAIN and then T10K images into `folder`, all of them drawn from `seed`.


def write_idx(
    folder: Path, seed: int = 0, *, parts: tuple[str, ...] = ("train", "t10k"), gz: bool = False
) -> None:
    for part, count, offset in (("train", TRAIN, 0), ("t10k", T10K, 1)):
        if part in parts:
            pixels, labels = pixels_of(seed + offset, count), labels_of(count)
            images = bytes((0, 0, 8, 3)) + np.array(pixels.shape, ">u4").tobytes() + pixels.tobytes()
            classes = bytes((0, 0, 8, 1)) + np.array(labels.shape, ">u4").tobytes() + labels.tobytes()
            for name, content in (
                (f"{part}-images-idx3-ubyte", images),
                (f"{part}-labels-idx1-ubyte", classes),
            ):
                if gz:
                    (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
                else:
                    (folder / name).write_bytes(content)


def write_idx_gz(folder: Path, seed: int = 0) -> None:
    write_idx(folder, seed, gz=True)


def write_mat(folder: Path, seed: int = 0, *, compressed: bool = False, **changed: Any) -> None:
    pixels = np.concatenate([pixels_of(seed, TRAIN), pixels_of(seed + 1, T10K)])
    labels = np.concatenate([labels_of(TRAIN), labels_of(T10K)])
    content = {"data": pixels.reshape(len(pixels), -1).T, "label": labels[None].astype(np.float64), **changed}
    savemat(folder / "mnist-original.mat", content, do_compression=compressed)


def write_mat_compressed(folder: Path, seed: int = 0) -> None:
    write_mat(folder, seed, compressed=True)


def write_npz(folder: Path, seed: int = 0, *, compressed: bool = False, **changed: Array | None) -> None:
    content: dict[str, Any] = {
        "x_test": pixels_of(seed + 1, T10K),
        "x_train": pixels_of(seed, TRAIN),
        "y_train": labels_of(TRAIN),
        "y_test": labels_of(T10K),
    }
    content = {name: array for name, array in {**content, **changed}.items() if array is not None}
    (np.savez_compressed if compressed else np.savez)(folder / "mnist.npz", **content)


def write_npz_compressed(folder: Path, seed: int = 0) -> None:
    write_npz(folder, seed, compressed=True)


MNIST_WRITERS = [write_idx, write_idx_gz, write_mat, write_mat_compressed, write_npz, write_npz_compressed]


def write_cifar10(
    folder: Path, seed: int = 0, *, names: tuple[str, ...] = ("data_batch_1", "test_batch")
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for offset, name in enumerate(names):
        pixels = np.random.default_rng(seed + offset).integers(0, 256, (5, 3072), dtype=np.uint8)
        (folder / f"{name}.bin").write_bytes(np.column_stack([labels_of(5), pixels]).tobytes())


def find_mnist(folder: Path) -> Source | None:
    return find_source("mnist", folder, named=True)


def find_cifar10(folder: Path) -> Source | None:
    return find_source("cifar10", folder, named=False)


def found(source: Source | None) -> Source:
    assert source is not None
    return source


def refusal_of(find: Callable[[Path], Source | None], folder: Path) -> str:
    """Return the one line with which `folder` is refused when it is measured or, if not then, when read."""
    with pytest.raises(ConfigError) as refusal:
        found(find(folder)).read()
    message = str(refusal.value)
    assert "\n" not in message
    return message


def measure(name: str, data_dir: Path | None) -> tuple[int, int, int, int]:
    return datasets.check(
        name,
        data_dir=data_dir and str(data_dir),
        train_size=1,
        test_size=1,
        split="test",
        validation_size=None,
    )


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    folder = tmp_path / "mnist"
    folder.mkdir()
    return folder


class TestFormats:
    @pytest.mark.parametrize("write", MNIST_WRITERS)
    def test_every_form_of_mnist_gives_the_same_images(
        self, mnist: Path, write: Callable[[Path], None]
    ) -> None:
        write(mnist)
        source = found(find_mnist(mnist))
        pixels, labels = source.read()
        assert source.shape == pixels.shape == (TRAIN + T10K, 1, 28, 28)
        assert source.classes == 10
        assert pixels.dtype == np.uint8
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(pixels[:, 0], np.concatenate([pixels_of(0, TRAIN), pixels_of(1, T10K)]))
        np.testing.assert_array_equal(labels, np.concatenate([labels_of(TRAIN), labels_of(T10K)]))

    @pytest.mark.parametrize(("part", "seed", "count"), [("train", 0, TRAIN), ("t10k", 1, T10K)])
    def test_one_part_of_the_idx_files_is_enough(self, mnist: Path, part: str, seed: int, count: int) -> None:
        write_idx(mnist, parts=(part,))
        pixels, labels = found(find_mnist(mnist)).read()
        np.testing.assert_array_equal(pixels[:, 0], pixels_of(seed, count))
        np.testing.assert_array_equal(labels, labels_of(count))

    def test_idx_files_plain_and_gzipped_go_together(self, mnist: Path) -> None:
        write_idx(mnist, parts=("train",), gz=True)
        write_idx(mnist, parts=("t10k",))
        assert found(find_mnist(mnist)).shape[0] == TRAIN + T10K

    def test_a_gzip_file_written_in_parts_is_read(self, mnist: Path) -> None:
        write_idx(mnist, gz=True)
        path = mnist / "train-images-idx3-ubyte.gz"
        content = gzip.decompress(path.read_bytes())
        path.write_bytes(gzip.compress(content[:3000]) + gzip.compress(content[3000:]))
        pixels, _ = found(find_mnist(mnist)).read()
        np.testing.assert_array_equal(pixels[:TRAIN, 0], pixels_of(0, TRAIN))

    def test_first_mat_then_idx_plain_then_gz_then_npz(self, mnist: Path) -> None:
        def first_image() -> Array:
            return found(find_mnist(mnist)).read()[0][0, 0]

        for seed, write in ((30, write_npz), (20, write_idx_gz), (10, write_idx), (0, write_mat)):
            write(mnist, seed)
            np.testing.assert_array_equal(first_image(), pixels_of(seed, TRAIN)[0])

    @pytest.mark.parametrize("compressed", [False, True])
    @pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
    def test_a_mat_file_is_read_as_scipy_reads_it(self, mnist: Path, dtype: Any, compressed: bool) -> None:
        # The cell array is in the file as mldata.org served it; empty, text and complex ones may be in yours.
        extra = {
            "mldata_descr_ordering": np.array([["label", "data"]], dtype=object),
            "a": np.zeros((0, 3)),
            "b": "text",
            "c": np.array([[1j]]),
            "d": np.array([[1, 2, 3]], np.uint8),
        }
        data = np.asfortranarray(pixels_of(5, 9).reshape(9, 784).T.astype(dtype))
        write_mat(mnist, compressed=compressed, **extra, data=data, label=labels_of(9)[None].astype(dtype))
        pixels, labels = found(find_mnist(mnist)).read()
        reference = loadmat(mnist / "mnist-original.mat")
        np.testing.assert_array_equal(pixels.reshape(9, 784).T, reference["data"])
        np.testing.assert_array_equal(labels, reference["label"][0])

    def test_nothing_there_is_nothing_found(self, mnist: Path) -> None:
        assert find_mnist(mnist) is None
        assert find_mnist(mnist / "absent") is None

    @pytest.mark.parametrize("subfolder", ["", "cifar-10-batches-bin"])
    def test_cifar10_is_read_in_either_folder(self, tmp_path: Path, subfolder: str) -> None:
        write_cifar10(tmp_path / subfolder)
        source = find_cifar10(tmp_path)
        pixels, labels = source.read()
        assert source.shape == pixels.shape == (10, 3, 32, 32)
        # A record is the label and then 1024 red, 1024 green and 1024 blue values, row by row.
        record = (tmp_path / subfolder / "data_batch_1.bin").read_bytes()[3073 : 2 * 3073]
        assert labels[1] == record[0]
        assert pixels[1, 2, 5, 7] == record[1 + 2 * 1024 + 5 * 32 + 7]
        np.testing.assert_array_equal(labels, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4])

    def test_cifar10_joins_its_batches_in_order(self, tmp_path: Path) -> None:
        write_cifar10(tmp_path, names=("test_batch", "data_batch_5", "data_batch_2"))
        assert [path.stem for path in find_cifar10(tmp_path).files] == [
            "data_batch_2",
            "data_batch_5",
            "test_batch",
        ]


def write_real_or_stand_in(kind: str, folder: Path) -> None:
    if kind == "real":
        folder.symlink_to(REAL)
    else:
        folder.mkdir()
        write_idx(folder, parts=("t10k",), gz=True)


# The real files are one more case where they lie beside the checkout; the stand-in runs everywhere.
@pytest.mark.parametrize("kind", ["stand-in", "real"] if REAL.is_dir() else ["stand-in"])
def test_mnist_from_its_files_is_what_is_in_them(tmp_path: Path, kind: str) -> None:
    write_real_or_stand_in(kind, tmp_path / "mnist")
    raw = gzip.decompress((tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    raw_labels = gzip.decompress((tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    count = len(raw_labels)
    images = datasets.load(
        "mnist",
        data_dir=str(tmp_path),
        train_size=count - 3,
        test_size=3,
        data_seed=0,
        split="test",
        validation_size=None,
    )
    assert measure("mnist", tmp_path) == (1, 28, 28, 10)
    x = np.concatenate([images.train_x, images.test_x]).reshape(count, 784)
    y = np.concatenate([images.train_y, images.test_y])
    read = {
        (np.rint(image * 255).astype(np.uint8).tobytes(), int(label))
        for image, label in zip(x, y, strict=True)
    }
    assert read == {(raw[784 * i : 784 * (i + 1)], raw_labels[i]) for i in range(count)}
    assert len(read) == count
    assert x.dtype == np.float32
    assert (x.min(), x.max()) == (0, 1)


class TestDamage:
    @pytest.mark.parametrize(
        ("write", "files"),
        [
            (write_idx, ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]),
            (write_idx_gz, ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]),
            (write_mat, ["mnist-original.mat"]),
            (write_mat_compressed, ["mnist-original.mat"]),
            (write_npz, ["mnist.npz"]),
            (write_npz_compressed, ["mnist.npz"]),
        ],
    )
    def test_a_file_cut_anywhere_is_refused_by_name(
        self, mnist: Path, write: Callable[[Path], None], files: list[str]
    ) -> None:
        write(mnist)
        for name in files:
            whole = (mnist / name).read_bytes()
            for length in {*range(0, min(len(whole), 300), 7), *range(0, len(whole), 997), len(whole) - 1}:
                (mnist / name).write_bytes(whole[:length])
                assert name in refusal_of(find_mnist, mnist)
            (mnist / name).write_bytes(whole)
            found(find_mnist(mnist)).read()

    @pytest.mark.parametrize("write", MNIST_WRITERS)
    def test_flipped_bytes_never_escape_as_another_exception(
        self, mnist: Path, write: Callable[[Path], None]
    ) -> None:
        write(mnist)
        rng = np.random.default_rng(0)
        refused = 0
        for path in sorted(mnist.iterdir()):
            whole = path.read_bytes()
            for _ in range(60):
                damaged = bytearray(whole)
                # Among the first bytes too, where the headers are.
                for limit in (len(whole), min(len(whole), 300)):
                    damaged[rng.integers(limit)] = rng.integers(256)
                path.write_bytes(damaged)
                try:
                    found(find_mnist(mnist)).read()
                except ConfigError:
                    refused += 1
            path.write_bytes(whole)
        assert refused

    @pytest.mark.parametrize(
        ("write", "message"),
        [
            (
                lambda f: (f / "train-images-idx3-ubyte").write_bytes(b"\0\0\x0d\x03" + bytes(12)),
                "00000d03; IDX images",
            ),
            (
                lambda f: (f / "train-labels-idx1-ubyte").write_bytes(b""),
                "starts with nothing; IDX labels start with",
            ),
            (
                lambda f: (f / "train-images-idx3-ubyte").unlink(),
                "found train-labels-idx1-ubyte without train-images",
            ),
            (
                lambda f: (f / "t10k-labels-idx1-ubyte").unlink(),
                "found t10k-images-idx3-ubyte without t10k-labels",
            ),
            (
                lambda f: (f / "t10k-labels-idx1-ubyte").write_bytes(
                    (f / "train-labels-idx1-ubyte").read_bytes()
                ),
                "found 12 labels; expected 8, one for each of t10k-images-idx3-ubyte",
            ),
            (
                lambda f: (f / "t10k-labels-idx1-ubyte").write_bytes(
                    b"\0\0\x08\x01\0\0\0\x08" + bytes([10] * 8)
                ),
                "found label 10; expected class numbers from 0 to 9",
            ),
            (
                lambda f: (f / "t10k-images-idx3-ubyte").write_bytes(
                    b"\0\0\x08\x03\0\0\0\x08\0\0\0\x02\0\0\0\x02" + bytes(32)
                ),
                r"found images \(1, 2, 2\); expected \(1, 28, 28\) as in",
            ),
            (
                lambda f: (f / "train-images-idx3-ubyte").write_bytes(
                    (f / "train-images-idx3-ubyte").read_bytes() + b"x"
                ),
                r"found 9425 bytes unpacked; its header says \(12, 28, 28\), which takes 9424",
            ),
        ],
    )
    def test_idx_files_that_do_not_fit_are_refused(
        self, mnist: Path, write: Callable[[Path], object], message: str
    ) -> None:
        write_idx(mnist)
        write(mnist)
        with pytest.raises(ConfigError, match=message):
            found(find_mnist(mnist)).read()

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            (
                {"data": np.zeros((100, 20), np.uint8)},
                r"found data \(100, 20\), label \(1, 20\); expected data \(784, N\)",
            ),
            ({"label": np.zeros((1, 3))}, r"found data \(784, 20\), label \(1, 3\); expected"),
            ({"label": np.full((1, 20), 11.0)}, "found label 11; expected class numbers from 0 to 9"),
            ({"label": np.full((1, 20), 0.5)}, "a label has fractions"),
            (
                {"data": np.full((784, 20), 300.0)},
                r"data goes from 300.0 to 300.0; expected whole numbers from 0",
            ),
            ({"data": np.full((784, 20), np.nan)}, "data goes from nan to nan"),
            ({"data": np.full((784, 20), "a")}, r"found label \(1, 20\); expected data"),
        ],
    )
    def test_a_mat_file_of_something_else_is_refused(
        self, mnist: Path, changed: dict[str, Array], message: str
    ) -> None:
        write_mat(mnist, **changed)
        with pytest.raises(ConfigError, match=message):
            found(find_mnist(mnist)).read()

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            (
                {"y_test": None},
                r"found x_test \(8, 28, 28\), .* expected x_test \(N, H, W\) and y_test \(N,\)",
            ),
            ({"y_train": labels_of(3)}, r"y_train \(3,\), .* expected x_train"),
            ({"x_test": pixels_of(0, T10K, side=5)}, "expected images of one size"),
            ({"x_test": pixels_of(0, T10K).astype(object)}, r"mnist\.npz: not an \.npz file, or damaged"),
            ({"y_test": np.full(T10K, -1)}, "a label goes from -1 to -1"),
        ],
    )
    def test_an_npz_file_of_something_else_is_refused(
        self, mnist: Path, changed: dict[str, Array | None], message: str
    ) -> None:
        write_npz(mnist, **changed)
        with pytest.raises(ConfigError, match=message):
            found(find_mnist(mnist)).read()

    def test_a_damaged_form_is_not_passed_over_for_the_next(self, mnist: Path) -> None:
        write_npz(mnist)
        (mnist / "mnist-original.mat").write_bytes(b"not one")
        assert "mnist-original.mat" in refusal_of(find_mnist, mnist)

    def test_cifar10_files_that_are_not_whole_records_are_refused(self, tmp_path: Path) -> None:
        write_cifar10(tmp_path)
        path = tmp_path / "test_batch.bin"
        whole = path.read_bytes()
        for content in (whole[:-1], b"", whole[:1]):
            path.write_bytes(content)
            message = refusal_of(find_cifar10, tmp_path)
            assert f"{path}: found {len(content)} bytes; expected a multiple of 3073" in message
        path.write_bytes(b"\x0a" + whole[1:])
        assert "found label 10; expected class numbers from 0 to 9" in refusal_of(find_cifar10, tmp_path)

    def test_cifar10_without_files_says_which_go_where(self, tmp_path: Path) -> None:
        with pytest.raises(
            ConfigError, match=r"data_batch_1.bin to .*cifar10, found none; unpack the binary version"
        ):
            measure("cifar10", tmp_path)

    def test_a_truncated_file_is_refused_before_it_is_read(self, mnist: Path) -> None:
        write_idx_gz(mnist)
        path = mnist / "train-images-idx3-ubyte.gz"
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(ConfigError, match=r"train-images-idx3-ubyte\.gz: damaged gzip file"):
            measure("mnist", mnist.parent)

    def test_a_file_that_cannot_be_read_is_told_in_one_line(
        self, mnist: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_idx(mnist)

        def refuse(path: Path, *_: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        # chmod would not stop a test that runs as root.
        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(
            ConfigError, match=r"train-images-idx3-ubyte: cannot be read \(Permission denied\)"
        ):
            measure("mnist", mnist.parent)

    def test_too_few_images_are_refused_with_the_numbers(self, mnist: Path) -> None:
        write_idx(mnist)
        with pytest.raises(
            ConfigError, match=r"15 \+ test_size 6 = 21 images, but mnist has 20 in .*mnist; write"
        ):
            datasets.check(
                "mnist",
                data_dir=str(mnist.parent),
                train_size=15,
                test_size=6,
                split="test",
                validation_size=None,
            )


class TestFolders:
    @pytest.fixture(autouse=True)
    def _no_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for variable in ("CNN_CORE_DATA", "XDG_CACHE_HOME"):
            monkeypatch.delenv(variable, raising=False)

    def test_first_data_dir_then_the_variable_then_the_cache(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        named, variable, cache = (tmp_path / name for name in ("named", "variable", "cache"))
        named.mkdir()
        variable.mkdir()
        monkeypatch.setattr(folders, "cache_directory", lambda: cache)
        assert folders.find_folder("mnist", None) == cache / "mnist"
        monkeypatch.setenv("CNN_CORE_DATA", "")
        assert folders.find_folder("mnist", None) == cache / "mnist"
        monkeypatch.setenv("CNN_CORE_DATA", str(variable))
        assert folders.find_folder("mnist", None) == variable / "mnist"
        assert folders.find_folder("mnist", str(named)) == named / "mnist"

    @pytest.mark.parametrize(
        ("platform", "xdg", "expected"),
        [
            ("linux", None, "home/.cache/cnn_core"),
            ("linux", "", "home/.cache/cnn_core"),
            ("linux", "relative", "home/.cache/cnn_core"),
            ("linux", "/else", "/else/cnn_core"),
            ("darwin", None, "home/Library/Caches/cnn_core"),
            ("darwin", "/else", "home/Library/Caches/cnn_core"),
        ],
    )
    def test_the_cache_is_where_the_system_keeps_caches(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, xdg: str | None, expected: str
    ) -> None:
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        if xdg is not None:
            monkeypatch.setenv("XDG_CACHE_HOME", xdg)
        assert folders.cache_directory() == tmp_path / expected

    def test_a_relative_data_dir_and_one_at_home_are_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "data").mkdir()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert folders.find_folder("mnist", "data") == tmp_path / "data" / "mnist"
        assert folders.find_folder("mnist", "~/data") == tmp_path / "data" / "mnist"

    def test_a_named_directory_that_is_not_one_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        for name, message in (
            ("absent", "absent must be a directory, found nothing; create it"),
            ("file", "file must be a directory, found a file"),
        ):
            with pytest.raises(ConfigError, match=f"data_dir: .*{message}"):
                measure("mnist", tmp_path / name)
            monkeypatch.setenv("CNN_CORE_DATA", str(tmp_path / name))
            with pytest.raises(ConfigError, match=f"CNN_CORE_DATA: .*{message}"):
                measure("cifar10", None)
        with pytest.raises(
            ConfigError, match="data_dir: ~nobody-of-that-name/x names the home of an unknown user"
        ):
            datasets.fingerprint("mnist", data_dir="~nobody-of-that-name/x")

    def test_a_data_dir_that_is_no_path_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="data_dir must be a path, found 3; write a string"):
            datasets.fingerprint("mnist", data_dir=3)  # type: ignore[arg-type]

    def test_the_digits_need_no_directory(self, tmp_path: Path) -> None:
        assert measure("digits", tmp_path / "absent") == (1, 28, 28, 10)


class TestFingerprint:
    @pytest.mark.parametrize("write", MNIST_WRITERS)
    def test_it_follows_the_content_and_not_the_path(
        self, tmp_path: Path, write: Callable[..., None]
    ) -> None:
        def fingerprint(root: str, seed: int) -> str:
            folder = tmp_path / root / "mnist"
            folder.mkdir(parents=True)
            write(folder, seed)
            return datasets.fingerprint("mnist", data_dir=str(tmp_path / root))

        # A .mat file opens with the time at which it was written: only a copy has the same content.
        first = fingerprint("a", 0)
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy" / "mnist").symlink_to(tmp_path / "a" / "mnist")
        assert datasets.fingerprint("mnist", data_dir=str(tmp_path / "copy")) == first
        assert fingerprint("b", 1) != first

    def test_it_follows_every_file_in_use_and_no_other(self, tmp_path: Path) -> None:
        def fingerprint(root: str, names: tuple[str, ...]) -> str:
            write_cifar10(tmp_path / root / "cifar10", names=names)
            (tmp_path / root / "cifar10" / "readme.html").write_text(root)
            return datasets.fingerprint("cifar10", data_dir=str(tmp_path / root))

        one = fingerprint("one", ("data_batch_1",))
        assert fingerprint("again", ("data_batch_1",)) == one
        assert fingerprint("two", ("data_batch_1", "test_batch")) != one

    def test_the_digits_have_one_too(self, tmp_path: Path) -> None:
        assert len(datasets.fingerprint("digits", data_dir=None)) == 64
        assert datasets.fingerprint("digits", data_dir=str(tmp_path)) == datasets.fingerprint(
            "digits", data_dir=None
        )

    def test_files_are_hashed_once_a_process(self, mnist: Path) -> None:
        write_idx(mnist)
        first = datasets.fingerprint("mnist", data_dir=str(mnist.parent))
        for path in mnist.iterdir():
            path.unlink()
        assert datasets.fingerprint("mnist", data_dir=str(mnist.parent)) == first


class TestDownload:
    @pytest.fixture
    def calls(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
        """Replace what uses the network: scikit-learn's function, answering as it does."""
        calls: list[dict[str, Any]] = []

        def fetch_openml(name: str, **options: Any) -> tuple[Array, Array]:
            calls.append({"name": name, **options})
            pixels = np.zeros((70_000, 784))
            pixels[0, 28 * 3 + 5] = 255
            pixels[60_000, 28 * 9 + 1] = 7
            return pixels, (np.arange(70_000) % 10).astype(str).astype(object)

        monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
        return calls

    def test_what_is_not_there_is_downloaded_by_name_told_and_kept(
        self, mnist: Path, calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        root = str(mnist.parent)
        assert measure("mnist", mnist.parent) == (1, 28, 28, 10)
        assert calls == [], "measuring does not download"
        first = datasets.fingerprint("mnist", data_dir=root)
        (call,) = calls
        assert (call["name"], call["version"]) == ("mnist_784", 1)
        output = capsys.readouterr()
        assert output.out == ""
        assert f"no files in {mnist}; downloading mnist_784 from OpenML" in output.err
        assert [path.name for path in mnist.iterdir()] == ["mnist.npz"]
        # Kept in order and in a form that is found: the next process needs no network.
        pixels, labels = found(find_mnist(mnist)).read()
        assert pixels.shape == (70_000, 1, 28, 28)
        assert (pixels[0, 0, 3, 5], pixels[60_000, 0, 9, 1], int(pixels.sum(dtype=int))) == (255, 7, 262)
        np.testing.assert_array_equal(labels, np.arange(70_000) % 10)
        script = f"from cnn_core import datasets; print(datasets.fingerprint('mnist', data_dir={root!r}))"
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert (run.stdout.strip(), run.stderr) == (first, "")

    def test_the_cache_directory_is_made_for_it(
        self, tmp_path: Path, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("CNN_CORE_DATA", raising=False)
        monkeypatch.setattr(folders, "cache_directory", lambda: tmp_path / "not" / "yet")
        datasets.fingerprint("mnist", data_dir=None)
        assert (tmp_path / "not" / "yet" / "mnist" / "mnist.npz").is_file()
        assert len(calls) == 1

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (URLError("no route to host"), "no route to host"),
            (TimeoutError("timed out\nat last"), "timed out"),
            (ValueError("md5 checksum does not match"), "md5 checksum"),
            (IncompleteRead(b"abc"), "IncompleteRead"),
        ],
    )
    def test_a_download_that_fails_is_one_line_and_leaves_nothing(
        self, mnist: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
    ) -> None:
        def fetch_openml(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
        message = refusal_of(lambda folder: files.source_of("mnist", folder), mnist)
        assert reason in message
        assert f"put MNIST's IDX files, mnist.npz or mnist-original.mat into {mnist} by hand" in message
        assert list(mnist.iterdir()) == []

    def test_without_scikit_learn_it_is_said_what_to_install(
        self, mnist: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
        message = refusal_of(lambda folder: files.source_of("mnist", folder), mnist)
        assert "pip install 'gridrun[cnn]', or put MNIST's IDX files" in message
        assert list(mnist.iterdir()) == []

    def test_an_answer_of_another_size_is_refused(self, mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        answer = np.zeros((10, 784)), np.zeros(10)
        monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda *_, **__: answer)
        with pytest.raises(ConfigError, match=r"found images \(10, 784\), expected \(70000, 784\)"):
            datasets.fingerprint("mnist", data_dir=str(mnist.parent))

    def test_a_disk_that_fills_up_leaves_no_half_file(
        self, mnist: Path, calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def savez(file: Any, **_: Array) -> None:
            file.write(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "savez", savez)
        with pytest.raises(ConfigError, match="No space left on device"):
            datasets.fingerprint("mnist", data_dir=str(mnist.parent))
        assert len(calls) == 1
        assert list(mnist.iterdir()) == []

    def test_a_folder_that_cannot_be_written_is_refused_before_the_download(
        self, tmp_path: Path, calls: list[dict[str, Any]]
    ) -> None:
        (tmp_path / "mnist").touch()
        with pytest.raises(
            ConfigError, match=r"cannot be written to \(File exists\); set data_dir or CNN_CORE_DATA"
        ):
            openml.download_mnist(tmp_path / "mnist")
        assert calls == []
