"""`cnn_core train` from the shell: in this process where that shows it, once as the real program."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import cnn_core
from cnn_core.command import main
from cnn_core.config import OF_DATASETS, meaning, spelt, table

SMALL = ["train", "epochs=2", "conv_channels=[2]", "train_size=50", "test_size=50"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(words)
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out, told.err


def test_a_line_an_epoch_and_the_weights_are_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.npz"
    code, out, err = run(capsys, *SMALL, f"save={path}")
    expected = [*cnn_core.train(epochs=2, conv_channels=[2], train_size=50, test_size=50)]
    assert code == 0
    assert "Traceback" not in err
    assert [line.split(",")[0] for line in out.splitlines()] == [
        f"epoch {n} of 2: accuracy {m['accuracy']:.6g}" for n, m in enumerate(expected, start=1)
    ]
    assert cnn_core.load(path).config.conv_channels == (2,)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit"], "cnn_core: the command is train, found 'fit'; write cnn_core train ..."),
        (["train", "epochs"],
         "cnn_core: a parameter is name=value, found 'epochs'; write learning_rate=0.05"),
        (["train", "epoch=2"], "cnn_core: no parameter 'epoch'; write epochs"),
        (["train", "images=2"], "cnn_core: no parameter 'images'; write one of cnn_core --help"),
        (["train", "epochs=2", "epochs=3"], "cnn_core: epochs is there twice; remove one"),
        (["train", "pool=mx"], "cnn_core: pool must be one of max, average, none, found 'mx'; write 'max'"),
        (["train", "seed=2\n[x]"], "cnn_core: seed must be a whole number from 0, found '2\\n[x]'; write 1"),
        (["train", "save=/no/x"],
         "cnn_core: save must be a file in a directory that exists, found '/no/x'"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run(capsys, *words) == (2, "", message + "\n")


def test_a_disk_that_refuses_is_the_environments_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "weights.npz").mkdir()
    code, _, err = run(capsys, *SMALL, f"save={tmp_path / 'weights.npz'}")
    assert code == 3
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"]])
def test_help_says_of_every_parameter_what_it_is_and_may_be(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    code, out, _ = run(capsys, *words)
    told = " ".join(out.split())
    assert code == 0
    for field in fields(cnn_core.Config):
        assert f"{field.name}={spelt(field.default)} {meaning(field.name)}" in told
    assert "conv_channels=[6,16] filters of each convolution; a list such as [6, 16]" in told


def test_the_help_of_functions_says_the_same() -> None:
    for function in (cnn_core.train, cnn_core.fit):
        assert table() in (function.__doc__ or "")
    own = cnn_core.CNNClassifier.__doc__ or ""
    assert table(without=(*OF_DATASETS, "metrics")) in own
    assert " train_size=" not in own


def test_the_program_is_installed() -> None:
    program = Path(sys.executable).with_name("cnn_core")
    told = subprocess.run([program, "train", "dropout=1"], capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == "cnn_core: dropout must be one of element, channel, found 1; write 'element'\n"
