"""What pictures draw: from where, how far, in which order, and the same whatever a matplotlibrc says."""

import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from gridrun.errors import InputError
from gridrun.report import write_and_answer, write_report
from gridrun.report.captions import show
from gridrun.report.pictures import Wanted
from gridrun.report.pictures.curves import BEHIND
from gridrun.report.pictures.pairs import draw_pairs
from gridrun.report.pictures.surfaces import _facets
from gridrun.report.tables import as_latex, as_markdown
from gridrun.report.views.lines import lines_of
from gridrun.report.views.pairs import best_over_rest, pick_pairs, rank_pairs, state_of_rest
from gridrun.report.views.ranges import range_of
from gridrun.report.views.scales import scale
from gridrun.report.views.sight import _heights, choose_view, find_hidden, tell_hidden
from gridrun.report.views.steps import find_steps
from gridrun.report.views.surfaces import surfaces, z_range
from gridrun.results.aggregate import Aggregate
from gridrun.results.answer import find_answer
from gridrun.results.causes import find_causes
from gridrun.results.costs import gather_costs
from gridrun.spec import Spec
from gridrun.store import Store
from tests.gridrun.test_report import HEAD, fill, read, record, written

PLATEAU = HEAD + "[grid]\na = [1, 2, 3, 4]\nb = [1, 2, 3, 4]\n"


def plateau(tmp_path: Path) -> Aggregate:
    """High everywhere but at one corner, which a plateau can stand in front of."""
    record(tmp_path, PLATEAU, lambda p: [{"score": 0.1 if (p["a"], p["b"]) == (4, 4) else 0.9}])
    return read(tmp_path)


def test_a_surface_is_looked_at_from_where_it_hides_fewest_points(tmp_path: Path) -> None:
    result = plateau(tmp_path)
    (surface,) = surfaces(result)
    ends = z_range(result)
    behind = find_hidden(surface, *ends, 27.0, -130.0)
    assert behind[3, 3]
    assert behind.sum() == 1
    assert tell_hidden(surface, behind) == "Hidden behind the surface: a 4, b 4 (0.1000)"
    view = choose_view([surface], *ends)
    assert not find_hidden(surface, *ends, *view).any()


def test_a_surface_has_a_height_where_values_of_an_axis_are_one_place() -> None:
    """As 0.0 and 5e-324 are beside 1.0; a place outside is as far from them as a float can tell."""
    x, y = np.array([0.0, 0.0, 1.0]), np.array([0.0, 5e-324, 1.0])
    at = np.array([-0.5, 0.0, 0.5, 1.5])
    found = _heights(x, y, np.full((3, 3), 0.5), *np.meshgrid(at, at, indexing="ij"))
    assert (found == 0.5).all()


def test_what_was_measured_beside_a_failed_cell_is_drawn_as_triangles() -> None:
    x = y = np.array([0.0, 1.0, 2.0])
    whole = np.ones((3, 3))
    holed = whole.copy()
    holed[0, 0] = np.nan
    reached = {tuple(point) for quad in _facets(x, y, holed)[0] for point in quad[:, :2].tolist()}
    for corner in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        assert corner in reached
    assert (0.0, 0.0) not in reached
    lone = np.full((3, 3), np.nan)
    assert len(_facets(x, y, lone)[0]) == 0


@pytest.mark.parametrize(
    ("values", "mode", "ends"),
    [
        ([0.1, 0.2, 0.3, 1e9], "min", (0.1, 0.7)),
        ([0.9, 0.8, 0.7, -1e9], "max", (0.3, 0.9)),
        ([0.98, 0.97, 0.5, 0.1], "max", (0.1, 0.98)),
        ([0.1, 0.2, 1e9, 2e9, 3e9], "min", None),
        ([1.0, 1.0], "max", (0.5, 1.5)),
        ([], "max", (0.0, 1.0)),
    ],
)
def test_what_has_exploded_is_cut_off_and_said(
    values: list[float], mode: str, ends: tuple[float, float] | None
) -> None:
    found = range_of(np.array(values), mode)
    if ends is None:
        assert found.high < 100
    else:
        assert (found.low, found.high) == pytest.approx(ends)
    cut = bool(values) and not found.low <= min(values) <= max(values) <= found.high
    assert ("drawn there" in found.note) is cut


def test_an_axis_of_one_ratio_is_logarithmic_below_thirty_too() -> None:
    for values, log in (("16, 32, 64", True), ("1, 2, 3", False), ("0.1, 0.2", False), ("4, 2, 1", True)):
        axis = Spec.parse(f"{HEAD}[grid]\na = [{values}]\n", "x").grid.axes[0]
        assert scale(axis, 10).log is log


def test_pairs_begin_with_the_strongest_interplay(tmp_path: Path) -> None:
    text = HEAD + "[grid]\na = [-1, 1]\nb = [-1, 1]\nc = [-1, 1]\n"
    record(tmp_path, text, lambda p: [{"score": float(p["a"] * p["c"]) + 0.1 * float(p["b"])}])  # type: ignore[operator, arg-type]
    result = read(tmp_path)
    assert rank_pairs(result)[0][:2] == ("a", "c")
    assert [(x.name, y.name) for x, y in pick_pairs(result, ("c", "b"))] == [("c", "b")]
    with pytest.raises(InputError, match="no axis 'd' varies here; write two of a, b, c"):
        pick_pairs(result, ("a", "d"))


def test_a_square_is_the_best_over_all_else_or_says_what_there_is(tmp_path: Path) -> None:
    text = HEAD + "[grid]\na = [1, 2]\nb = [1, 2]\nc = [1, 2]\n"

    def history(params: Any) -> list[dict[str, float]] | None:
        if params["a"] == 2:
            return [] if params["b"] == 1 else None
        if params["b"] == 2:
            return [{"score": math.nan}]
        return [{"score": float(params["c"])}]

    record(tmp_path, text, history)
    result = read(tmp_path)
    a, b, _ = result.layout.every
    values, rows = best_over_rest(result, a, b)
    assert values[0, 0] == 2.0
    assert rows[0, 0] == 1
    assert np.isnan(values[0, 1])
    assert state_of_rest(result, a, b)[[0, 1, 1], [1, 0, 1]].tolist() == ["diverged", "failed", "pending"]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_numbers_in_squares_stand_out_from_their_colour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    figures: list[Any] = []
    monkeypatch.setattr("gridrun.report.pictures.pairs.save", lambda figure, _path: figures.append(figure))
    head = HEAD.replace('"score"\n', f'"score"\nmode = "{mode}"\n')
    text = head + "[grid]\na = [1, 2, 3, 4]\nb = [1, 2, 3, 4]\n"
    fill(tmp_path, text, lambda p, _: float(str(p["a"])) * 4 + float(str(p["b"])))
    write_and_answer(tmp_path)
    axes = figures[0].axes[0]
    (mesh,) = axes.collections

    def light(colour: Any) -> float:
        parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return float(np.dot(parts, (0.2126, 0.7152, 0.0722)))

    told = {text.get_position(): text for text in axes.texts}
    assert len(told) == 16
    for (x, y), text_ in told.items():
        ground = mesh.cmap(mesh.norm(mesh.get_array().reshape(4, 4)[int(y), int(x)]))
        dark, bright = sorted(light(each) + 0.05 for each in (ground, text_.get_color()))
        assert bright / dark > 3.5, text_.get_text()


def test_a_line_has_the_best_the_median_and_the_spread_of_each_value(tmp_path: Path) -> None:
    text = HEAD + "[grid]\na = [1, 2]\nb = [1, 2, 6]\n[replicate]\nseed = [0, 2]\n"
    record(tmp_path, text, lambda p: [{"score": float(p["a"] * p["b"] + p["seed"])}])  # type: ignore[operator]
    result = read(tmp_path)
    line = next(lines_of(result, find_answer(result)))
    assert (line.best, line.median) == ([7.0, 13.0], [3.0, 5.0])
    assert line.std == pytest.approx([math.sqrt(2)] * 2)
    assert line.top == 1
    assert line.edge is not None


def test_steps_are_toml_and_say_what_they_cost(tmp_path: Path) -> None:
    text = HEAD + "[grid]\nlr = [0.001, 0.01, 1.0]\nb = [1, 2]\n"
    fill(tmp_path, text, lambda p, _: -abs(math.log10(float(str(p["lr"]))) + 1.2) - float(str(p["b"])) / 9)
    result = read(tmp_path)
    answer = find_answer(result)
    assert answer is not None
    with Store.read(tmp_path) as store:
        costs, _ = gather_costs(result, store)
    steps = find_steps(result, answer, costs)
    gap = next(step for step in steps if "gap" in step.words)
    assert gap.words == "Between the best lr, 0.01, and 1.0 there is a gap: try 0.1."
    assert (gap.toml, gap.cells) == ("[grid]\nlr = [0.001, 0.01, 0.1, 1.0]\n", 2)
    assert gap.hours == pytest.approx(2 * 0.1 / 3600)
    seeds = next(step for step in steps if "[replicate]" in step.words)
    assert "seed = [0, 1, 2, 3, 4]" in seeds.toml
    for step in steps:
        Spec.parse(HEAD + step.toml, "step")


def test_failures_of_one_cause_say_what_they_have_in_common(tmp_path: Path) -> None:
    text = HEAD + '[grid]\na = [1, 2, 3]\nb = ["x", "y"]\n'
    record(tmp_path, text, lambda p: [] if p["b"] == "y" and p["a"] != 3 else [{"score": 1.0}])
    with Store.read(tmp_path) as store:
        (cause,) = find_causes(store, read(tmp_path))
    assert (cause.count, cause.common) == (2, f"a is 1 or 2, b is {show('y')}")


@pytest.mark.slow
def test_a_matplotlibrc_changes_no_picture(tmp_path: Path) -> None:
    text = HEAD + "[grid]\na = [1, 2]\nb = [1, 2]\n"
    for name in ("plain", "theirs"):
        fill(tmp_path / name, text, lambda p, _: float(str(p["a"])) * float(str(p["b"])))
    write_report(tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "text.color": "red"}):
        write_report(tmp_path / "theirs")
        assert matplotlib.rcParams["font.size"] == 30
    for name in written(tmp_path / "plain"):
        if name.endswith(".png"):
            pictures = [(tmp_path / sweep / "report" / name).read_bytes() for sweep in ("plain", "theirs")]
            assert pictures[0] == pictures[1], name


def test_curves_have_the_others_behind_them_and_fit_a_column_as_the_table_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: dict[str, Any] = {}
    for module in ("curves", "table"):
        monkeypatch.setattr(
            f"gridrun.report.pictures.{module}.save", lambda figure, path: figures.update({path.stem: figure})
        )
    text = HEAD + 'budget = "epochs"\n[grid]\na = [1, 2, 3, 4, 5]\nb = [1, 2, 3]\nepochs = [3]\n'
    record(tmp_path, text, lambda p: [{"score": int(str(p["a"])) * k, "loss": 1 / k} for k in (1, 2, 3)])
    for style, widths in (("screen", (10.5, 6.5)), ("paper", (3.5, 3.5))):
        write_and_answer(tmp_path, Wanted(style=style))
        assert tuple(figures[name].get_figwidth() for name in ("curves", "table")) == widths
        for axes in figures["curves"].axes:
            behind = [line for line in axes.lines if line.get_color() == BEHIND]
            assert len(behind) == 15
            assert max(line.zorder for line in behind) < min(
                line.zorder for line in axes.lines if line not in behind
            )
        texts = [text.get_text() for text in figures["table"].axes[0].texts]
        assert any("Best of" in text for text in texts) is (style == "screen")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["svg", "pdf"])
def test_pictures_come_in_any_format_and_style_of_any_metric_and_axes(tmp_path: Path, format: str) -> None:
    text = HEAD + "[grid]\na = [1, 2]\nb = [1, 2]\nc = [1, 2]\n"
    fill(tmp_path, text, lambda p, _: float(str(p["a"])) * float(str(p["b"])))
    wanted = Wanted.read(format, "paper", "c,a", "train_loss")
    drawn = []
    for _ in range(2):
        write_and_answer(tmp_path, wanted)
        names = {name for name in written(tmp_path) if name.endswith(format)}
        drawn.append({name: (tmp_path / "report" / name).read_bytes() for name in names})
    assert {f"pairs-c-a.{format}", f"surface-b-1.{format}", f"table.{format}"} < drawn[0].keys()
    assert drawn[0] == drawn[1]  # neither a time nor chance
    assert not [name for name in written(tmp_path) if name.endswith(".png")]
    if format == "svg":
        assert b"train_loss" in drawn[0][f"pairs-c-a.{format}"]


def test_what_there_is_not_is_one_line(tmp_path: Path) -> None:
    for options, told in [
        (("gif", "screen", None, None), "no format 'gif'; write png, svg, pdf"),
        (("png", "glossy", None, None), "no style 'glossy'; write screen or paper"),
        (("png", "screen", "a", None), "--axes takes two axes, found 'a'"),
    ]:
        with pytest.raises(InputError, match=told):
            Wanted.read(*options)
    fill(tmp_path, HEAD + "[grid]\na = [1, 2]\n", lambda *_: 1.0)
    with pytest.raises(InputError, match="no completed cell has 'nope', found score, train_loss; write one"):
        write_and_answer(tmp_path, Wanted(metric="nope"))
    assert not (tmp_path / "report").exists()


def test_tables_are_pasted_as_they_read() -> None:
    header, rows = ["A_b", "Score"], [["1|2", "0.5 ± 0.1"], ["$x", "50 %"]]
    assert as_markdown(header, rows).splitlines() == [
        "| A\\_b | Score |", "| --: | --: |", "| 1\\|2 | 0.5 ± 0.1 |", "| $x | 50 % |",
    ]  # fmt: skip
    assert as_latex(header, rows).splitlines()[2:6] == [
        r"A\_b & Score \\", r"\midrule", r"1|2 & 0.5 $\pm$ 0.1 \\", r"\$x & 50 \% \\",
    ]  # fmt: skip


def test_squares_are_drawn_beside_one_that_is_as_small_as_a_float_can_be(tmp_path: Path) -> None:
    """A warning of NumPy's would be the user's to read."""
    text = HEAD + "[grid]\na = [1, 2, 3]\nb = [1, 2, 3]\n"
    record(tmp_path, text, lambda p: [{"score": -1.7e308 if (p["a"], p["b"]) == (1, 1) else p["a"] / 9}])  # type: ignore[operator, dict-item]
    assert draw_pairs(read(tmp_path), None, tmp_path) == ["pairs-a-b.png"]
