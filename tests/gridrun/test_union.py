"""Unions, zips and exclusions: the same cells, in the same order, as a plain model of them makes."""

from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gridrun.cell import Identity, Value, encode_params, encode_value
from gridrun.grid import Axis, Grid, Zip, cell_id

Params = dict[str, Value]
# 1 and 1.0 are one value, true is another.
values = st.lists(
    st.sampled_from([1, 1.0, 2, True, "1", None]), min_size=1, max_size=3, unique_by=encode_value
)


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    """What `Grid.of` takes: products that may overlap, with the budget axis anywhere among their axes."""
    budget = draw(st.sampled_from([None, "epochs"]))
    budgets = draw(st.permutations([2, 5, 3])) if budget else []
    products = []
    for _ in range(draw(st.integers(1, 4))):
        names = draw(st.lists(st.sampled_from("abc"), unique=True, min_size=0 if budget else 1, max_size=3))
        axes = [Axis(name, tuple(draw(values))) for name in names]
        if budget:
            axes.insert(draw(st.integers(0, len(axes))), Axis(budget, tuple(budgets)))
        products.append(tuple(axes))
    zips = []
    for name in draw(st.sampled_from([[], ["z"], ["z", "y"]])):
        rows = draw(
            st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3)), unique=True, min_size=1, max_size=3)
        )
        members = [Axis(f"{name}{i}", column) for i, column in enumerate(zip(*rows, strict=True))]
        zips.append(Zip(name, tuple(members)))
    known = sorted({axis.name for axes in products for axis in axes} - {budget})
    known += [member.name for z in zips for member in z.members]
    texts = st.sets(st.sampled_from(["1", "2", "true", '"1"', "null", "3"]), min_size=1)
    regions = st.dictionaries(st.sampled_from([*known, "f"]), texts, min_size=1, max_size=2)
    return {
        "products": products,
        "zips": tuple(zips),
        "replicates": draw(st.sampled_from([(), (Axis("seed", (0, 1)),)])),
        "fixed": draw(st.sampled_from([{}, {"f": 1}, {"f": 3, "0": 0}])),
        "budget": budget,
        "left_out": draw(st.lists(regions, max_size=3)),
    }


def model(space: dict[str, Any]) -> list[Params]:
    """Every cell's parameters, by nested loops over everything, in the order written, each once."""
    seen: dict[str, Params] = {}
    for axes in space["products"]:
        factors = [[{axis.name: value} for value in axis.values] for axis in axes]
        for z in space["zips"]:
            names = [member.name for member in z.members]
            columns = zip(*(member.values for member in z.members), strict=True)
            factors.append([dict(zip(names, row, strict=True)) for row in columns])
        factors += [[{axis.name: value} for value in axis.values] for axis in space["replicates"]]
        for parts in product(*factors):
            params = dict(space["fixed"])
            for part in parts:
                params |= part
            if not any(matches(params, region) for region in space["left_out"]):
                seen.setdefault(encode_params(params), params)
    return list(seen.values())


def matches(params: Params, region: dict[str, set[str]]) -> bool:
    return all(name in params and encode_value(params[name]) in texts for name, texts in region.items())


def identity(grid: Grid) -> Identity:
    return Identity("m:f", "1", ((None, grid.trajectory_count),) if grid.trajectory_count else ())


@given(spaces())
def test_cells_are_those_of_nested_loops_each_once_in_the_order_written(space: dict[str, Any]) -> None:
    grid, expected = Grid.of(**space), model(space)
    cells = list(grid.cells(identity(grid)))
    assert [encode_params(cell.params) for cell in cells] == [encode_params(params) for params in expected]
    assert len(grid) == len(expected)
    assert len({cell.id for cell in cells}) == len(cells)


@given(spaces())
def test_a_cell_is_named_by_what_it_is_called_with_and_nothing_else(space: dict[str, Any]) -> None:
    grid = Grid.of(**space)
    ids = list(grid.trajectory_ids(identity(grid)))
    for index, budget in grid.cell_positions():
        params = {
            name: v for name, v in grid.cell(index, ids[index], budget).params.items() if name != "epochs"
        }
        alone = Grid((), fixed=params)
        (name,) = alone.trajectory_ids(identity(alone))
        assert ids[index] == name == grid.trajectory_id(identity(grid), index)
        assert cell_id(name, budget) == grid.cell(index, name, budget).id


@given(spaces(), st.sets(st.sampled_from(["a", "b", "z0", "y1", "seed", "f", "epochs"])))
def test_a_trainer_is_asked_once_about_each_combination_that_there_is(
    space: dict[str, Any], names: set[str]
) -> None:
    grid, expected = Grid.of(**space), model(space)
    asked = [encode_params(params) for params in grid.combinations(names)]
    parts = [encode_params({name: p[name] for name in p if name in names}) for p in expected]
    assert asked == list(dict.fromkeys(parts))


@given(spaces(), st.sets(st.sampled_from(["a", "b", "z0", "y1", "seed", "f"])))
def test_each_trajectory_gets_the_answer_about_its_own_parameters(
    space: dict[str, Any], names: set[str]
) -> None:
    grid, asked = Grid.of(**space), []

    def question(params: Params) -> str:
        asked.append(encode_params(params))
        return asked[-1]

    answers = list(grid.ask(names, question))
    whole = [grid.trajectory_params(index) for index in range(grid.trajectory_count)]
    assert answers == [encode_params({name: p[name] for name in p if name in names}) for p in whole]
    assert len(asked) == len(set(asked))
