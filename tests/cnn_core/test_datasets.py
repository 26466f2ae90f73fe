"""What is drawn from a dataset: shown on the digits, which need no file."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

from cnn_core import datasets
from cnn_core.config import ConfigError
from cnn_core.datasets import Images

CHECKED: dict[str, Any] = {
    "data_dir": None,
    "train_size": 600,
    "test_size": 1000,
    "split": "test",
    "validation_size": None,
}


def load(name: str = "digits", **arguments: Any) -> Images:
    return datasets.load(name, **{**CHECKED, "data_seed": 0, **arguments})


def check(name: str = "digits", **arguments: Any) -> tuple[int, int, int, int]:
    return datasets.check(name, **{**CHECKED, **arguments})


def bytes_of(x: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in x}


@pytest.fixture(scope="module")
def every_digit() -> Images:
    return load(train_size=1796, test_size=1)


def test_the_arrays_are_as_promised() -> None:
    images = load(split="validation")
    for x, y, count in (
        (images.train_x, images.train_y, 480),
        (images.held_x, images.held_y, 120),
        (images.test_x, images.test_y, 1000),
    ):
        assert (x.shape, x.dtype, x.flags.c_contiguous) == ((count, 1, 28, 28), np.float32, True)
        assert (y.shape, y.dtype) == ((count,), np.int32)
        assert x.min() == 0
        assert x.max() == 1
        assert set(y) == set(range(10))
        for array in (x, y):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
    assert images.classes == 10
    assert check() == (1, 28, 28, 10)


def test_the_digits_are_those_of_scikit_learn_enlarged_and_framed(every_digit: Images) -> None:
    x = np.concatenate([every_digit.train_x, every_digit.test_x])
    y = np.concatenate([every_digit.train_y, every_digit.test_y])
    original = load_digits()
    # SciPy as the outside reference: linear, and with grid_mode the centres aligned as ours are.
    large = zoom(original.images / 16, (1, 2.5, 2.5), order=1, mode="nearest", grid_mode=True)
    framed = np.pad(large, ((0, 0), (4, 4), (4, 4)))
    # The order is the shuffle's, so each image looks for its nearest among the originals.
    flat, reference = x.reshape(len(x), -1), framed.reshape(len(x), -1)
    nearest = np.argmin((reference**2).sum(1) - 2 * flat @ reference.T, axis=1)
    assert sorted(nearest) == list(range(1797))
    np.testing.assert_allclose(flat, reference[nearest], atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(y, original.target[nearest])


def test_the_same_arguments_return_the_same_arrays_and_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(train_size=599)

    def fail(*_: object) -> None:
        raise AssertionError("read twice")

    monkeypatch.setattr("cnn_core.datasets.digits._read", fail)
    assert load(train_size=599).train_x is first.train_x
    assert len(load(train_size=598).train_x) == 598


def test_drawn_sets_do_not_pile_up_in_memory() -> None:
    first = load(data_seed=100)
    for data_seed in range(101, 110):
        load(data_seed=data_seed)
    again = load(data_seed=100)
    assert again is not first
    np.testing.assert_array_equal(again.train_x, first.train_x)


def test_data_seed_decides_which_images_are_drawn() -> None:
    first, other = load(data_seed=0), load(data_seed=1)
    assert not np.array_equal(first.train_x, other.train_x)
    assert not np.array_equal(first.test_x, other.test_x)


def test_another_process_draws_the_same_images() -> None:
    script = f"""
from cnn_core import datasets
print(datasets.load("digits", data_seed=0, **{CHECKED}).train_y.tolist())
"""
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == str(load().train_y.tolist())


def test_no_image_is_both_trained_and_tested_on(every_digit: Images) -> None:
    assert not bytes_of(every_digit.train_x) & bytes_of(every_digit.test_x)
    images = load()
    assert not bytes_of(images.train_x) & bytes_of(images.test_x)
    # All 1797 are different images, so that these tests could fail.
    assert len(bytes_of(every_digit.train_x) | bytes_of(every_digit.test_x)) == 1797


@pytest.mark.parametrize(("validation_size", "held"), [(None, 120), (1, 1), (599, 599)])
def test_validation_holds_out_training_images_and_leaves_the_test_images(
    validation_size: int | None, held: int
) -> None:
    on_test = load(split="test")
    images = load(split="validation", validation_size=validation_size)
    assert len(images.held_x) == held
    np.testing.assert_array_equal(np.concatenate([images.train_x, images.held_x]), on_test.train_x)
    np.testing.assert_array_equal(np.concatenate([images.train_y, images.held_y]), on_test.train_y)
    np.testing.assert_array_equal(images.test_x, on_test.test_x)
    parts = [bytes_of(x) for x in (images.train_x, images.held_x, images.test_x)]
    assert not parts[0] & parts[1]
    assert not parts[1] & parts[2]
    assert not parts[0] & parts[2]


@pytest.mark.parametrize(("folds", "train_size"), [(2, 600), (5, 600), (5, 601), (7, 97), (30, 30)])
def test_folds_share_out_the_training_images_by_class_and_leave_the_test_images(
    folds: int, train_size: int
) -> None:
    on_test = load(train_size=train_size)
    parts = [load(train_size=train_size, split="folds", folds=folds, fold=fold) for fold in range(folds)]
    held = [bytes_of(images.held_x) for images in parts]
    assert set.union(*held) == bytes_of(on_test.train_x)
    assert sum(map(len, held)) == train_size  # each image in one fold
    for images, own in zip(parts, held, strict=True):
        assert bytes_of(images.train_x) == bytes_of(on_test.train_x) - own
        np.testing.assert_array_equal(images.test_x, on_test.test_x)
        rows = {image.tobytes(): label for image, label in zip(on_test.train_x, on_test.train_y, strict=True)}
        assert [rows[image.tobytes()] for image in images.held_x] == images.held_y.tolist()
        assert [rows[image.tobytes()] for image in images.train_x] == images.train_y.tolist()
    for label in range(10):
        counts = [(images.held_y == label).sum() for images in parts]
        assert max(counts) - min(counts) <= 1
    sizes = [len(images.held_y) for images in parts]
    assert max(sizes) - min(sizes) <= 1


def test_folds_within_an_outer_fold_leave_its_images_to_a_run_without_a_fold() -> None:
    plain = [load(train_size=100, split="folds", folds=4, fold=fold) for fold in range(4)]
    for outer in range(4):
        whole = load(train_size=100, split="folds", outer_folds=4, outer=outer)
        np.testing.assert_array_equal(whole.held_x, plain[outer].held_x)
        np.testing.assert_array_equal(whole.train_x, plain[outer].train_x)
        parts = [
            load(train_size=100, split="folds", outer_folds=4, outer=outer, folds=3, fold=fold)
            for fold in range(3)
        ]
        held = [bytes_of(images.held_x) for images in parts]
        assert set.union(*held) == bytes_of(whole.train_x)
        assert sum(map(len, held)) == 75
        for images, own in zip(parts, held, strict=True):
            assert bytes_of(images.train_x) == bytes_of(whole.train_x) - own
            np.testing.assert_array_equal(images.test_x, whole.test_x)


def test_split_test_selects_on_the_test_images() -> None:
    images = load(split="test")
    assert np.shares_memory(images.held_x, images.test_x)
    np.testing.assert_array_equal(images.held_x, images.test_x)
    np.testing.assert_array_equal(images.held_y, images.test_y)


def test_all_images_can_be_drawn(every_digit: Images) -> None:
    assert len(every_digit.train_x) + len(every_digit.test_x) == 1797


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "mnits"}, r"dataset must be \"digits\" or \"mnist\" or \"cifar10\", found 'mnits'"),
        (
            {"split": "train"},
            'split must be "test" or "validation" or "folds" or "official", found \'train\'',
        ),
        ({"train_size": 798}, r"train_size 798 \+ test_size 1000 = 1798 images, but digits has 1797; write"),
        ({"train_size": 0}, "train_size must be a whole number of at least 1, found 0"),
        ({"test_size": -1}, "test_size must be a whole number of at least 1, found -1"),
        ({"test_size": True}, "test_size must be a whole number of at least 1, found True"),
        ({"test_size": 10.0}, "test_size must be a whole number of at least 1, found 10.0"),
        (
            {"split": "validation", "validation_size": 600},
            "validation_size is 600, but .* fewer than train_size 600",
        ),
        ({"split": "validation", "validation_size": 0}, "validation_size is 0, but .* at least 1"),
        (
            {"split": "validation", "validation_size": 0.2},
            "validation_size must be a whole number, found 0.2",
        ),
        ({"split": "validation", "train_size": 4}, "a fifth of train_size 4 is 0, but"),
        ({"validation_size": 100}, 'validation_size 100 has no meaning with split = "test"; remove it'),
        ({"fold": 0}, 'fold 0 has no meaning with split = "test"; remove it, or write split = "folds"'),
        ({"folds": 5, "split": "validation"}, 'folds 5 has no meaning with split = "validation"; remove it'),
        ({"split": "folds", "validation_size": 9}, 'validation_size 9 has no meaning with split = "folds"'),
        ({"split": "folds", "folds": 1, "fold": 0}, "folds must be .* from 2 to train_size 600, found 1"),
        ({"split": "folds", "folds": True, "fold": 0}, "folds must be .*, found True; write 5"),
        ({"split": "folds", "folds": 601, "fold": 0}, "folds must be .* to train_size 600, found 601"),
        ({"split": "folds"}, r"from 0 to 4 with folds 5, found none; .* write fold = \[0, 1, 2, 3, 4\]"),
        ({"outer": 0}, 'outer 0 has no meaning with split = "test"; remove it, or write split = "folds"'),
        ({"split": "folds", "outer": 5}, "outer must be .* from 0 to 4 with outer_folds 5, found 5;"),
        ({"split": "folds", "outer_folds": 3, "fold": 0}, "outer must be .* with outer_folds 3, found none;"),
        ({"split": "folds", "outer": 0, "fold": 7}, "fold must be .* from 0 to 4 with folds 5, found 7;"),
        (
            {"split": "folds", "outer": 0, "folds": 481, "fold": 0},
            "folds must be .* from 2 to the 480 images that outer folds leave, found 481",
        ),
        ({"split": "folds", "fold": 5}, "fold must be a whole number from 0 to 4 with folds 5, found 5;"),
        ({"split": "folds", "fold": 1.0}, "fold must be .* from 0 to 4 with folds 5, found 1.0;"),
    ],
)
def test_a_draw_that_cannot_be_made_is_refused(arguments: dict[str, Any], message: str) -> None:
    for function in (check, load):
        with pytest.raises(ConfigError, match=message) as refusal:
            function(**arguments)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("data_seed", [-1, 0.5, True])
def test_a_data_seed_that_is_not_one_is_refused(data_seed: object) -> None:
    with pytest.raises(ConfigError, match="data_seed must be a whole number of at least 0, found"):
        load(data_seed=data_seed)


def test_check_and_fingerprint_import_nothing_heavy() -> None:
    script = f"""
import sys
from cnn_core import datasets
datasets.check("digits", **{CHECKED})
datasets.fingerprint("digits", data_dir=None)
print(sorted({{"sklearn", "scipy.linalg", "numba", "pandas"}} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
