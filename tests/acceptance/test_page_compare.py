"""The page of `gridrun compare` in a real browser, and the command that writes it."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gridrun.cell import Params
from gridrun.report.page.versus import write_comparison
from gridrun.results.aggregate import aggregate
from gridrun.results.compare import compare
from gridrun.store import Store
from tests.acceptance.browser import Tab, open_browser
from tests.acceptance.conftest import Run
from tests.acceptance.test_page import HEAD, fill

pytestmark = pytest.mark.slow

GRID = (
    HEAD
    + '[fixed]\nnorm = {}\n[grid]\nlr = [0.1, 0.001, 0.01]\nkind = ["<b>x</b>", "y"]\n'
    + "[replicate]\nseed = [0, 1, 2, 3]\n"
)
ONE = HEAD + "[grid]\nlr = [1]\n"


def score(params: Params, _: int) -> float:
    """Norm 2 is better at 0.01, worse at 0.001, and all the same at 0.1; y diverges there."""
    rate, norm = float(str(params["lr"])), params["norm"]
    if params["kind"] == "y" and rate == 0.1:
        return math.nan
    gain = {0.01: 0.2, 0.001: -0.2, 0.1: 0.0}[rate] if norm == 2 else 0.0
    return 0.5 + gain + Random(str(sorted(params.items()))).gauss(0, 0.002)


def write(place: Path, first: str, second: str, metric: Any = score) -> Path:
    """The page on two sweeps."""
    directories = []
    for name, text in (("a", first), ("b", second)):
        (place / name).mkdir()
        fill(place / name, text, metric)
        directories.append(place / name / "sweep")
    results = []
    for directory in directories:
        with Store.read(directory) as store:
            results.append(aggregate(store))
    write_comparison(compare(*results), (directories[0], directories[1]), place / "compared.html")
    return place / "compared.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("compared"), GRID.format(1), GRID.format(2))


def test_every_panel_of_a_comparison_is_drawn_and_linked_without_an_error_or_a_request(
    browser: Any, page: Path
) -> None:
    tab = Tab(browser, page)
    tab.page.wait_for_function("performance.getEntriesByName('drawn').length === 1")
    assert tab.run("page.plots.length") == 3
    words = tab.page.inner_text("#answer")
    assert "Beyond noise B is better in 2 and worse in 2" in words
    assert "norm 1 in A, 2 in B" in words
    # Values are sorted; what is beyond noise is filled; the median is that of the pairs.
    ticks = tab.run("document.querySelector('#differences .plot').layout.xaxis.ticktext")
    assert ticks == ["0.001", "0.01", "0.1"]
    dots, median = tab.drawn("differences")[:2]
    assert [symbol == "circle" for symbol in dots["marker"]["symbol"]] == [
        abs(gain) > 0.1 for gain in dots["y"]
    ]
    assert [round(value, 1) + 0.0 for value in median["y"]] == [-0.2, 0.2, 0.0]
    # One that diverged in either is in the table, and no dot.
    assert len(tab.drawn("scatter")[1]["x"]) == 5
    tab.page.fill("#filter", "state=diverged")
    assert tab.page.inner_text("#filtered") == "1 of 6"
    tab.page.fill("#filter", "B>0.6 kind~x")
    assert tab.page.inner_text("#filtered") == "1 of 6"
    # A pinned pair is marked everywhere, and names its cells in both sweeps.
    tab.page.click("#cells tbody tr[data-row]")
    tab.page.wait_for_selector("#pin dl")
    told = tab.page.inner_text("#pin")
    assert "cell of A" in told
    assert told.count("gridrun show") == 2
    tab.see("scatter")
    tab.page.wait_for_function("document.querySelector('#scatter .plot').data.at(-1).x.length === 1")
    assert "<b>x</b>" in tab.page.inner_text("#cells")
    assert tab.page.query_selector("#cells td b, #answer td b, .xtick b") is None
    other = Tab(browser, page, tab.run("location.hash"))
    other.page.wait_for_selector("#pin dl")
    assert other.page.inner_text("#pin") == told
    other.close()
    assert (tab.errors, tab.requests) == ([], [page.as_uri()])
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_comparison_is_not_cropped_on_a_telephone(browser: Any, page: Path, scheme: str) -> None:
    tab = Tab(browser, page, viewport={"width": 390, "height": 800}, color_scheme=scheme)
    tab.page.wait_for_function("performance.getEntriesByName('drawn').length === 1")
    assert tab.run("document.documentElement.scrollWidth") <= 390
    assert tab.errors == []
    tab.close()


@pytest.mark.parametrize(
    ("first", "second", "metric"),
    [
        (ONE, ONE, lambda *_: 0.5),
        (ONE, ONE, lambda *_: math.nan),
        (
            HEAD + "[[grid]]\na = [[1], [2, 3]]\n[[grid]]\nb = [true, false]\n",
            HEAD + "[[grid]]\na = [[2, 3]]\n[[grid]]\nb = [true]\nc = [1, 2]\n",
            lambda params, _: float(len(str(params))),
        ),
        (
            HEAD + "[zip.size]\na = [1, 2]\nb = [3, 4]\n",
            HEAD + "[grid]\nb = [4, 3]\nc = [1, 2]\n[fixed]\na = 1\n",
            lambda params, _: float(sum(params.values())),
        ),
    ],
    ids=["one cell", "diverged", "unions and lists", "zip"],
)
def test_two_sweeps_of_any_grid_have_a_page_without_an_error(
    browser: Any, tmp_path: Path, first: str, second: str, metric: Any
) -> None:
    tab = Tab(browser, write(tmp_path, first, second, metric))
    tab.page.wait_for_function("performance.getEntriesByName('drawn').length === 1")
    tab.run("page.pin(0)")
    tab.page.wait_for_selector("#pin dl")
    assert tab.errors == []
    tab.close()


def test_the_command_writes_a_page_or_says_in_a_line_why_not(
    run: Run, write_grid: Callable[..., str], tmp_path: Path
) -> None:
    run("sweep", write_grid(), "--out", "one")
    done = run("compare", "one", "one", "--page", "compared.html")
    assert done.stdout.splitlines()[-1] == "wrote compared.html"
    assert "equal in" in (tmp_path / "compared.html").read_text(encoding="utf-8")
    failed = run("compare", "one", "one", "--page", "nowhere/compared.html")
    assert failed.returncode == 3
    assert failed.stderr == "gridrun: nowhere/compared.html: cannot be written (No such file or directory)\n"
