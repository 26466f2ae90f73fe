"""grid.toml: what is read, and every refusal."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridrun.errors import GridrunError, InputError
from gridrun.spec import Spec

HEAD = '[sweep]\nname = "s"\ntrain = "m:f"\nmetric = "accuracy"\n'
ROOT = Path(__file__).parents[2]


def read(text: str) -> Spec:
    return Spec.parse(text, "grid.toml")


def test_the_study_is_160_cells_in_80_trajectories() -> None:
    spec = Spec.read(ROOT / "grid.toml")
    assert (len(spec.grid), spec.grid.trajectory_count) == (160, 80)
    assert (spec.mode, spec.grid.budgets) == ("max", (2, 5))


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ('{ from = 1e-5, to = 1e-1, num = 5, scale = "log" }', (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)),
        ("{ from = 16, to = 128, num = 4, scale = 'log' }", (16, 32, 64, 128)),
        ("{ from = 1000, to = 1, num = 4, scale = 'log' }", (1000, 100, 10, 1)),
        ("{ from = 1, to = 10, num = 3, scale = 'log' }", (1.0, 3.16227766017, 10.0)),
        ("{ from = 16, to = 60, step = 16 }", (16, 32, 48)),
        ("{ from = 0.1, to = 0.3, step = 0.1 }", (0.1, 0.2, 0.3)),
        ("{ from = 3, to = 1, step = -1 }", (3, 2, 1)),
        ("{ from = 1, to = 5, num = 3 }", (1, 3, 5)),
        ("{ from = 0.0, to = 1.0, num = 3 }", (0.0, 0.5, 1.0)),
        ('[1, 0.5, "a", true, [6, 16]]', (1, 0.5, "a", True, (6, 16))),
    ],
)
def test_an_axis_is_a_list_or_a_range(axis: str, values: tuple[object, ...]) -> None:
    found = read(f"{HEAD}[grid]\na = {axis}").grid.axes[0].values
    assert (found, [type(value) for value in found]) == (values, [type(value) for value in values])


def test_a_value_is_whatever_json_can_say() -> None:
    text = f"""{HEAD}[fixed]
model = {{ depth = 3, widths = [1, [2, {{ null = true }}]] }}
[grid]
a = [{{ null = true }}, [[1, 2], []], {{ b = 1, c = {{ d = "x" }} }}, {{ c = {{ d = "x" }}, b = 2 }}]
"""
    grid = read(text).grid
    assert grid.fixed == {"model": {"depth": 3, "widths": (1, (2, None))}}
    assert grid.axes[0].values == (
        None, ((1, 2), ()), {"b": 1, "c": {"d": "x"}}, {"b": 2, "c": {"d": "x"}},
    )  # fmt: skip


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text("\ufeff" + f"{HEAD}[grid]\na = [1]\n", encoding="utf-8")
    assert Spec.read(tmp_path / "grid.toml").grid.axes[0].values == (1,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "[sweep] is missing"),
        ("[sweep", "is not TOML"),
        (HEAD, "[grid] is missing"),
        (f"{HEAD}[grid]", "[grid] needs an axis"),
        (f"{HEAD}[grid]\na = 3", "[grid] a must be a list, found 3; write [3]"),
        (f"{HEAD}[grid]\na = []", "[grid] a must hold a value"),
        (f"{HEAD}[grid]\na = [0.01, 1e-2]", "[grid] a holds the same value twice"),
        (f"{HEAD}[grid]\na = [1, 1.0]", "[grid] a holds the same value twice"),
        (f"{HEAD}[grid]\na = [nan]", "[grid] a must be finite, found nan"),
        (f"{HEAD}[grid]\na = [{{ b = [1, nan] }}]", "[grid] a.b must be finite, found nan"),
        (f"{HEAD}[grid]\na = [{{ null = 1 }}]", "[grid] a null must be true, found 1"),
        (f"{HEAD}[grid]\na = [{{ b = 1.0 }}, {{ b = 1 }}]", "[grid] a holds the same value twice"),
        (f"{HEAD}[grid]\na = [{'[' * 25}{']' * 25}]", "[grid] a is nested too deeply"),
        (
            f"{HEAD}[grid]\na = [1979-05-27]",
            "must be made of numbers, strings, true or false, lists and tables",
        ),
        (f"{HEAD}[grid]\na = [{10**30}]", "must fit in 64 bits"),
        (f"{HEAD}[grid]\na = [1]\n[fixed]\na = 1", "a stands in two tables, found [fixed] and [grid]"),
        (f"{HEAD}[grdi]\na = [1]", "no such table or key 'grdi', found it at the top; write [grid]"),
        (f"{HEAD}metrik = 1\n[grid]\na = [1]", "[sweep] has no key 'metrik', found 1; write metric"),
        (f'{HEAD}budget = "b"\n[grid]\na = [1]', "[sweep] budget must name an axis of [grid], found 'b'"),
        (f'{HEAD}budget = "a"\n[grid]\na = [0, 2]', "must hold whole numbers from 1, found 0"),
        (f'{HEAD}mode = "best"\n[grid]\na = [1]', '[sweep] mode must be "max" or "min"'),
        (f'{HEAD}[grid]\n" b" = [1]', "a parameter's name must be printable"),
        (f"{HEAD}[grid]\na = {{ from = 1, to = 2 }}", "is a range and needs num"),
        (f"{HEAD}[grid]\na = {{ from = 1, to = 2, step = 0 }}", "step must lead from 1 to 2, found 0"),
        (f"{HEAD}[grid]\na = {{ from = 1, to = 2, step = -1 }}", "step must lead from 1 to 2, found -1"),
        (f"{HEAD}[grid]\na = {{ from = 1, to = 2, step = 1, num = 2 }}", "with step and needs no num"),
        (
            f"{HEAD}[grid]\na = {{ from = 1, to = 2, step = 5 }}",
            "must make 2 to 1000000 values, found 0.2 steps",
        ),
        (f"{HEAD}[grid]\na = {{ from = 0, to = 1e308, step = 1e-9 }}", "must make 2 to 1000000 values"),
        (f'{HEAD}[grid]\na = {{ from = 0, to = 2, num = 3, scale = "log" }}', "above 0 on a log scale"),
        (f"{HEAD}[grid]\na = [1]\n[run]\njobs = 0", "[run] jobs must not be 0"),
        (f'{HEAD}[grid]\na = [1]\n[run]\norder = "any"', '[run] order must be "grid" or "random"'),
        (f"{HEAD}[grid]\na = [1]\n[run]\norder = [1]", "[run] order must be"),
        (f"{HEAD}[grid]\na = [1]\n[run]\nthreads = 0", "[run] threads must be 1 or more, found 0"),
        (f"{HEAD}[grid]\na = [1]\n[run]\nthreads = true", "[run] threads must be a whole number"),
        (f'{HEAD}[grid]\na = [1]\n[run]\nbackend = "lokey"', "write loky"),
        (f"{HEAD}[grid]\na = [1]\n[run]\ntimeout_s = -1", "[run] timeout_s must be a number of seconds"),
        (HEAD.replace('"s"', '"../up"') + "[grid]\na = [1]", "[sweep] name must be letters"),
        (HEAD.replace('"s"', '".."') + "[grid]\na = [1]", "[sweep] name must be letters"),
        (HEAD.replace('"m:f"', '"m"') + "[grid]\na = [1]", '[sweep] train must be "module:name"'),
        ("x = " + "[" * 3000, "grid.toml: "),
        ("x = 1" + "0" * 5000, "is not TOML"),
    ],
    ids=lambda value: value[-40:],
)
def test_a_refusal_says_where_what_and_what_to_write(text: str, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        read(text)
    assert words in str(refusal.value)
    assert str(refusal.value).startswith("grid.toml: ")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "grid.toml"
    if content is not None:
        path.write_bytes(content)
    for place in (path, tmp_path):
        with pytest.raises(InputError):
            Spec.read(place)


@contextmanager
def suppress_refusal() -> Iterator[list[GridrunError]]:
    refusals: list[GridrunError] = []
    try:
        yield refusals
    except GridrunError as refusal:
        refusals.append(refusal)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "from", "num"]), inner),
    max_leaves=4,
)


def as_toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {as_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(c):08x}" for c in value if not 0xD800 <= ord(c) < 0xE000) + '"'
    return (
        {None: "''", True: "true", False: "false"}.get(value, str(value))
        if value is None
        # type: ignore[arg-type]
        else (str(value).lower() if isinstance(value, bool) else str(value))
    )


keys = st.sampled_from(["name", "train", "metric", "mode", "budget", "jobs", "timeout_s", "a", "b"])
tables = st.sampled_from(["sweep", "grid", "fixed", "replicate", "run", "other"])


@given(st.dictionaries(tables, st.dictionaries(keys, values, max_size=4), max_size=5))
def test_whatever_is_written_is_read_or_refused_in_one_line(document: dict[str, dict[str, object]]) -> None:
    text = "".join(
        f"[{table}]\n" + "".join(f"{key} = {as_toml(value)}\n" for key, value in entries.items())
        for table, entries in document.items()
    )
    for whole in (text, HEAD + text.replace("[sweep]", "[other]")):
        with suppress_refusal() as refusals:
            assert len(read(whole).grid) >= 1
        assert all(refusal.exit_code == 2 and "\n" not in str(refusal) for refusal in refusals)
