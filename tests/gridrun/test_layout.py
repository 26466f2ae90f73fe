"""A grid as arrays, held to its cells one by one; and what a report makes of unions, zips and gaps."""

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from gridrun.cell import Identity, Params, Value, encode_params, encode_value
from gridrun.grid import Grid
from gridrun.outcome import Outcome
from gridrun.report import write_report
from gridrun.report.sentences import tell
from gridrun.report.views.surfaces import surfaces, undrawn
from gridrun.results.aggregate import Aggregate, aggregate
from gridrun.results.answer import find_answer
from gridrun.results.layout import Layout
from gridrun.results.lookup import find_cells
from gridrun.spec import Spec
from gridrun.store import Store
from tests.gridrun.test_union import identity, spaces


def found(values: tuple[Value, ...], code: int) -> str | None:
    return None if code < 0 else encode_value(values[code])


def text(params: Params, name: str) -> str | None:
    return encode_value(params[name]) if name in params else None


def key_of(params: Params) -> str:
    return encode_params({name: value for name, value in params.items() if name != "seed"})


@given(spaces())
def test_codes_and_order_are_those_of_the_cells(space: dict[str, Any]) -> None:
    grid = Grid.of(**space)
    if not len(grid):
        return
    layout, cells = Layout(grid), list(grid.cells(identity(grid)))
    for axis in grid.all_axes:
        codes = layout.codes_of_cells(axis.name, slice(None)).tolist()
        assert [found(axis.values, code) for code in codes] == [
            text(cell.params, axis.name) for cell in cells
        ]
    places = []
    for combination, budget in layout.pairs.tolist():
        places.append(layout.cell_of(combination, budget, 0))
        assert layout.params_of(combination, budget) == cells[places[-1]].params
    assert places == sorted(places)
    assert len(layout.pairs) * grid.repeats == len(grid)


@given(spaces())
def test_a_part_holds_every_combination_of_its_grid_that_there_is(space: dict[str, Any]) -> None:
    grid = Grid.of(**space)
    if not grid.combination_count or Layout(grid).is_budget_alone:
        return
    layout = Layout(grid)
    there = [grid.trajectory_params(number * grid.repeats) for number in range(grid.combination_count)]
    numbers = {key_of(params): number for number, params in enumerate(there)}
    for block, part in zip(grid.blocks, layout.parts, strict=True):
        for at in np.ndindex(part.rows.shape):
            params = dict(grid.fixed)
            for axis, place in zip(block.axes, at, strict=True):
                params |= {member.name: member.values[place] for member in axis.members}
            assert numbers.get(key_of(params), -1) == part.rows[at]
    assert {row for part in layout.parts for row in part.rows.ravel().tolist()} >= set(numbers.values())


UNION = """[sweep]
name = "t"
train = "no_such_module:train"
metric = "score"
budget = "epochs"
[fixed]
depth = 2
[[grid]]
optimizer = ["sgd"]
lr = [0.01, 0.1, 1]
momentum = [0.0, 0.9]
epochs = [1, 3]
[[grid]]
epochs = [1, 3]
optimizer = ["adam"]
lr = [0.0001, 0.001, 0.01]
beta2 = [0.99, { null = true }]
[zip.size]
channels = [[6], [6, 16]]
kernel = [5, 3]
[replicate]
seed = [0, 1]
[[exclude]]
momentum = 0.9
kernel = 3
"""


def score(params: Params, epoch: int) -> float:
    """Best is Adam with 0.001 and the second size; SGD diverges with momentum and 1."""
    if params.get("momentum") == 0.9 and params["lr"] == 1:
        return math.nan
    best, top = (-3, 0.9) if params["optimizer"] == "adam" else (-1, 0.8)
    far = abs(math.log10(float(str(params["lr"]))) - best)
    size, own = 0.01 * len(params["channels"]), 0.02 * (params.get("beta2") == 0.99)  # type: ignore[arg-type]
    return (top - 0.1 * far + size + own) * (1 - 0.3**epoch) + 0.001 * float(str(params["seed"]))


def fill(directory: Path, grid_text: str, score: Callable[[Params, int], float]) -> None:
    spec = Spec.parse(grid_text, "grid.toml")
    named = Identity(spec.trainer.name, None, ((None, spec.grid.trajectory_count),))
    outcomes = []
    for index, name in enumerate(spec.grid.trajectory_ids(named)):
        params = spec.grid.trajectory_params(index)
        outcomes.append(Outcome(name, params, [{"score": score(params, k)} for k in (1, 2, 3)], None, 0.1))
    with Store.write(directory) as store:
        store.begin(grid_text, named, {}, {})
        store.save(outcomes)


@pytest.fixture(scope="module")
def union(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Aggregate]:
    directory = tmp_path_factory.mktemp("union")
    fill(directory, UNION, score)
    return directory, write_report(directory)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_parameter_that_a_combination_has_not_got_is_empty_and_null_is_not(
    union: tuple[Path, Aggregate],
) -> None:
    directory, result = union
    cells = rows(directory / "report" / "cells.csv")
    assert len(cells) == 2 * 2 * (3 * 2 * 2 - 3 + 3 * 2 * 2) == len(result.cells)
    assert {(row["optimizer"], row["momentum"], row["beta2"]) for row in cells} == {
        ("sgd", "0.0", ""), ("sgd", "0.9", ""), ("adam", "", "0.99"), ("adam", "", "null"),
    }  # fmt: skip
    assert not [row for row in cells if row["momentum"] == "0.9" and row["kernel"] == "3"]
    best = rows(directory / "report" / "best.csv")
    assert len(best) == 21
    assert [best[0][name] for name in ("Optimizer", "Lr", "Momentum", "Beta2", "Channels", "Kernel")] == [
        "adam", "0.001", "", "0.99", "[6,16]", "3",
    ]  # fmt: skip
    joined = {row["cell"]: row for row in cells}
    for row in best:
        cell = joined[row["cell"]]
        assert (cell["optimizer"], cell["momentum"], cell["epochs"]) == (
            row["Optimizer"],
            row["Momentum"],
            row["epochs"],
        )
    history = rows(directory / "report" / "history.csv")
    assert len(history) == 3 * 2 * 21
    assert {(row["optimizer"], row["momentum"] == "") for row in history} == {("sgd", False), ("adam", True)}


def test_an_empty_string_is_not_taken_for_a_parameter_that_is_not_there(tmp_path: Path) -> None:
    head = '[sweep]\nname = "t"\ntrain = "m:f"\nmetric = "score"\n'
    fill(tmp_path, f'{head}[[grid]]\na = ["", "x"]\n[[grid]]\nb = [1]\n', lambda *_: 1.0)
    write_report(tmp_path)
    assert [row["a"] for row in rows(tmp_path / "report" / "cells.csv")] == ['""', "x", ""]
    assert [row["A"] for row in rows(tmp_path / "report" / "best.csv")] == ['""', "x", ""]


def test_surfaces_are_of_one_grid_each_first_that_with_the_best(union: tuple[Path, Aggregate]) -> None:
    directory, result = union
    drawn = list(surfaces(result))
    assert [surface.part for surface in drawn] == ["[[grid]] 2"] * 2 + ["[[grid]] 1"] * 2
    assert [bool(surface.best) for surface in drawn] == [False, True, False, False]
    assert dict(drawn[0].held) == {"optimizer": "adam"}
    assert {surface.x.axis.name for surface in drawn} == {"lr"}
    assert [surface.at for surface in drawn[:2]] == [(("size", "[[6], 5]"),), (("size", "[[6, 16], 3]"),)]
    assert np.isnan(drawn[3].z[:, 1]).all()  # what [[exclude]] leaves out
    assert "gaps are what [[exclude]] leaves out" in undrawn(result)
    assert "size is channels and kernel, which move together" in undrawn(result)
    for surface in drawn:
        assert (directory / "report" / surface.name).is_file()


def test_a_grid_of_one_combination_or_none_is_no_surface(tmp_path: Path) -> None:
    head = '[sweep]\nname = "t"\ntrain = "m:f"\nmetric = "score"\n'
    grids = "[[grid]]\na = [1, 2]\n[[grid]]\nb = [5]\n[[grid]]\nc = [1, 2]\n[[exclude]]\nc = [1, 2]\n"
    fill(tmp_path, head + grids, lambda p, _: float(str(p.get("a", 0))))
    with Store.read(tmp_path) as store:
        result = aggregate(store)
    assert [surface.part for surface in surfaces(result)] == ["[[grid]] 1"]
    assert "1 of 3 [[grid]] drawn" in undrawn(result)


def test_what_is_said_is_said_of_the_grid_with_the_best_or_of_all(union: tuple[Path, Aggregate]) -> None:
    directory, result = union
    answer = find_answer(result)
    assert answer is not None
    assert answer.best.params == {
        **{"depth": 2, "optimizer": "adam", "lr": 0.001, "epochs": 3, "beta2": 0.99},
        **{"channels": (6, 16), "kernel": 3},
    }
    assert answer.compared == 20
    # 0.001 is no end for Adam, though SGD began at 0.01 and Adam at 0.0001; of a zip nothing follows.
    assert [(edge.axis, edge.end) for edge in answer.edges] == [("epochs", "high")]
    assert "in [[grid]] 2, which has the best" in tell(result, answer)[1]
    terms = {row["term"] for row in rows(directory / "report" / "effects.csv")}
    assert {"lr", "beta2", "size", "epochs"} < terms
    assert "momentum" not in terms
    isolation = rows(directory / "report" / "isolation.csv")
    assert {row["axis"] for row in isolation} == {"optimizer", "lr", "momentum", "epochs", "beta2", "size"}
    (told,) = [row["best"] for row in isolation if (row["axis"], row["value"]) == ("momentum", "0.9")]
    best = [row for row in rows(directory / "report" / "best.csv") if row["Momentum"] == "0.9"]
    assert told == best[0]["Score"]


def test_main_effects_are_means_over_what_has_the_axis(union: tuple[Path, Aggregate]) -> None:
    _, result = union
    for name in ("momentum", "lr", "size", "optimizer"):
        effect, codes = result.main_effects[name], result.layout.codes[name]
        for place in range(len(effect)):
            values = result.by_combination[codes == place]
            values = values[np.isfinite(values)]
            assert effect["count"][place] == len(values)
            assert effect["mean"][place] == pytest.approx(values.mean())


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("mom=0", 24),
        ("momentum=0.9", 12),
        ("b=null,lr=0.001,e=3", 4),
        ("kernel=3,seed=1", 2 * 9),
        ("lr=0.01", 4 * 7),
    ],
)
def test_cells_are_found_by_parameters_that_some_have(
    union: tuple[Path, Aggregate], query: str, count: int
) -> None:
    directory, result = union
    with Store.read(directory) as store:
        places = list(find_cells(store, result.spec, query))
        best = list(find_cells(store, result.spec, "best"))
        assert best == list(find_cells(store, result.spec, "#1"))
    assert len(places) == count
    order = {place: number for number, place in enumerate(result.spec.grid.cell_positions())}
    assert places == sorted(places, key=order.__getitem__)
    assert {result.spec.grid.trajectory_params(index)["optimizer"] for index, _ in best} == {"adam"}
    assert [budget for _, budget in best] == [3, 3]


def test_one_se_takes_what_has_not_got_a_parameter_for_simpler(tmp_path: Path) -> None:
    head = '[sweep]\nname = "t"\ntrain = "m:f"\nmetric = "score"\n[select]\nrule = "one_se"\nprefer = ["b"]\n'
    grids = "[[grid]]\na = [1]\nb = [1, 2]\n[[grid]]\na = [1, 2]\n[replicate]\nseed = [0, 1, 2]\n"
    fill(tmp_path, head + grids, lambda p, _: 0.9 + 0.01 * ("b" in p) + 0.05 * float(str(p["seed"])))
    with Store.read(tmp_path) as store:
        answer = find_answer(aggregate(store))
    assert answer is not None
    assert answer.best.params == {"a": 1, "b": 1}
    assert answer.chosen.params == {"a": 1}
