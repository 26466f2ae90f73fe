"""What a train function is asked about itself: every cell is covered, nothing is asked twice."""

import inspect
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gridrun.cell import Identity
from gridrun.environment import source_hashes
from gridrun.errors import InputError
from gridrun.spec import Spec
from gridrun.store import Store
from gridrun.trainers.function import FunctionTrainer as Trainer

TEXT = (
    '[sweep]\nname = "t"\ntrain = "asked_module:train"\nmetric = "score"\nbudget = "epochs"\n'
    "[fixed]\nsize = 7\n[grid]\na = [1, true, 1.5]\nepochs = [2, 5]\nb = [10, 20]\n"
    "[replicate]\nseed = [0, 1]\n"
)
Answer = Callable[..., Any]


def _find(spec: Spec, grid_file: Path = Path("grid.toml")) -> Trainer:
    trainer = spec.trainer.find(spec.grid, grid_file)
    assert isinstance(trainer, Trainer)
    return trainer


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Trainer, Spec]]:
    def make(**attributes: Answer) -> tuple[Trainer, Spec]:
        def train(**_: object) -> dict[str, float]:
            return {"score": 0.0}

        for name, attribute in attributes.items():
            setattr(train, name, attribute)
        module = ModuleType("asked_module")
        module.train = train  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "asked_module", module)
        spec = Spec.parse(TEXT, "grid.toml")
        return _find(spec), spec

    return make


def test_validate_that_takes_everything_is_asked_about_every_cell_in_grid_order(
    find: Callable[..., tuple[Trainer, Spec]],
) -> None:
    asked: list[dict[str, object]] = []
    trainer, spec = find(validate=lambda **params: asked.append(params))
    trainer.validate(spec.grid)
    cells = spec.grid.cells(trainer.identity(spec.grid))
    assert [repr(sorted(params.items())) for params in asked] == [
        repr(sorted(cell.params.items())) for cell in cells
    ]


def test_validate_is_asked_once_about_each_combination_of_what_it_takes(
    find: Callable[..., tuple[Trainer, Spec]],
) -> None:
    asked: list[tuple[object, ...]] = []
    trainer, spec = find(validate=lambda *, a, size, epochs=3: asked.append((a, size, epochs)))
    trainer.validate(spec.grid)
    # 1 and true are equal in Python and two values here.
    expected = [(1, 7, 2), (1, 7, 5), (True, 7, 2), (True, 7, 5), (1.5, 7, 2), (1.5, 7, 5)]
    assert [repr(each) for each in asked] == [repr(each) for each in expected]


def test_of_a_functions_defaults_those_are_kept_that_can_be_read_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Number(int):
        pass

    loop: list[object] = []
    loop.append(loop)
    given = {
        "none": None, "nested": (1, (2.5, [True, None])), "table": {"a": [1]}, "number": Number(3),
        "numpy": np.float32(0.5), "text": "x",
    }  # fmt: skip
    others = {
        "function": len, "nan": math.nan, "list_of_nan": [math.inf], "object": object(), "huge": 10**5000,
        "bytes": b"x", "surrogate": "\udcff", "keys": {1: 2}, "loop": loop, "array": np.zeros(3),
    }  # fmt: skip

    def train(a: int, **_: object) -> dict[str, float]:
        return {"score": float(a)}

    parameters = [inspect.Parameter("a", inspect.Parameter.KEYWORD_ONLY)]
    for name, default in (given | others).items():
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default))
    train.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    module = ModuleType("defaults_module")
    module.train = train  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "defaults_module", module)
    text = '[sweep]\nname = "t"\ntrain = "defaults_module:train"\nmetric = "score"\n[grid]\na = [1]\n'
    trainer = _find(Spec.parse(text, "grid.toml"))
    kept = {
        "none": None, "nested": (1, (2.5, (True, None))), "table": {"a": (1,)}, "number": 3, "numpy": 0.5,
        "text": "x",
    }  # fmt: skip
    assert trainer.defaults == kept
    with Store.write(tmp_path) as store:
        store.begin(text, Identity("defaults_module:train", None, ((None, 1),)), trainer.defaults, {})
        assert store.defaults() == store.sessions()[0].defaults == kept


def test_one_refused_combination_refuses_the_grid(find: Callable[..., tuple[Trainer, Spec]]) -> None:
    def refuse(*, a: float, b: int) -> None:
        if (a, b) == (1.5, 20):
            raise ValueError("b is too large\nfor this a")

    trainer, spec = find(validate=refuse)
    with pytest.raises(InputError, match=r"^grid.toml: b is too large for this a \(refused by"):
        trainer.validate(spec.grid)


# Each with the parameters that it takes; None is all of them.
FINGERPRINTS: dict[str, tuple[Answer, tuple[str, ...] | None]] = {
    "everything": (lambda **p: f"{p['b']} {p['epochs']}", None),
    "one axis": (lambda *, b: f"{b}", ("b",)),
    "the last axis": (lambda *, seed: f"{seed}", ("seed",)),
    "the first axis": (lambda *, a: repr(a), ("a",)),
    "two axes": (lambda *, seed, a: f"{seed}{a!r}", ("a", "seed")),
    "a fixed parameter": (lambda *, size: f"{size}", ("size",)),
    "the budget axis": (lambda *, epochs, b: f"{epochs} {b}", ("epochs", "b")),
    "nothing": (lambda: "always", ()),
}


@pytest.mark.parametrize(("answer", "taken"), FINGERPRINTS.values(), ids=FINGERPRINTS.keys())
def test_each_trajectory_has_the_fingerprint_of_its_own_parameters(
    find: Callable[..., tuple[Trainer, Spec]], answer: Answer, taken: tuple[str, ...] | None
) -> None:
    trainer, spec = find(fingerprint=answer)
    runs = trainer.identity(spec.grid).fingerprints
    found = [fingerprint for fingerprint, count in runs for _ in range(count)]
    expected = []
    for index in range(spec.grid.trajectory_count):
        params = {**spec.grid.trajectory_params(index), "epochs": 5}
        expected.append(answer(**{name: params[name] for name in (params if taken is None else taken)}))
    assert found == expected


def test_a_fingerprint_of_the_data_alone_is_asked_for_once(find: Callable[..., tuple[Trainer, Spec]]) -> None:
    asked: list[int] = []
    trainer, spec = find(fingerprint=lambda *, size: asked.append(size) or "data")
    assert trainer.identity(spec.grid).fingerprints == (("data", 12),)
    assert asked == [7]


@pytest.mark.parametrize(
    ("reference", "source", "expected"),
    [
        ("nowhere:train", "", r": no module named 'nowhere'; write one that lies beside grid.toml"),
        ("mine.inner:train", "", r": no module named 'mine.inner'; write one that lies"),
        ("mine:train", "\nimport no_such", r"importing it \(mine.py:2\) raised .*; install the package"),
        ("mine:train", "import no_such.part", r".no_such.; install the package .* or mend that import$"),
        ("mine:train", "raise ImportError('no x;\\npip install x')", r"ImportError: no x; pip install x$"),
        ("mine:train", "from os import no_such", r"ImportError: cannot import name 'no_such' from 'os'"),
    ],
)  # fmt: skip
def test_what_a_module_lacks_is_told_apart_from_the_lack_of_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, source: str, expected: str
) -> None:
    (tmp_path / "mine.py").write_text(source)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    spec = Spec.parse(TEXT.replace("asked_module:train", reference), "grid.toml")
    with pytest.raises(InputError, match=expected) as raised:
        _find(spec, tmp_path / "grid.toml")
    assert "\n" not in str(raised.value)


FILES = {
    "my_train.py": "import beside_me\ndef train(a, **_):\n    yield {'score': a}\n",
    "beside_me.py": "",
    "random.py": "def train(a, **_):\n    yield {'score': a}\n",
    "sub/deep.py": "import next_to_it\ndef train(a, **_):\n    yield {'score': a}\n",
    "sub/next_to_it.py": "",
    "odd.py": (
        "class Train:\n    def __init__(self, **_): ...\n"
        "async def later(**_): ...\n"
        "def nothing(a, **_):\n    if a:\n        return\n    print(a)\n"
        "def trian(**_):\n    return 1\n"
    ),
}


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Trainer]:
    """Find a trainer among FILES, by its reference."""
    (tmp_path / "sub").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("my_train", "beside_me", "random_beside_grid", "deep", "next_to_it", "odd"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return lambda reference: _find(
        Spec.parse(TEXT.replace("asked_module:train", reference), "grid.toml"), tmp_path / "grid.toml"
    )


@pytest.mark.parametrize("reference", ["my_train.py:train", "random.py:train", "sub/deep.py:train"])
def test_a_file_beside_the_grid_is_a_trainer_whatever_it_is_called(
    look: Callable[[str], Trainer], reference: str
) -> None:
    import random

    function = look(reference).function
    assert list(function(a=3)) == [{"score": 3}]
    assert sys.modules["random"] is random
    hashes = source_hashes(reference, [str(Path(function.__code__.co_filename).parent), ""])  # type: ignore[attr-defined]
    if reference == "my_train.py:train":
        assert list(hashes) == ["beside_me", "my_train"]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (
            "random:train",
            r"module 'random' is .*random.py and has no 'train'; write \"random.py:train\" for the",
        ),
        ("queue:train", r"module 'queue' is .*queue.py and has no attribute 'train'; write "),
        ("odd:train", r"has no attribute 'train'; write trian$"),
        ("odd.py:train", r"file 'odd.py' is .*odd.py and has no attribute 'train'; write trian$"),
        ("random.py:trian", r"file 'random.py' is .*random.py and has no attribute 'trian'; write train$"),
        ("sub/deep.py:trian", r"file 'sub/deep.py' is .*deep.py and has no attribute 'trian'; write train$"),
        ("none.py:train", r"no file 'none.py'; write one that lies beside grid.toml$"),
        ("odd:Train", r"Train is a class; write a function that makes one"),
        ("odd:later", r"later is async; write a plain function"),
        ("odd:nothing", r"nothing returns nothing; yield one mapping of metrics an epoch, or return one$"),
    ],
)
def test_what_can_be_no_trainer_is_refused_before_the_first_cell(
    look: Callable[[str], Trainer], reference: str, expected: str
) -> None:
    with pytest.raises(InputError, match=expected) as raised:
        look(reference)
    assert "\n" not in str(raised.value)


class Mute(SystemExit):
    def __str__(self) -> str:
        raise KeyboardInterrupt


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit("bye"), GeneratorExit(), Mute(0), OSError("no")])
@pytest.mark.parametrize("name", ["validate", "fingerprint"])
def test_whatever_is_raised_by_what_is_asked_is_bad_input_in_one_line(
    find: Callable[..., tuple[Trainer, Spec]], error: BaseException, name: str
) -> None:
    def ends(**_: object) -> None:
        raise error

    trainer, spec = find(**{name: ends})
    ask = trainer.validate if name == "validate" else trainer.identity
    with pytest.raises(InputError, match=rf"{name} raised {type(error).__name__}.*\(test_trainers.py:\d+\)$"):
        ask(spec.grid)


def test_ctrl_c_while_a_grid_is_asked_about_stays_ctrl_c(find: Callable[..., tuple[Trainer, Spec]]) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    trainer, spec = find(validate=interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.validate(spec.grid)
