"""What is done to training images: held to SciPy, to its own inverse, and to mixup as it is defined."""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from cnn_core import augmentation
from cnn_core.scores import softmax

NONE = {"shift": 0.0, "rotate": 0.0, "scale": 0.0}
IMAGES = np.random.default_rng(0).random((12, 2, 9, 14), np.float32)


@pytest.mark.parametrize(
    "how", [{"shift": 3.0}, {"rotate": 180.0}, {"scale": 0.5}, {"shift": 2.0, "rotate": 20.0, "scale": 0.2}]
)
def test_images_are_moved_turned_and_scaled_as_scipy_does(how: dict[str, float]) -> None:
    limits = {**NONE, **how}
    found = augmentation.warp(IMAGES, np.random.default_rng(1), **limits)
    rng = np.random.default_rng(1)
    moved = rng.uniform(-limits["shift"], limits["shift"], (12, 2))
    turned = np.radians(rng.uniform(-limits["rotate"], limits["rotate"], 12))
    grown = rng.uniform(1 - limits["scale"], 1 + limits["scale"], 12)
    centre = np.array([4.0, 6.5])
    for n, image in enumerate(IMAGES):
        c, s = np.cos(turned[n]), np.sin(turned[n])
        matrix = np.array([[c, s], [-s, c]]) / grown[n]
        offset = centre - matrix @ (centre + moved[n])
        for channel, own in enumerate(image):
            expected = ndimage.affine_transform(
                own.astype(float), matrix, offset=offset, order=1, mode="grid-constant"
            )
            np.testing.assert_allclose(found[n, channel], expected, atol=1e-5)


def test_with_nothing_to_do_images_stay_bit_for_bit() -> None:
    found = augmentation.warp(IMAGES, np.random.default_rng(1), **NONE)
    assert found.tobytes() == IMAGES.tobytes()


def test_whole_pixels_are_a_plain_shift() -> None:
    class Two:
        def uniform(self, low: float, high: float, size: Any) -> Any:
            return np.full(size, (low + high) / 2) if low + high else np.full(size, high)

    found = augmentation.warp(IMAGES, Two(), shift=2, rotate=0, scale=0)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found[:, :, 2:, 2:], IMAGES[:, :, :-2, :-2])
    assert not found[:, :, :2].any()


def test_noise_has_the_deviation_that_is_asked_for_and_no_mean() -> None:
    noise = augmentation.add_noise(np.zeros((100, 1, 28, 28)), np.random.default_rng(0), 0.25)
    assert noise.dtype == np.float32
    assert noise.std() == pytest.approx(0.25, rel=0.01)
    assert noise.mean() == pytest.approx(0, abs=0.005)


def test_mixing_gives_the_expected_gradient_of_mixup() -> None:
    """Of two images and a linear classifier, over many draws: with labels mixed as defined, and as here."""
    rng, alpha, draws = np.random.default_rng(0), 0.4, 200_000
    x, labels, weight = rng.random((2, 3)), np.array([0, 2]), 3 * rng.standard_normal((3, 3))

    def gradient(mixed: Any, label: int, share: Any = 1.0) -> Any:
        p = softmax(mixed @ weight.T)
        p[:, label] -= 1
        return (share * p).T @ mixed / len(mixed)

    share, defined, kept = rng.beta(alpha, alpha, (draws, 1)), np.zeros((3, 3)), np.zeros((3, 3))
    for first in (0, 1):
        mixed = share * x[first] + (1 - share) * x[1 - first]
        for label, part in ((labels[first], share), (labels[1 - first], 1 - share)):
            defined += gradient(mixed, label, part) / 2
        kept += gradient(mixed, labels[first]) / 2
    alone = sum(gradient(x[[n]], labels[n]) for n in (0, 1)) / 2
    both = np.repeat([0, 1], draws // 2)
    mixed = augmentation.mix(x[both].reshape(draws, 1, 1, 3), rng, alpha).reshape(draws, 3)
    found = sum(gradient(mixed[both == n], labels[n]) for n in (0, 1)) / 2
    # Half of all pairs are an image and itself, and nothing is mixed then.
    np.testing.assert_allclose(found, (defined + alone) / 2, atol=0.003)
    # The share of mixup itself with one label would be something else.
    assert np.abs(found - (kept + alone) / 2).max() > 0.02
