"""The page in a real browser: what it shows, links, filters and remembers, without an error or a request."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridrun.cell import Identity, Params
from gridrun.outcome import Failure, Outcome, Output
from gridrun.report import write_live_page
from gridrun.spec import Spec
from gridrun.store import Store
from tests.acceptance.browser import Tab, open_browser

pytestmark = pytest.mark.slow

HEAD = '[sweep]\nname = "t"\ntrain = "no_such_module:train"\nmetric = "score"\n'
STUDY = (
    HEAD
    + 'budget = "epochs"\n[grid]\nlearning_rate = [0.001, 0.01, 0.1, 0.05]\ndropout = [0.2, 0.4]\n'
    + 'optimizer = ["sgd", "<b>adam</b>"]\nepochs = [2, 4]\n[replicate]\nseed = [0, 1]\n'
)


def fill(directory: Path, text: str, score: Any) -> Path:
    """A report on outcomes: `score` gives the metric after an epoch, NaN, or None for a failure."""
    spec = Spec.parse(text, "grid.toml")
    grid = spec.grid
    identity = Identity(spec.trainer.name, "1", ((None, grid.trajectory_count),))
    outcomes = []
    for index, name in enumerate(grid.trajectory_ids(identity)):
        params = grid.trajectory_params(index)
        epochs = range(1, max(grid.budgets, default=1) + 1)
        values = [score(params, k) for k in epochs]
        if None in values:
            trace = 'Traceback (most recent call last):\n  File "mine.py", line 3, in train\nValueError: <no>'
            printed = Output("about to <i>fail</i>", 20)
            failure = Failure("ValueError: <no>", trace)
            outcomes.append(Outcome(name, params, [], failure, 0.1, output=printed))
        else:
            history = [{"score": value, "loss": 1 / k} for k, value in zip(epochs, values, strict=True)]
            seconds = [0.1 * k for k in epochs]
            printed = Output(f"cell number {index}\n", 20)
            outcomes.append(Outcome(name, params, history, None, seconds[-1], seconds, output=printed))
    directory /= "sweep"
    with Store.write(directory) as store:
        store.begin(text, identity, {"split": "test"}, {})
        store.save(outcomes)
    return write_live_page(directory, 0)


def hill(params: Params, epoch: int) -> float | None:
    """Best at 0.05; what adam does at 0.1 fails."""
    rate = float(str(params["learning_rate"]))
    if rate == 0.1 and params["optimizer"] != "sgd":
        return None
    noise = 0.004 * int(str(params["seed"]))
    return (
        math.exp(-((math.log10(rate / 0.05)) ** 2)) * (1 - 0.5**epoch)
        - float(str(params["dropout"])) / 10
        + noise
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("page"), STUDY, hill)


@pytest.fixture
def tab(browser: Any, report: Path) -> Iterator[Tab]:
    tab = Tab(browser, report)
    yield tab
    tab.close()
    assert tab.errors == []
    assert tab.requests == [report.as_uri()]


PANELS = ("matters", "per_axis", "pairs", "surfaces", "budget")


def test_every_panel_is_drawn_without_an_error_or_a_request(tab: Tab) -> None:
    for panel in PANELS:
        tab.see(panel)
    assert tab.run("page.plots.every(plot => plot.drawn)")


def test_pictures_are_drawn_before_they_are_scrolled_to_but_for_surfaces(tab: Tab) -> None:
    tab.page.wait_for_function("performance.getEntriesByName('drawn').length === 1")
    assert tab.run("page.plots.every(plot => plot.drawn !== plot.spatial)")
    marks = tab.run("performance.getEntriesByType('mark').map(mark => mark.name)")
    assert marks == ["readable", "ready", "drawn"]  # what benchmarks.page measures
    assert tab.run("scrollY") == 0


def test_the_answer_is_read_without_a_script(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    words = page.inner_text("#answer")
    assert "0.9195" in words  # the mean of two seeds at 0.05, 0.2, 4 epochs
    assert "learning_rate" in words
    assert "Selected on split = test" in words
    assert "dropout = 0.2 is the lowest" in words
    context.close()


def test_no_webgl_before_a_surface_is_looked_at(browser: Any, report: Path) -> None:
    count = "HTMLCanvasElement.prototype.getContext = new Proxy(HTMLCanvasElement.prototype.getContext,"
    count += (
        "{apply(f, self, [kind, ...rest]) { if (/webgl/.test(kind)) window.webgl = (window.webgl ?? 0) + 1;"
    )
    count += " return f.call(self, kind, ...rest); }})"
    browser_context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = browser_context.new_page()
    page.add_init_script(count)
    page.goto(report.as_uri())
    page.wait_for_function("document.documentElement.dataset.state === 'ready'")
    for panel in ("matters", "per_axis", "pairs", "all_cells", "provenance"):
        page.evaluate("name => document.getElementById(name).scrollIntoView({behavior: 'instant'})", panel)
        page.wait_for_timeout(150)
        if panel == "pairs":
            page.evaluate("scrollBy(0, -200)")
    assert page.evaluate("window.webgl ?? 0") == 0
    page.click("#draw-surfaces")
    page.wait_for_function("(window.webgl ?? 0) > 0")
    browser_context.close()


def test_what_stands_on_a_colour_is_read_on_it(tab: Tab) -> None:
    tab.see("pairs")
    heat = next(trace for trace in tab.drawn("pairs") if trace.get("colorbar"))
    (text,) = (trace for trace in tab.drawn("pairs") if trace.get("mode") == "text")
    for x, y, colour in zip(text["x"], text["y"], text["textfont"]["color"], strict=True):
        value = heat["z"][y][x]
        share = 1.0 if value is None else (value - heat["zmin"]) / (heat["zmax"] - heat["zmin"])
        assert colour == ("#ffffff" if share < 0.55 else "#1f2933")
    tab.see("surfaces")
    (note,) = tab.run("document.querySelector('#surfaces .plot').layout.scene.annotations")
    assert note["text"].startswith("best ")
    assert note["bgcolor"] != note["font"]["color"]


def test_a_hover_on_a_surface_says_the_parameters_of_every_cell(tab: Tab) -> None:
    tab.see("surfaces")
    surface = tab.drawn("surfaces")[0]
    assert len(surface["text"]) == len(surface["z"])
    assert [len(line) for line in surface["text"]] == [len(line) for line in surface["z"]]
    assert surface["text"][0][0].startswith("learning_rate 0.001<br>")
    shown = tab.run("document.querySelector('#surfaces .plot')._fullData[0].text[1][2]")
    assert "learning_rate 0.05" in shown


def test_what_was_measured_beside_a_failed_cell_stays_on_the_surface(browser: Any, tmp_path: Path) -> None:
    text = HEAD + "[grid]\na = [1, 2, 3, 4, 5]\nb = [1, 2, 3]\n"
    file = fill(tmp_path, text, lambda p, _: None if (p["a"], p["b"]) == (3, 2) else float(p["a"] * p["b"]))
    tab = Tab(browser, file)
    tab.see("surfaces")
    surface, dots = tab.drawn("surfaces")[:2]
    assert sum(value is not None for line in surface["z"] for value in line) == 14
    assert len(dots["x"]) == 14
    tab.see("pairs")
    told = [text for line in tab.drawn("pairs")[0]["text"] for text in line]
    assert told.count("failed") == 1
    assert tab.errors == []
    tab.close()


@pytest.mark.parametrize(
    ("axes", "score"),
    [
        ("a = [1, 2]\nb = [1, 2]\n", lambda *_: math.nan),
        ("a = [1, 2]\nb = [1, 2]\n", lambda *_: None),
        ("a = [1]\n", lambda *_: 0.5),
        ("a = [1, 2, 3]\n", lambda p, _: float(p["a"])),
        ('a = ["x", "y"]\nb = [true, false]\nc = [[6], [6, 16]]\n', lambda p, _: len(str(p)) / 7),
        ("".join(f"{name} = [1, 2]\n" for name in "abcdefg"), lambda p, _: float(sum(p.values()))),
    ],
    ids=["diverged", "failed", "one cell", "one axis", "texts, truths, lists", "seven axes"],
)
def test_a_page_of_any_grid_has_no_error(browser: Any, tmp_path: Path, axes: str, score: Any) -> None:
    tab = Tab(browser, fill(tmp_path, HEAD + "[grid]\n" + axes, score))
    tab.run("page.drawAll(plot => !plot.spatial)")
    tab.run("page.pin(0)")
    tab.run("page.pin(page.data.count - 1)")
    assert tab.errors == []
    tab.close()


@pytest.mark.parametrize(
    ("axes", "score", "told", "untold"),
    [
        ("a = [1]\n", lambda *_: 0.5, ["One combination is ranked", "there is no other"], ["beyond noise"]),
        (
            "a = [1, 2, 3]\n",
            lambda p, _: math.nan if p["a"] == 1 else 0.1 * float(p["a"]),
            ["1 run of each cannot tell the best 2 apart", "not known: one run of each"],
            ["standard deviation", "Squares of choices tied"],
        ),
        ("a = [1, 2]\n", lambda *_: None, ["Nothing yet: nothing is ranked."], ["inside the grid"]),
    ],
    ids=["one cell", "one diverged", "all failed"],
)
def test_no_panel_says_what_does_not_hold(
    browser: Any, tmp_path: Path, axes: str, score: Any, told: list[str], untold: list[str]
) -> None:
    tab = Tab(browser, fill(tmp_path, HEAD + "[grid]\n" + axes, score))
    words = tab.page.inner_text("main")
    assert not [each for each in told if each not in words]
    assert not [each for each in untold if each in words]
    tab.close()


def test_terms_that_are_cut_alike_stay_apart(browser: Any, report: Path) -> None:
    tab = Tab(browser, report, viewport={"width": 390, "height": 800})
    tab.see("matters")
    for trace in tab.drawn("matters"):
        assert trace["y"] == list(range(len(trace["y"])))
        assert len(set(trace["text"])) == len(trace["y"])
    tab.close()


def test_axes_are_sorted_and_texts_are_no_slopes(tab: Tab) -> None:
    tab.see("per_axis")
    ticks = tab.run("[...document.querySelectorAll('#per_axis .plot')].map(p => p.layout.xaxis.ticktext)")
    assert ticks[0] == ["0.001", "0.01", "0.05", "0.1"]
    best = [tab.drawn("per_axis", index)[2]["mode"] for index in (0, 2)]
    assert best == ["lines+markers", "markers"]
    ranges = tab.run("[...document.querySelectorAll('#per_axis .plot')].map(p => p.layout.yaxis.range)")
    assert len({tuple(each) for each in ranges}) == 1


def test_the_best_over_all_else_has_a_band_over_replicates(tab: Tab) -> None:
    tab.see("per_axis")
    for index, filled in ((0, True), (2, False)):  # numbers, texts
        traces = tab.drawn("per_axis", index)
        assert any(trace.get("fill") == "toself" for trace in traces) is filled
        assert bool(traces[2].get("error_y")) is not filled
    band = next(trace for trace in tab.drawn("per_axis") if trace.get("fill"))
    best = tab.drawn("per_axis")[2]["y"]
    count = len(band["y"]) // 2
    assert all(
        low <= middle <= high and low < high
        for low, middle, high in zip(reversed(band["y"][count:]), best, band["y"][:count], strict=True)
    )


def test_one_loss_that_exploded_does_not_flatten_the_others(browser: Any, tmp_path: Path) -> None:
    text = HEAD.replace('"score"\n', '"score"\nmode = "min"\n') + "[grid]\na = [1, 2, 3, 4]\nb = [1, 2]\n"
    file = fill(tmp_path, text, lambda p, _: 1e9 if p["a"] == 4 else 0.1 * p["a"] + 0.01 * p["b"])
    tab = Tab(browser, file)
    tab.see("pairs")
    values = next(trace for trace in tab.drawn("pairs") if trace.get("colorbar"))
    assert values["zmax"] < 2
    assert "drawn there" in tab.page.inner_text("#pairs")
    assert "drawn there" in tab.page.inner_text("#per_axis")
    tab.close()


def test_a_hover_anywhere_marks_the_cell_everywhere(tab: Tab) -> None:
    tab.page.hover("#cells tbody tr[data-row] >> nth=1")
    row = tab.run("page.hovered")
    assert row >= 0
    tab.page.wait_for_selector(f"#cells tr.hovered[data-row='{row}']")
    tab.see("per_axis")
    tab.see("pairs")
    # The pointer at a dot of another picture.
    spot = """() => {
        const plot = document.querySelector('#pairs .plot');
        plot.scrollIntoView({behavior: 'instant', block: 'center'});
        const box = plot.querySelector('.nsewdrag').getBoundingClientRect();
        const {xaxis, yaxis} = plot._fullLayout;
        return [box.x + xaxis.d2p(2), box.y + yaxis.d2p(1)];
    }"""
    x, y = tab.run(spot)
    tab.page.mouse.move(x - 3, y)
    tab.page.mouse.move(x, y)
    tab.page.wait_for_function("page.hovered >= 0")
    row = tab.run("page.hovered")
    assert tab.run("row => page.value(page.data.axes[0], row)", row) == "0.05"
    tab.page.wait_for_selector(f"tr.hovered[data-row='{row}']", state="attached")
    # What is marked is marked in a picture as soon as that is in sight.
    tab.run("page.pin(page.hovered)")
    tab.run("document.querySelector('#per_axis .plot').scrollIntoView({behavior: 'instant'})")
    tab.page.wait_for_function("document.querySelector('#per_axis .plot').data.at(-1).x.length === 1")
    assert tab.drawn("per_axis")[-1]["y"] == [tab.run("page.data.mean[page.pinned]")]


def test_a_click_pins_parameters_curve_and_command_and_the_address_keeps_it(
    tab: Tab, browser: Any, report: Path
) -> None:
    tab.page.click(".leaderboard tbody tr")
    words = tab.page.inner_text("#pin")
    assert "learning_rate" in words
    assert "run 2" in words
    assert "gridrun show" in words
    assert tab.page.query_selector("#pin .js-plotly-plot") is not None
    hash = tab.run("location.hash")
    other = Tab(browser, report, hash)
    assert other.page.inner_text("#pin dl") == tab.page.inner_text("#pin dl")
    other.page.keyboard.press("Escape")
    other.page.wait_for_selector("#pin", state="hidden")
    assert "cell=" not in other.run("location.hash")
    other.close()


def test_a_pinned_choice_beyond_what_is_drawn_has_its_curve_its_log_and_its_traceback(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridrun.report.views.histories.MOST_CURVES", 1)  # of 16 six are drawn
    tab = Tab(browser, fill(tmp_path, STUDY, hill))
    drawn = "row => page.curveOf(row) in page.data.panels.budget.histories.curves"
    rows = tab.run("Array.from(page.ranked.order)")
    done, failed = (
        [row for row in rows if (tab.run("row => page.data.state[row]", row) == 0) is whole]
        for whole in (True, False)
    )
    beyond = [row for row in done if not tab.run(drawn, row)]
    assert beyond
    tab.run("row => page.pin(row)", beyond[0])
    tab.page.wait_for_selector("#pin .js-plotly-plot")
    assert len(tab.run("document.querySelector('#pin .plot').data[0].y")) == 4
    number = 2 * tab.run("row => page.data.combination[row]", beyond[0])
    assert tab.page.inner_text("#pin .printed") == f"cell number {number}"
    assert tab.page.query_selector("#pin .failed") is None
    tab.run("row => page.pin(row)", failed[-1])
    tab.page.wait_for_selector("#pin .failed")
    assert "in train\nValueError: <no>" in tab.page.inner_text("#pin .failed")
    assert tab.page.inner_text("#pin .printed") == "about to <i>fail</i>"
    assert "Left out" not in tab.page.inner_text("#all_cells")
    assert tab.errors == []
    tab.close()


def test_what_a_page_has_no_room_for_is_told(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridrun.report.views.logs.MOST_PRINTED", 45)
    monkeypatch.setattr("gridrun.report.views.logs.MOST_TOLD", 60)  # one reason, no traceback
    monkeypatch.setattr("gridrun.report.views.histories.PINNED_NUMBERS", 10)
    tab = Tab(browser, fill(tmp_path, STUDY, hill))
    words = tab.page.inner_text("#all_cells")
    told = "the curves of all but 3 combinations; what 13 combinations printed; gridrun show"
    assert f"Left out of this page: {told}" in words
    assert "why" not in words
    tab.run("page.pin(page.ranked.order.at(-1))")
    tab.page.wait_for_selector("#pin .failed")
    assert tab.page.inner_text("#pin .failed") == "ValueError: <no>"
    assert "left out" in tab.page.inner_text("#pin .printed")
    tab.close()


def test_all_cells_are_filtered_as_they_are_called_and_sorted_the_best_first(tab: Tab) -> None:
    def shown(column: int) -> list[str]:
        rows = "[...document.querySelectorAll('#cells tbody tr[data-row]')]"
        found: list[str] = tab.run(f"c => {rows}.map(row => row.cells[c].textContent)", column)
        return found

    tab.page.fill("#filter", "lr>0.01 dropout<0.4")
    assert set(shown(1)) == {"0.05", "0.1"}
    assert set(shown(2)) == {"0.2"}
    assert tab.page.inner_text("#filtered") == "8 of 32"
    tab.page.fill("#filter", "state=failed")
    assert set(shown(3)) == {"<b>adam</b>"}
    tab.page.fill("#filter", "nothing>3")
    assert "no column is called nothing" in tab.page.inner_text("#filtered")
    tab.page.fill("#filter", 'optimizer="<b>adam</b>"')
    tab.page.click("#cells th >> text=score")
    values = [float(text.split()[0]) for text in shown(5) if text != "failed"]
    assert values == sorted(values, reverse=True)
    tab.page.click("#cells th >> text=loss")
    assert shown(6)[0] == "0.2500"  # less is better
    tab.page.click("#cells th >> text=loss")
    assert shown(6)[0] == "0.5000"
    assert "filter=" in tab.run("location.hash")


def test_a_range_dragged_on_parallel_coordinates_filters_and_is_let_go(tab: Tab) -> None:
    tab.page.locator("#parallel").scroll_into_view_if_needed()
    box = tab.page.locator("#parallel").bounding_box()
    assert box is not None
    x = box["x"] + 30
    tab.page.mouse.move(x, box["y"] + 30)
    tab.page.mouse.down()
    tab.page.mouse.move(x, box["y"] + 100)
    tab.page.mouse.up()
    assert tab.page.inner_text("#filtered") == "8 of 32"  # one of four learning rates
    tab.page.mouse.click(x, box["y"] + 200)
    assert tab.page.inner_text("#filtered") == ""


def squares(tab: Tab) -> Any:
    """What gives the squares of the heat map their colours."""
    return next(trace for trace in tab.drawn("pairs") if trace.get("colorbar"))["z"]


def test_pairs_take_any_two_axes_and_values_of_the_rest(tab: Tab) -> None:
    tab.page.select_option("#pairs-controls select[name=x]", "dropout")
    tab.page.select_option("#pairs-controls select[name=y]", "epochs")
    tab.see("pairs")
    assert tab.run("document.querySelector('#pairs .plot').layout.xaxis.ticktext") == ["0.2", "0.4"]
    values = squares(tab)
    tab.run("""() => { const s = document.querySelector('#pairs-rest input'); s.value = 1;
               s.dispatchEvent(new Event('input')); }""")
    held = squares(tab)
    assert held[0][0] < values[0][0]  # the worst learning rate instead of the best over all
    tab.page.select_option("#pairs-controls select[name=by]", "rank")
    assert all(value == int(value) for line in squares(tab) for value in line)


def test_a_table_of_numbers_is_behind_every_picture(tab: Tab) -> None:
    tab.page.wait_for_function("performance.getEntriesByName('drawn').length === 1")
    told = tab.run(
        "[...document.querySelectorAll('#curves-table tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    assert told[0][:2] == ["epochs", "#1"]
    assert [line[0] for line in told[1:]] == ["1", "2", "3", "4"]
    (best,) = (trace for trace in tab.drawn("budget") if trace.get("name", "").startswith("#1 "))
    assert [f"{value:.4f}" for value in best["y"]] == [line[1] for line in told[1:]]
    without = """[...document.querySelectorAll('main section')]
        .filter(section => section.querySelector('.plot:not(.surface), canvas'))
        .filter(section => !section.querySelector('table')).map(section => section.id)"""
    assert tab.run(without) == []


def test_the_best_of_so_many_combinations_is_drawn_up_to_the_best_of_all(tab: Tab) -> None:
    tab.page.wait_for_function("performance.getEntriesByName('drawn').length === 1")
    (search,) = tab.drawn("budget", 2)
    assert search["x"] == [1, 2, 3, 5, 10, 16]
    assert search["y"] == sorted(search["y"])
    means = "page.data.mean.filter((value, row) => page.data.state[row] === 0)"
    assert search["y"][-1] == pytest.approx(tab.run(f"Math.max(...{means})"))
    assert "10 make 95 % of the way from one to all 16" in tab.page.inner_text("#budget")


def test_text_of_strangers_is_no_markup_in_the_browser(tab: Tab) -> None:
    tab.run("page.drawAll(plot => !plot.spatial)")
    tab.page.fill("#filter", "optimizer~adam")
    assert "<b>adam</b>" in tab.page.inner_text("#cells")
    assert tab.page.query_selector("#cells td b, #answer td b, .xtick b") is None
    assert "<b>adam</b>" in tab.page.text_content("#per_axis .plot >> nth=2")


def test_what_next_is_toml_that_runs(tab: Tab) -> None:
    patches = tab.run("[...document.querySelectorAll('#what_next pre')].map(p => p.textContent)")
    assert patches
    for patch in patches:
        text = HEAD + ('budget = "epochs"\n' if "epochs" in patch else "") + patch
        if "learning_rate" not in patch:
            text += "" if "[[grid]]" in patch else "learning_rate = [0.1]\n"
        Spec.parse(text, "patch", strict=True)


def test_failures_are_grouped_with_what_they_have_in_common(tab: Tab) -> None:
    words = tab.page.text_content("#failures") or ""
    assert "16 cells" not in words
    assert "8 cells" in words
    assert "In common: learning_rate is 0.1, optimizer is <b>adam</b>" in words
    assert "--retry-failed" in words


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cropped_at_either_width_in_either_scheme(
    browser: Any, report: Path, width: int, scheme: str
) -> None:
    tab = Tab(browser, report, viewport={"width": width, "height": 800}, color_scheme=scheme)
    for panel in ("matters", "per_axis", "pairs", "budget"):
        tab.see(panel)
    assert tab.run("document.documentElement.scrollWidth") <= width
    wide = """width => [...document.querySelectorAll('main *')]
        .filter(e => !e.closest('.swipe, .scroll, pre, svg'))
        .filter(e => e.getBoundingClientRect().right > width + 1).map(e => e.tagName + e.id + e.className)"""
    assert tab.run(wide, width) == []
    ground = tab.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 24, 29)" if scheme == "dark" else "rgb(255, 255, 255)")
    ink = tab.run("document.querySelector('#per_axis .plot').layout.font.color")
    assert ink == ("#e6e9ee" if scheme == "dark" else "#1f2933")
    assert tab.errors == []
    tab.close()


def test_it_is_printed_whole_in_ink_on_white(browser: Any, report: Path) -> None:
    tab = Tab(browser, report, color_scheme="dark")
    tab.run("window.dispatchEvent(new Event('beforeprint'))")
    assert tab.run("page.plots.filter(p => !p.spatial).every(p => p.drawn)")
    assert tab.run("document.querySelector('#per_axis .plot').layout.font.color") == "#1f2933"
    assert tab.run("document.querySelectorAll('#cells tbody tr[data-row]').length") == 32
    assert tab.run("[...document.querySelectorAll('main details')].every(d => d.open)")
    tab.page.emulate_media(media="print")
    tab.page.set_viewport_size({"width": 690, "height": 1000})
    beyond = """[...document.querySelectorAll('.plots figure')].filter(figure =>
        [...figure.querySelectorAll('table, .plot, .plot svg')].some(each =>
            each.getBoundingClientRect().right > figure.getBoundingClientRect().right + 1)).length"""
    assert tab.run(beyond) == 0
    assert tab.run("[...document.querySelectorAll('.surfaces figure')].every(f => !f.clientHeight)")
    tab.page.emulate_media(media="screen")
    assert len(tab.page.pdf()) > 50_000
    tab.run("window.dispatchEvent(new Event('afterprint'))")
    assert tab.errors == []
    tab.close()


def test_all_is_reached_by_keyboard(tab: Tab) -> None:
    tab.page.focus(".leaderboard tbody tr")
    tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector("#pin", state="visible")
    tab.page.keyboard.press("Escape")
    tab.page.wait_for_selector("#pin", state="hidden")
    tab.page.focus("#cells th button")
    tab.page.keyboard.press("Enter")
    assert tab.page.get_attribute("#cells th", "aria-sort") == "ascending"
    unnamed = (
        "[...document.querySelectorAll('.plot, canvas, input, select')].filter(e => e.closest('main') &&"
    )
    unnamed += (
        " !e.closest('.js-plotly-plot > *') && !(e.getAttribute('aria-label') || e.labels?.length)).length"
    )
    assert tab.run(unnamed) == 0


def test_the_answer_is_copied_as_toml_and_python(tab: Tab) -> None:
    toml, python = (tab.page.text_content(f"#answer-{kind}") or "" for kind in ("toml", "python"))
    assert "learning_rate = 0.05" in toml
    assert "train(learning_rate=0.05" in python
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.page.click("[data-copy=answer-toml]")
    assert tab.run("navigator.clipboard.readText()") == toml


def test_long_curves_are_thinned(browser: Any, tmp_path: Path) -> None:
    text = HEAD + 'budget = "epochs"\n[grid]\na = [1, 2]\nepochs = [5000]\n'
    file = fill(tmp_path, text, lambda p, k: p["a"] - 1 / k)
    assert file.stat().st_size < 3_000_000
    tab = Tab(browser, file)
    tab.see("budget")
    curve = tab.drawn("budget")[-3]
    assert len(curve["x"]) == 300
    assert (curve["x"][0], curve["x"][-1]) == (1, 5000)
    tab.close()


def test_the_data_is_json_that_any_reader_takes(report: Path) -> None:
    from tests.gridrun.test_report import unsqueeze

    data = json.loads(unsqueeze(report.read_text(encoding="utf-8"), "data"), parse_constant=pytest.fail)
    assert data["metric"] == "score"
