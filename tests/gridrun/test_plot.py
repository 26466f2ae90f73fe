"""The curve that `show` draws."""

import math

import pytest

from gridrun.results.plot import MOST_COLUMNS, ROWS, plot


def test_a_curve_goes_from_its_lowest_to_its_highest_and_nan_is_a_gap() -> None:
    assert plot("score", [0.0, math.nan, 7.0, 3.5]) == [
        "score by epoch",
        "7 |    *",
        "  |",
        "  |",
        "  |      *",
        "  |",
        "  |",
        "  |",
        "0 |*",
        "  +--------",
        "   1     4",
    ]


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [1.0] * 9, [math.nan] * 9, [1.0, math.nan, 2.0]], ids=str)
def test_what_is_no_curve_is_not_drawn(values: list[float]) -> None:
    assert plot("score", values) == []


def test_one_exploded_value_is_drawn_at_the_edge_and_the_rest_stays_to_be_seen() -> None:
    lines = plot("loss", [1e30, *(1 / k for k in range(1, 20))])
    assert lines[1].count("^") == 1
    assert lines[0].endswith("(^ and v: beyond the edge)")
    assert sum("*" in line for line in lines) >= 2


@pytest.mark.parametrize(
    "values", [range(10_000), [1e308, -1e308, 0.0, 1.0], [5e-324, 0.0, 1.0]], ids=range(3)
)
def test_any_number_of_epochs_and_any_size_of_values_fits(values: list[float]) -> None:
    lines = plot("score", [float(value) for value in values])
    assert len(lines) == ROWS + 3
    assert max(map(len, lines)) <= MOST_COLUMNS + 20
