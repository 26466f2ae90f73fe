"""The code of docs/layers.md runs, and does what the page says."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnn_core.config import CHOICES, OPTIONAL, SIZES, USED_BY, Config
from cnn_core.scores import SCORES

PAGE = Path(__file__).parents[2] / "docs" / "layers.md"


def test_the_page_on_layers_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    rng = np.random.default_rng(0)
    names: dict[str, Any] = {
        "__name__": "page", "images": rng.random((20, 1, 28, 28)), "labels": rng.integers(10, size=20)
    }  # fmt: skip
    for block in blocks:
        exec(block, names)
    assert len(capsys.readouterr().out.split()) == 2
    assert names["classes"].shape == (20,)

    layer, x, step = names["Softplus"](), rng.standard_normal((3, 4)), 1e-6
    slope = (layer.forward(x + step) - layer.forward(x - step)) / (2 * step)
    np.testing.assert_allclose(layer.backward(np.ones_like(x), x), slope, rtol=1e-6)
    list(names["Network"]([layer, *names["layers"]], (1, 28, 28)).train(
        names["images"], names["labels"], names["Adam"](), rate=0.01
    ))  # fmt: skip


def test_the_page_quotes_the_refusal_as_it_is() -> None:
    from cnn_core import ConfigError, Network
    from cnn_core.layers import Conv2d, Linear

    with pytest.raises(ConfigError) as refusal:
        Network([Conv2d(6, 5), Linear(10, gain=1.41)], (1, 28, 28))
    assert f"`{refusal.value}`" in PAGE.read_text()


def test_the_page_names_each_choice_of_a_configuration() -> None:
    said = set(re.findall(r"`(\w+)`", PAGE.read_text()))
    for name, values in CHOICES.items():
        assert {name, *values} <= said, name
    assert {name for name, _ in USED_BY.items()} <= said
    others = "weight_decay", "l1", "warmup_epochs", "global_pool", "mixup", "members", "average", "metrics"
    augment = {name for name in Config.__dataclass_fields__ if name.startswith("augment_")}
    assert {*SIZES, *OPTIONAL, *others, *augment} - {"conv_channels"} <= said
    assert set(SCORES) <= set(re.findall(r"\w+", PAGE.read_text()))
