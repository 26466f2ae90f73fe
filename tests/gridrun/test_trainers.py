"""What a train function is asked about itself: every cell is covered, nothing is asked twice."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gridrun.errors import InputError
from gridrun.spec import Spec
from gridrun.trainers import Trainer

TEXT = (
    '[sweep]\nname = "t"\ntrain = "asked_module:train"\nmetric = "score"\nbudget = "epochs"\n'
    "[fixed]\nsize = 7\n[grid]\na = [1, true, 1.5]\nepochs = [2, 5]\nb = [10, 20]\n"
    "[replicate]\nseed = [0, 1]\n"
)
Answer = Callable[..., Any]


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
        return Trainer.find(spec, Path("grid.toml")), spec

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
