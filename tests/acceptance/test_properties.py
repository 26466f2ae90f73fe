"""A grid extended, narrowed, reordered and interrupted ends where one clean run of its last form ends."""

import random
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridrun.cell import encode_value
from gridrun.errors import InputError
from gridrun.outcome import Outcome
from gridrun.spec import Spec
from gridrun.store import Store
from tests.acceptance import quick
from tests.acceptance.conftest import SOAK
from tests.acceptance.quick import HEAD, Killed, sweep_here, tables_of

# However a value is written, it is one value: the texts of one line name the same cells.
SPELLED = [
    ("0.01", "1e-2", "0.010", "1.0e-02"),
    ("1", "1.0", "1e0", "+1"),
    ("100", "1e2", "1_00"),
    ("0", "0.0", "-0.0"),
    ("'x'", '"x"', '"\\u0078"'),
    ("true",),
    ("[1, 2]", "[1.0, 2]"),
    ("-3", "-3.0"),
]
spelled = st.sampled_from(SPELLED).flatmap(st.sampled_from)


def content(text: str) -> str:
    return next(line[0] for line in SPELLED if text in line)


axis = st.lists(spelled, min_size=1, max_size=3, unique_by=content)
epochs = st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True)


@st.composite
def grids(draw: st.DrawFn) -> str:
    """Axes in any order, each an axis, a replicate axis or fixed; values in any order and spelling.

    Several [[grid]] have some of the axes each, a zip may have others, and combinations are left out.
    """
    tables: dict[str, list[str]] = {"fixed": [], "grid": [], "zip.z": [], "replicate": []}
    values: dict[str, list[str]] = {}
    for name in draw(st.permutations(["a", "b", "c"])):
        table = draw(st.sampled_from(["grid", "grid", "grid", "replicate", "fixed", "absent"]))
        if table == "fixed":
            tables[table].append(f"{name} = {draw(spelled)}")
        elif table != "absent":
            values[name] = draw(axis)
            tables[table].append(f"{name} = [{', '.join(values[name])}]")
    if len(tables["grid"]) > 1 and draw(st.booleans()):
        lines = [tables["grid"].pop(), tables["grid"].pop()]
        shortest = min(len(values[line[0]]) for line in lines)
        tables["zip.z"] = [f"{line[0]} = [{', '.join(values[line[0]][:shortest])}]" for line in lines]
    budget = f"epochs = {draw(epochs)}"
    parts = [tables["grid"]]
    if draw(st.booleans()):
        own = st.lists(st.sampled_from(tables["grid"]), unique=True) if tables["grid"] else st.just([])
        parts += draw(st.lists(own, min_size=1, max_size=3))
    sections = [
        f"[{'[grid]' if len(parts) > 1 else 'grid'}]\n" + _lines(draw, [*part, budget]) for part in parts
    ]
    sections += [
        f"[{name}]\n" + _lines(draw, lines) for name, lines in tables.items() if name != "grid" and lines
    ]
    sections = draw(st.permutations(sections))
    for names in draw(st.lists(st.lists(st.sampled_from("abc"), min_size=1, unique=True), max_size=2)):
        lines = [f"{name} = {draw(st.sampled_from(values[name]))}" for name in names if name in values]
        sections.append("[[exclude]]\n" + _lines(draw, lines))
    text = HEAD + 'budget = "epochs"\n' + "".join(sections)
    with suppress(InputError):  # an [[exclude]] that names a replicate axis, or leaves nothing
        Spec.parse(text, "grid.toml")
        return text
    return HEAD + 'budget = "epochs"\n' + "".join(s for s in sections if not s.startswith("[[exclude]]"))


def _lines(draw: st.DrawFn, lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in draw(st.permutations(lines)))


@settings(max_examples=1000 if SOAK else 60)
@given(st.lists(st.tuples(grids(), st.integers(0, 12)), min_size=1, max_size=5), st.booleans())
def test_any_history_of_grids_and_interruptions_ends_where_a_clean_run_ends(
    steps: list[tuple[str, int]], retry: bool
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="gridrun-test-"))
    try:
        for text, commits in steps:
            left = commits

            def saved(_: Sequence[Outcome]) -> None:
                nonlocal left
                left -= 1
                if left <= 0:
                    raise Killed

            try:
                sweep_here(folder / "used", text, saved)
            except Killed:
                continue
        text = steps[-1][0]
        count = sweep_here(folder / "used", text, retry_failed=retry)
        assert count.pending == 0
        assert count == sweep_here(folder / "clean", text)
        quick.called.clear()
        assert sweep_here(folder / "used", text) == count
        assert quick.called == []  # what is finished is not started again
        if count.completed:
            assert tables_of(folder / "used", folder / "csv") == tables_of(folder / "clean", folder / "csv")
    finally:
        shutil.rmtree(folder)


@given(st.data())
def test_however_a_value_is_written_it_names_the_same_cell_and_twice_in_an_axis_it_is_refused(
    data: st.DataObject,
) -> None:
    line = data.draw(st.sampled_from([line for line in SPELLED if len(line) > 1]))
    one, other = data.draw(st.permutations(line))[:2]
    with tempfile.TemporaryDirectory() as folder:
        sweep_here(Path(folder) / "out", HEAD + f"[grid]\na = [{one}]\n")
        for again, new in (
            (f"[grid]\na = [{other}]\n", 0),
            (f"[fixed]\na = {other}\n[grid]\nb = [7]\n", 1),  # a parameter more is another cell
            (f"[grid]\nb = [7.0]\n[replicate]\na = [{one}]\n", 0),
        ):
            quick.called.clear()
            sweep_here(Path(folder) / "out", HEAD + again)
            assert len(quick.called) == new
        with pytest.raises(InputError, match="holds the same value twice"):
            sweep_here(Path(folder) / "out", HEAD + f"[grid]\na = [{one}, {other}]\n")


def test_true_and_one_are_two_cells_and_so_are_a_text_and_its_number(tmp_path: Path) -> None:
    values = ["true", "1", "'1'", "[1]", "'true'", "'[1]'"]
    random.shuffle(values)
    count = sweep_here(tmp_path / "out", HEAD + f"[grid]\na = [{', '.join(values)}]\n")
    assert count.total == 6
    assert len({encode_value(v) for v in (True, 1, "1", (1,), "true", "[1]")}) == 6
    with Store.read(tmp_path / "out") as store:
        assert len(store.progress()) == 6
