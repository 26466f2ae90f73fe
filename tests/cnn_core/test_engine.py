"""The whole network: its gradient, its training, its promises of equality."""

import dataclasses
import json
import math
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnn_core
from cnn_core import checkpoint
from cnn_core.config import Config

SMALL = {"train_size": 100, "test_size": 100}


def test_a_shorter_run_is_the_beginning_of_a_longer_one_bit_for_bit() -> None:
    for batch_size in (3, 30):
        short = list(cnn_core.train(epochs=2, batch_size=batch_size, **SMALL))
        long = list(cnn_core.train(epochs=5, batch_size=batch_size, **SMALL))
        np.testing.assert_equal(short, long[:2])


def test_the_same_parameters_give_the_same_bits_in_another_process() -> None:
    code = "import cnn_core; print([*cnn_core.train(epochs=1, train_size=100, test_size=100)])"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str([*cnn_core.train(epochs=1, **SMALL)])


def test_a_pinned_run_keeps_its_losses() -> None:
    """Measured with this engine on 600 digits; rounding differs between CPUs, hence the tolerance."""
    found = [m["train_loss"] for m in cnn_core.train(epochs=3, dropout_rate=0, init="report")]
    np.testing.assert_allclose(found, [1.2921, 0.23986, 0.12374], rtol=0.02)


def test_the_study_reaches_its_accuracy_and_the_seed_matters() -> None:
    runs = [[m["accuracy"] for m in cnn_core.train(seed=seed)] for seed in (0, 1)]
    assert min(run[-1] for run in runs) > 0.93
    assert runs[0] != runs[1]


def test_the_last_smaller_batch_is_used() -> None:
    whole = cnn_core.fit(epochs=1, batch_size=50, **SMALL)
    cut = cnn_core.fit(epochs=1, batch_size=60, **SMALL)
    assert np.isfinite(cut.parameters).all()
    assert (whole.parameters != cut.parameters).any()
    assert len(list(cnn_core.train(epochs=1, batch_size=1000, **SMALL))) == 1


def test_divergence_is_nan_from_then_on_and_no_error() -> None:
    found = list(cnn_core.train(learning_rate=1e20, norm="none", epochs=3, **SMALL))
    assert len(found) == 3
    assert all(math.isnan(m["accuracy"]) and math.isnan(m["loss"]) for m in found)


@pytest.mark.parametrize(
    "params",
    [
        {"conv_channels": [6]},
        {"conv_channels": [4, 4, 4], "kernel_size": 3, "padding": 1},
        {"norm": "none", "init": "he", "schedule": "constant"},
        {"dropout_rate": 0, "init": "glorot", "schedule": "exponential"},
        {"split": "validation", "stride": 2, "kernel_size": 3, "conv_channels": [3]},
    ],
    ids=str,
)
def test_every_kind_of_network_learns(params: dict[str, object]) -> None:
    accuracies = [m["accuracy"] for m in cnn_core.train(epochs=5, **{"batch_size": 3, **params})]  # type: ignore[arg-type]
    assert max(accuracies) > 0.5


def test_schedules_are_those_of_the_documentation() -> None:
    rates = {
        s: [Config(learning_rate=1, schedule=s).rate(e) for e in range(3)]
        for s in ("compound", "exponential")
    }
    assert rates["compound"] == pytest.approx([1, 0.95, 0.95**3])
    assert rates["exponential"] == pytest.approx([1, 0.95, 0.95**2])


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number from 1, found 0"),
        ({"dropout_rate": 1}, "dropout_rate must be in [0, 1), found 1"),
        ({"learning_rate": math.nan}, "learning_rate must be a number above 0"),
        ({"norm": "weight"}, "norm must be one of batch, none, layer, instance, group, found 'weight'"),
        ({"dataset": "cats"}, "cats"),
        ({"conv_channels": [6, 0]}, "conv_channels"),
        ({"kernel_size": 29}, "does not fit convolution 1, whose input is 1x28x28"),
        ({"conv_channels": [6, 16, 8]}, "does not fit convolution 3, whose input is 16x4x4"),
        ({"train_size": 1797}, "1797"),
        ({"padding": 5}, "padding must be below kernel_size (5), found 5; write 2"),
        ({"data_dir": 7}, 'data_dir must be a directory, found 7; write "data"'),
        ({"epochs": np.True_}, "epochs must be a whole number from 1, found True"),
        ({"epochs": np.float64(2)}, "epochs must be a whole number from 1, found 2.0"),
        ({"conv_channels": np.array(6)}, "conv_channels must be a list of whole numbers, found 6"),
        ({"learning_rate": 10**400}, "learning_rate must be a number above 0"),
        ({"conv_channels": [10**9]}, "more than 100000000; write smaller numbers"),
    ],
    ids=str,
)
def test_what_cannot_run_is_refused_in_one_line(params: dict[str, object], words: str) -> None:
    with pytest.raises(cnn_core.ConfigError) as refusal:
        cnn_core.train.validate(**params)  # type: ignore[attr-defined]
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_checkpoint_gives_back_every_bit_and_predicts(tmp_path: Path) -> None:
    model = cnn_core.fit(epochs=2)
    model.save(tmp_path / "weights.npz")
    again = cnn_core.load(tmp_path / "weights.npz")
    assert again.config == model.config
    assert again.parameters.tobytes() == model.parameters.tobytes()
    assert again.statistics.tobytes() == model.statistics.tobytes()
    images = cnn_core.datasets.load(
        "digits",
        data_dir=None,
        train_size=600,
        test_size=1000,
        data_seed=0,
        split="test",
        validation_size=None,
    )
    right = (again.predict(images.test_x) == images.test_y).mean()
    assert right == pytest.approx([m["accuracy"] for m in cnn_core.train(epochs=2)][-1])
    with pytest.raises(cnn_core.ConfigError, match="images must have shape"):
        again.predict(images.test_x[:, :, 1:])


@pytest.fixture(scope="module")
def model() -> cnn_core.Model:
    return cnn_core.fit(epochs=1, **SMALL)


def test_bytes_are_scaled_as_in_training(model: cnn_core.Model) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(5, 1, 28, 28), dtype=np.uint8)
    np.testing.assert_array_equal(model.logits(pixels), model.logits(pixels / np.float32(255)))
    np.testing.assert_array_equal(model.predict(pixels / 255), model.predict(pixels))
    assert model.predict(pixels[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x * 255, "found 0 to 255; divide them by 255, or clip them"),
        (lambda x: x - 0.5, "found -0.5 to 0.5"),
        (lambda x: np.where(x == 1, np.nan, x), "found nan to nan"),
        (lambda x: (255 * x).astype(int), "found int64; write images.astype(numpy.uint8)"),
        (lambda x: x.astype(object), "found object"),
        (lambda x: x.astype(str), "found <U"),
        (lambda x: [[1], [1, 2]], "images must be one array"),  # noqa: ARG005
        (lambda x: x[0, 0], "images must have shape (N, 1x28x28), found (28, 28)"),
    ],
    ids=["to 255", "below 0", "nan", "int64", "object", "text", "ragged", "one image"],
)
def test_images_of_another_kind_are_refused(model: cnn_core.Model, change: Any, words: str) -> None:
    images = np.zeros((2, 1, 28, 28), np.float32)
    images[0, 0, 3, 3] = 1
    for method in (model.predict, model.logits):
        with pytest.raises(cnn_core.ConfigError) as refusal:
            method(change(images))
        assert words in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_numpys_numbers_and_paths_are_as_good_as_pythons(tmp_path: Path) -> None:
    found = Config(
        epochs=np.int64(2), learning_rate=np.float64(0.5), conv_channels=np.array([6, 16]),
        norm=np.str_("none"), data_dir=tmp_path, batch_size=np.array(3), seed=np.uint8(7),
    )  # fmt: skip
    assert found == Config(
        epochs=2, learning_rate=0.5, conv_channels=(6, 16), norm="none", data_dir=str(tmp_path), batch_size=3,
        seed=7,
    )  # fmt: skip
    assert json.loads(json.dumps(dataclasses.asdict(found)))["conv_channels"] == [6, 16]
    assert cnn_core.train.fingerprint(data_dir=tmp_path) == cnn_core.train.fingerprint(data_dir=str(tmp_path))  # type: ignore[attr-defined]


def test_a_checkpoint_of_other_layers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = cnn_core.fit(epochs=1, **SMALL)
    monkeypatch.setattr(sys.modules["cnn_core.model"], "VERSION", "1")
    model.save(tmp_path / "weights.npz")
    monkeypatch.undo()
    with pytest.raises(cnn_core.ConfigError, match="written by version 1 of the layers, here is 3"):
        cnn_core.load(tmp_path / "weights.npz")


def test_a_checkpoint_of_version_2_has_the_studys_initialisation_under_its_new_name(tmp_path: Path) -> None:
    model = cnn_core.fit(epochs=1, init="report", **SMALL)
    model.save(tmp_path / "weights.npz")
    text, parameters, statistics = checkpoint.read(tmp_path / "weights.npz")
    meta = json.loads(text)
    meta |= {"version": "2", "config": {**meta["config"], "init": "xavier"}}
    checkpoint.write(tmp_path / "old.npz", json.dumps(meta), parameters, statistics)
    assert cnn_core.load(tmp_path / "old.npz").config == model.config


@pytest.mark.parametrize("channels", [[6, 16, 32], [16, 32, 64]], ids=str)
def test_by_default_three_convolutions_learn(channels: list[int]) -> None:
    found = cnn_core.train(conv_channels=channels, kernel_size=3, padding=1, batch_size=10)
    assert [m["accuracy"] for m in found][-1] > 0.9  # the study's initialisation: 0.1, or NaN


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", b"\x93NUMPY"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.npz"
    path.write_bytes(content)
    with pytest.raises(cnn_core.ConfigError, match="is no checkpoint"):
        cnn_core.load(path)
    with pytest.raises(cnn_core.ConfigError, match="no such file"):
        cnn_core.load(tmp_path / "none.npz")


def test_validating_loads_no_heavy_library() -> None:
    code = (
        "import sys, cnn_core; cnn_core.train.validate(); cnn_core.train.fingerprint();"
        "print([m for m in ('numba', 'scipy', 'sklearn', 'pandas') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_without_numba_the_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['numba'] = None; import cnn_core"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    expected = "ImportError: cnn_core needs numba, which is not installed; pip install 'gridrun[cnn]'"
    assert (done.returncode, last) == (1, expected)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names a CPU of another kind")
def test_a_narrower_cpu_trains_the_same_but_for_rounding(tmp_path: Path) -> None:
    """Compiled for AVX2: other vectors, another layout. Without dropout, whose draws follow the layout."""
    wide = {"conv_channels": [16, 32], "kernel_size": 3, "padding": 1}
    code = (
        "import cnn_core; print([[m['train_loss'] for m in cnn_core.train(epochs=2, dropout_rate=0, **more)]"
        f" for more in ({{}}, {wide})])"
    )
    haswell = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+sse4.2"}
    settings = {**os.environ, **haswell, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=True
    )
    found = [
        [m["train_loss"] for m in cnn_core.train(epochs=2, dropout_rate=0, **more)] for more in ({}, wide)
    ]
    np.testing.assert_allclose(json.loads(done.stdout), found, rtol=1e-3)


TRAIN = "import cnn_core; print(len(list(cnn_core.train(epochs=1, train_size=100, test_size=100))))"


def start(folder: Path, **environment: str) -> "subprocess.Popen[str]":
    """A training in a process of its own, in that directory."""
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN], cwd=folder, env={**os.environ, **environment},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_of_processes_that_start_with_an_empty_cache_one_compiles_and_says_so(tmp_path: Path) -> None:
    started = [start(tmp_path, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(3)]
    ends = [process.communicate(timeout=300) for process in started]
    assert [out for out, _ in ends] == ["1\n"] * 3
    assert sum(errors.count("compiling kernels") for _, errors in ends) == 1
    assert start(tmp_path, NUMBA_CACHE_DIR=str(tmp_path)).communicate(timeout=300) == ("1\n", "")


def copy_package(folder: Path) -> Path:
    source = Path(cnn_core.__file__).parent
    shutil.copytree(source, folder / "cnn_core", ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "cnn_core"


@pytest.mark.slow
def test_a_changed_layer_is_compiled_anew(tmp_path: Path) -> None:
    """numba alone would not see it: relu.py is called by a kernel of another file."""
    package = copy_package(tmp_path)
    relu = package / "kernels" / "relu.py"
    code = "import cnn_core; print(*cnn_core.train(epochs=1, train_size=100, test_size=100))"
    found = []
    for source in (relu.read_text(), relu.read_text().replace("where_less(x, zero, zero, x)", "x")):
        relu.write_text(source)
        command = [sys.executable, "-c", code]
        found.append(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    assert found[0] != found[1]


@pytest.mark.slow
def test_a_change_in_any_file_gives_the_kernels_another_directory(tmp_path: Path) -> None:
    """A new file in a new folder too: no list of files has to be kept."""
    package = copy_package(tmp_path)
    code = "from cnn_core.kernels import cache; print(cache.folder().name)"
    found = []
    for name in ("kernels/cache.py", "config.py", "kernels/relu.py", "datasets/idx.py", "new/layer.py", None):
        command = [sys.executable, "-c", code]
        found.append(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
        if name is not None:
            (package / name).parent.mkdir(exist_ok=True)
            with (package / name).open("a") as source:
                source.write("# changed\n")
    assert len(set(found)) == len(found)


@pytest.mark.slow
def test_where_only_temporary_files_can_be_written_the_kernels_are_kept_there(tmp_path: Path) -> None:
    """A copy of the package with a file where each cache would be: permissions would not stop root."""
    copy = tmp_path / "copy"
    (copy_package(copy) / "__pycache__").write_text("")
    (tmp_path / "home").write_text("")
    home, temporary = str(tmp_path / "home"), tmp_path / "temporary"
    temporary.mkdir()
    settings = {"PYTHONPATH": str(copy), "HOME": home, "XDG_CACHE_HOME": home, "TMPDIR": str(temporary)}
    first = start(tmp_path, **settings).communicate(timeout=300)
    assert first[0] == "1\n", first[1]
    assert list((temporary / f"cnn_core-{os.getuid()}").rglob("*.nbc"))
    assert start(tmp_path, **settings).communicate(timeout=300) == ("1\n", "")
