"""Cells: named by their content, always in the same order."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from gridrun.cell import Identity, encode_params, encode_runs, encode_value
from gridrun.grid import Axis, Grid


def identity(grid: Grid, version: str = "1", fingerprint: str | None = None) -> Identity:
    return Identity("m:f", version, ((fingerprint, grid.trajectory_count),))


scalars = st.integers(-5, 5) | st.floats(-2, 2) | st.booleans() | st.text(max_size=2)
axis_values = st.lists(scalars, min_size=1, max_size=4, unique_by=encode_value).map(tuple)


@given(axis_values, axis_values, st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True).map(tuple))
def test_cells_are_the_product_in_order_and_named_apart(a: tuple, b: tuple, epochs: tuple) -> None:  # type: ignore[type-arg]
    grid = Grid((Axis("a", a), Axis("epochs", epochs), Axis("b", b)), (), {"c": 1}, "epochs")
    cells = list(grid.cells(identity(grid)))
    assert [(c.params["a"], c.params["epochs"], c.params["b"]) for c in cells] == list(product(a, epochs, b))
    assert len({c.id for c in cells}) == len(cells) == len(grid)
    assert {c.trajectory for c in cells} == set(grid.trajectory_ids(identity(grid)))
    assert all(c.budget == c.params["epochs"] for c in cells)


@given(st.permutations(["a", "b", "c"]))
def test_a_name_does_not_depend_on_how_the_grid_is_written(order: list[str]) -> None:
    axes = {"a": (1, 2), "b": (0.01,), "c": ("x",)}
    reordered = Grid(tuple(Axis(name, axes[name]) for name in order))
    fixed = Grid((Axis("a", (2.0, 1.0)),), (), {"c": "x", "b": 1e-2})
    names = set(reordered.trajectory_ids(identity(reordered)))
    assert names == set(fixed.trajectory_ids(identity(fixed)))


def test_version_fingerprint_and_every_parameter_enter_the_name() -> None:
    grid = Grid((Axis("a", (1,)),))
    other = Grid((Axis("a", (1,)),), (), {"b": 2})
    names = {
        *grid.trajectory_ids(identity(grid)),
        *grid.trajectory_ids(identity(grid, version="2")),
        *grid.trajectory_ids(identity(grid, fingerprint="f")),
        *other.trajectory_ids(identity(other)),
    }
    assert len(names) == 4


def test_a_fingerprint_may_differ_from_one_trajectory_to_the_next() -> None:
    assert encode_runs(["x", "x", "y"]) == (("x", 2), ("y", 1))
    grid = Grid((Axis("a", (1, 2, 3)),))
    mixed = list(grid.trajectory_ids(Identity("m:f", "1", encode_runs(["x", "x", "y"]))))
    plain = list(grid.trajectory_ids(identity(grid, fingerprint="x")))
    assert [m == p for m, p in zip(mixed, plain, strict=True)] == [True, True, False]


def test_equal_content_is_equal_text_and_true_is_not_one() -> None:
    assert encode_value(1.0) == encode_value(1) == "1"
    assert encode_value(-0.0) == "0"
    assert encode_value(True) != encode_value(1)
    assert encode_params({"b": (1, 2.5), "a": "é"}) == '{"a":"\\u00e9","b":[1,2.5]}'
