"""ONNX files, run by onnxruntime: another program gives the same answers."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnn_core
from cnn_core import ConfigError, layers, onnx_export

RNG = np.random.default_rng(0)
X = RNG.random((20, 2, 12, 13), np.float32)
Y = np.arange(20) % 3

CASES: list[dict[str, Any]] = [
    {},
    {"norm": "none", "activation": "leaky_relu", "stride": 2, "pool": "none"},
    {"norm": "layer", "activation": "tanh", "pool": "average"},
    {"norm": "instance", "norm_at": "all", "activation": "gelu", "hidden": [5]},
    {"norm": "group", "activation": "silu", "pool_size": 3, "global_pool": True, "dropout": "channel"},
    {"members": 3},
]


def fitted(**params: Any) -> cnn_core.Model:
    own = cnn_core.from_arrays(X, Y, X, Y)
    return cnn_core.fit(
        images=own, **{"epochs": 1, "conv_channels": [4, 4], "kernel_size": 3, "padding": 1, **params}
    )


@pytest.mark.slow
@pytest.mark.parametrize("params", CASES, ids=str)
def test_another_program_gives_the_same_answers(tmp_path: Path, params: dict[str, Any]) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    model = fitted(**params)
    onnx_export.export(model, tmp_path / "model.onnx")
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for images in (X, X[:1]):
        found = dict(
            zip([o.name for o in session.get_outputs()], session.run(None, {"images": images}), strict=True)
        )
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(images), atol=2e-6)
        if "logits" in found:
            np.testing.assert_allclose(found["logits"], model.logits(images), atol=1e-4)
    assert ("logits" in found) == (model.config.members == 1)


def test_every_layer_of_a_configuration_has_its_form() -> None:
    assert set(onnx_export.NODES) == set(layers.LAYERS.values())


def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match="written by onnx, which is not installed; pip install onnx"):
        onnx_export.export(fitted(), tmp_path / "model.onnx")
