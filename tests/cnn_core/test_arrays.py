"""Arrays of one's own: every layout that can be told apart, and words for the others."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnn_core
from cnn_core import ConfigError
from cnn_core.arrays import arrange

SMALL: dict[str, Any] = {"epochs": 2, "conv_channels": [2], "kernel_size": 3}
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (30, 8, 9), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (30, 3, 8, 9), dtype=np.uint8)
LABELS = np.arange(30) % 3

LAYOUTS: dict[str, tuple[Any, Any, Any]] = {
    "(N, H, W)": (GREY, None, GREY[:, None]),
    "(N, 1, H, W)": (GREY[:, None], None, GREY[:, None]),
    "(N, H, W, 1)": (GREY[..., None], None, GREY[:, None]),
    "(N, C, H, W)": (COLOUR, None, COLOUR),
    "(N, H, W, C)": (COLOUR.transpose(0, 2, 3, 1), None, COLOUR),
    "flat (H, W)": (GREY.reshape(30, -1), (8, 9), GREY[:, None]),
    "flat (1, H, W)": (GREY.reshape(30, -1), [1, 8, 9], GREY[:, None]),
    "flat (C, H, W)": (COLOUR.reshape(30, -1), (3, 8, 9), COLOUR),
    "flat (H, W, C)": (COLOUR.transpose(0, 2, 3, 1).reshape(30, -1), np.array([8, 9, 3]), COLOUR),
    "lists": (GREY.tolist(), None, GREY[:, None]),
    "(N, H, W) and image_shape": (GREY, (8, 9), GREY[:, None]),
    "Fortran's order": (np.asfortranarray(GREY), None, GREY[:, None]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_told_by_its_shape(layout: str) -> None:
    given, image_shape, expected = LAYOUTS[layout]
    np.testing.assert_array_equal(arrange(given, image_shape), expected)


def test_bytes_and_floats_of_any_layout_train_the_same_network() -> None:
    models = [
        cnn_core.fit(images=cnn_core.from_arrays(x, LABELS, x[:6], LABELS[:6]), **SMALL)
        for x in (COLOUR, COLOUR.transpose(0, 2, 3, 1), COLOUR / np.float32(255), COLOUR / 255)
    ]
    for model in models:
        np.testing.assert_array_equal(model.parameters, models[0].parameters)
        assert (model.shape, model.classes, model.config.train_size) == ((3, 8, 9), 3, 30)
    found = models[0].logits(COLOUR)
    np.testing.assert_array_equal(models[0].logits(COLOUR.transpose(0, 2, 3, 1)), found)


def test_arrays_of_the_digits_give_what_the_dataset_gives() -> None:
    images = cnn_core.datasets.load(
        "digits", data_dir=None, train_size=60, test_size=40, data_seed=0, split="test", validation_size=None
    )
    own = cnn_core.from_arrays(images.train_x, images.train_y, images.test_x[:, 0], images.test_y)
    expected = list(cnn_core.train(**SMALL, train_size=60, test_size=40))
    np.testing.assert_equal(list(cnn_core.train(images=own, **SMALL)), expected)


def test_a_training_kept_goes_on_with_the_same_arrays_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnn_core.checkpoint.AFTER_S", 0)
    own = cnn_core.from_arrays(GREY, LABELS, GREY, LABELS)
    whole = list(cnn_core.train(images=own, **SMALL))
    list(cnn_core.train(images=own, output_dir=str(tmp_path), **SMALL | {"epochs": 1}))
    np.testing.assert_equal(list(cnn_core.train(images=own, output_dir=str(tmp_path), **SMALL)), whole)
    other = cnn_core.from_arrays(255 - GREY, LABELS, GREY, LABELS)
    with pytest.raises(ConfigError, match="is a training with other dataset"):
        list(cnn_core.train(images=other, output_dir=str(tmp_path), **SMALL))


@pytest.mark.parametrize(
    ("x", "y", "more", "message"),
    [
        (GREY.reshape(30, -1), LABELS, {}, "images are flat, (30, 72); write image_shape, as in"),
        (GREY.reshape(30, -1)[:, :64], LABELS, {}, "write image_shape, as in image_shape = (8, 8)"),
        (GREY.reshape(30, -1), LABELS, {"image_shape": (8, 8)}, "(8, 8) has 64 pixels, found 72 an image"),
        (GREY, LABELS, {"image_shape": (9, 8)}, "shape (N, 9x8) as image_shape says, found (30, 8, 9)"),
        (GREY, LABELS, {"image_shape": 8}, "image_shape must be (H, W), (C, H, W) or (H, W, C), found 8"),
        (GREY, LABELS, {"classes": 2}, "classes must be a whole number from 3, found 2; write 3"),
        (COLOUR[..., :3], LABELS, {}, "channels may be the second axis or the last, as both have"),
        (np.zeros((30, 8, 8, 8)), LABELS, {}, "as neither has at most 4"),
        (GREY[0, 0], LABELS, {}, "images must have shape (N, H, W) or (N, C, H, W), found (9,)"),
        (GREY[:0], LABELS[:0], {}, "images must be some, found (0, 8, 9)"),
        ([[1], [1, 2]], LABELS, {}, "images must be one array, found a list that is none"),
        (GREY.astype(int), LABELS, {}, "found int64; write images.astype(numpy.uint8) if they are 0..255"),
        (GREY * 1.0, LABELS, {}, "found 0 to 255; divide them by 255, or clip them"),
        (GREY * np.nan, LABELS, {}, "found nan to nan; divide them by 255, or clip them"),
        (GREY, LABELS[:5], {}, "y must have shape (30,), one an image, found (5,)"),
        (GREY, LABELS * 1.0, {}, "y must be whole numbers from 0, found float64; CNNClassifier takes"),
        (GREY, LABELS - 1, {}, "y must be whole numbers from 0, found -1 to 1"),
    ],
)
def test_what_is_no_such_array_is_told_in_one_line(x: Any, y: Any, more: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as refused:
        cnn_core.from_arrays(x, y, x, y, **more)
    assert "\n" not in str(refused.value)


def test_what_names_a_dataset_has_no_meaning_with_arrays() -> None:
    own = cnn_core.from_arrays(GREY, LABELS, GREY, LABELS)
    for name, value in (("dataset", "mnist"), ("train_size", 10), ("split", "folds")):
        with pytest.raises(ConfigError, match=f"{name} has no meaning with images of your own; remove it"):
            cnn_core.train(images=own, **{name: value})
    with pytest.raises(ConfigError, match=r"images must be those of from_arrays\(...\), found ndarray"):
        cnn_core.fit(images=GREY)
    with pytest.raises(ConfigError, match="held_x has images"):
        cnn_core.from_arrays(GREY, LABELS, COLOUR, LABELS)
