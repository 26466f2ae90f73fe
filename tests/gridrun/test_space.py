"""[[grid]], [zip.NAME] and [[exclude]] as grid.toml writes them: what they mean, and what is refused."""

from pathlib import Path

import pytest

from gridrun.cell import Params
from gridrun.errors import InputError
from gridrun.grid import Grid
from gridrun.spec import Spec

HEAD = '[sweep]\nname = "s"\ntrain = "m:f"\nmetric = "score"\n'
SGD = '[[grid]]\noptimizer = ["sgd"]\nlr = [0.1, 1.0]\nmomentum = [0.0, 0.9]\n'
ADAM = '[[grid]]\noptimizer = ["adam"]\nlr = [0.001, 0.1]\nbeta2 = [0.99, { null = true }]\n'
ZIP = "[zip.size]\nchannels = [[6], [6, 16]]\nkernel = [3, 3]\n"


def read(text: str) -> Grid:
    return Spec.parse(HEAD + text, "grid.toml").grid


def combinations(text: str) -> list[Params]:
    grid = read(text)
    return [grid.trajectory_params(index) for index in range(grid.trajectory_count)]


def test_a_union_has_the_combinations_of_each_grid_and_no_other_parameters() -> None:
    found = combinations(SGD + ADAM)
    assert len(found) == 8
    assert found[0] == {"optimizer": "sgd", "lr": 0.1, "momentum": 0.0}
    assert found[-1] == {"optimizer": "adam", "lr": 0.1, "beta2": None}  # null is a value, absence is none
    assert [axis.values for axis in read(SGD + ADAM).axes if axis.name == "lr"] == [(0.001, 0.1, 1.0)]


def test_one_table_of_an_array_is_a_plain_grid() -> None:
    assert read("[[grid]]\na = [1, 2]\n") == read("[grid]\na = [1, 2]\n")


def test_a_combination_in_two_grids_is_there_once_in_the_first() -> None:
    found = combinations("[[grid]]\na = [1, 2]\nb = [3.0]\n[[grid]]\nb = [3, 4]\na = [2, 1]\n")
    assert [(params["a"], params["b"]) for params in found] == [(1, 3.0), (2, 3.0), (2, 4), (1, 4)]


def test_a_zip_counts_as_one_axis_and_its_members_are_passed() -> None:
    found = combinations(f"[grid]\na = [1, 2]\n{ZIP}")
    assert found == [
        {"a": a, "channels": channels, "kernel": 3} for a in (1, 2) for channels in ((6,), (6, 16))
    ]
    assert combinations(ZIP) == [{"channels": (6,), "kernel": 3}, {"channels": (6, 16), "kernel": 3}]


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ('optimizer = "sgd"', 4 + 4 - 4),
        ("momentum = 0.9", 4 + 4 - 2),
        ("momentum = [0.9, 0]", 4),
        ('optimizer = ["adam", "sgd"]\nlr = 0.1', 8 - 4),
        ("beta2 = { null = true }\nlr = [0.1, 1]", 8 - 1),
        ("fixed = 7\nlr = 1.0", 8 - 2),
    ],
)
def test_what_matches_every_line_of_an_exclude_is_left_out(lines: str, left: int) -> None:
    assert len(read(f"{SGD}{ADAM}[fixed]\nfixed = 7\n[[exclude]]\n{lines}\n")) == left


def test_an_exclude_may_mean_a_list_or_its_values() -> None:
    axes = "[grid]\na = [[1], [1, 2], 3, 4]\n"
    assert [p["a"] for p in combinations(axes + "[[exclude]]\na = [1, 2]\n")] == [(1,), 3, 4]
    assert [p["a"] for p in combinations(axes + "[[exclude]]\na = [3, [1]]\n")] == [(1, 2), 4]


def test_only_what_is_there_counts_and_nothing_larger_is_enumerated() -> None:
    axis = "{ from = 1, to = 1000, num = 1000 }"
    wide = "".join(f"[[grid]]\n{name} = {axis}\n{name}{name} = {axis}\n" for name in "abcdefgh")
    assert len(read(wide)) == 8_000_000  # of a frame of 10^48
    with pytest.raises(InputError, match="larger than 10,000,000 cells"):
        read(f"[[grid]]\na = {axis}\nb = {axis}\nc = {axis}\n[[exclude]]\na = 1\n")


BUDGET = 'budget = "epochs"\n'
TWO = "[[grid]]\nepochs = [2, 5]\na = [1]\n[[grid]]\nb = [1]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[grid]]\na = [1]\n[[grid]]\n", "[[grid]] 2 needs an axis, found none"),
        ("[grid]\n", "[grid] needs an axis"),
        ("[[grid]]\na = 1\n", "[grid] a must be a list, found 1; write [1]"),
        ("[[grid]]\na = [1]\n[[grid]]\na = [2, 2]\n", "[[grid]] 2 a holds the same value twice"),
        (
            "[[grid]]\na = [1]\n[[grid]]\nb = [2]\n[fixed]\nb = 1\n",
            "b stands in two tables, found [fixed] and",
        ),
        ("[[fixed]]\na = 1\n[grid]\nb = [1]\n", "fixed must be a table"),
        ("[grid]\na = [1]\n[zip]\nb = [1]\n", "[zip] b must be a table, found [1]; write [zip.b]"),
        ("[grid]\na = [1]\n[[zip]]\nb = [1]\n", "zip must be a table"),
        ("[grid]\na = [1]\n[zip.z]\nb = [1]\n", "[zip.z] needs two axes that move together, found b"),
        ("[grid]\na = [1]\n[zip.z]\n", "[zip.z] needs two axes that move together, found none"),
        ("[grid]\na = [1]\n[zip.z]\nb = [1]\nc = [1, 2]\n", "lists of one length, found b has 1, c has 2"),
        ("[grid]\na = [1]\n[zip.z]\nb = [1, 2, 1]\nc = [3, 3, 3.0]\n", "twice, found numbers 1 and 3"),
        ("[grid]\na = [1]\n[zip.z]\na = [1]\nc = [1]\n", "a stands in two tables, found [grid] and [zip.z]"),
        ("[grid]\na = [1]\n[zip.a]\nb = [1]\nc = [1]\n", "a zip is called like a parameter"),
        ('[grid]\na = [1]\n[zip."\\u001b"]\nb = [1]\nc = [1]\n', "[zip] a name must be printable"),
        ("[grid]\na = [1]\n[exclude]\na = 1\n", "exclude must be tables"),
        ("[grid]\na = [1, 2]\n[[exclude]]\n", "[[exclude]] needs a line"),
        ("[grid]\na = [1, 2]\n[[exclude]]\nb = 1\n", "[[exclude]] has no axis 'b', found 1; write one of a"),
        ("[grid]\nlearn = [1, 2]\n[[exclude]]\nlearm = 1\n", "has no axis 'learm', found 1; write learn"),
        (
            "[grid]\na = [1, 2]\n[[exclude]]\na = 3\n",
            "[[exclude]] a has no value 3, found 3; write one of 1, 2",
        ),
        ("[grid]\na = [1, 2]\n[[exclude]]\na = [1, true]\n", "a has no value true"),
        ("[grid]\na = [1, 2]\n[[exclude]]\na = []\n", "a has no value []"),
        (
            "[grid]\na = [[1], 1, 2]\n[[exclude]]\na = [1]\n",
            "may mean one list or its values, found [1]; write [[1]]",
        ),
        ("[grid]\na = [1, 2]\n[[exclude]]\na = [1, 2]\n", "[[exclude]] leaves no combination"),
        ("[grid]\na = [1, 2]\n[replicate]\ns = [1]\n[[exclude]]\ns = 1\n", "[[exclude]] cannot name s"),
        (f"{BUDGET}[grid]\nepochs = [1, 2]\n[[exclude]]\nepochs = 1\n", "[[exclude]] cannot name epochs"),
        (
            f"{ZIP}[[exclude]]\nsize = 1\n",
            "cannot name size, found 1; write the zip's axes: channels, kernel",
        ),
        (
            "[[grid]]\na = [1]\nb = [2]\n[[grid]]\nc = [3]\n[[exclude]]\na = 1\nc = 3\n",
            "[[exclude]] matches no combination, found a = 1 and c = 3",
        ),
        ("[grid]\na = [1, 2]\n[[exclude]]\na = 1\n[[exclude]]\na = 9\n", "[[exclude]] 2 a has no value 9"),
        (f"{BUDGET}{TWO}", "[sweep] budget must name an axis of [[grid]] 2, found 'epochs'"),
        (
            f"{BUDGET}{TWO}epochs = [5]\n",
            "[[grid]] 2 epochs is the budget axis and must hold the same values",
        ),
        (f"{BUDGET}[grid]\na = [1]\n[zip.z]\nepochs = [1]\nb = [1]\n", "budget must name an axis of [grid]"),
        ("[[grid]]\na = [1]\n" * 1001, "[[grid]] may be written 1,000 times, found 1,001; write [zip.NAME]"),
    ],
    ids=lambda value: value[-50:],
)
def test_a_refusal_says_where_what_and_what_to_write(text: str, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        read(text)
    assert words in str(refusal.value)
    assert "; write " in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_same_epochs_in_another_order_are_the_same_budget_axis() -> None:
    grid = read(f"{BUDGET}{TWO}epochs = [5, 2]\n")
    assert (grid.budgets, len(grid)) == ((2, 5), 4)


def write_trainer(folder: Path, signature: str) -> Path:
    (folder / "mine.py").write_text(f"def train({signature}):\n    return {{'score': 1.0}}\n")
    (folder / "grid.toml").write_text(HEAD.replace("m:f", "mine.py:train") + SGD + ADAM)
    return folder / "grid.toml"


def test_a_function_takes_the_parameters_of_each_grid(tmp_path: Path) -> None:
    file = write_trainer(tmp_path, "*, optimizer, lr, momentum=0.5, beta2=0.9, eps=1e-8")
    spec = Spec.read(file)
    assert spec.trainer.find(spec.grid, file).defaults == {"eps": 1e-8}


def test_a_function_that_needs_what_a_grid_has_not_got_is_refused(tmp_path: Path) -> None:
    file = write_trainer(tmp_path, "*, optimizer, lr, beta2, momentum=0.5")
    spec = Spec.read(file)
    with pytest.raises(
        InputError, match="missing a required argument: 'beta2' with optimizer, lr, momentum; it"
    ):
        spec.trainer.find(spec.grid, file)


def test_a_command_names_in_braces_what_every_grid_has(tmp_path: Path) -> None:
    text = (HEAD + SGD + ADAM).replace('train = "m:f"', 'command = ["echo", "{momentum}", "{params}"]')
    spec = Spec.parse(text, "grid.toml")
    with pytest.raises(InputError, match=r"has \{momentum\}, which not every"):
        spec.trainer.find(spec.grid, tmp_path / "grid.toml")


def test_the_grid_of_the_page_has_the_combinations_that_it_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "grid.md").read_text(encoding="utf-8")
    example = page.partition("```toml\n")[2].partition("```")[0]
    grid = Spec.parse(example, "docs/grid.md").grid
    assert (grid.combination_count, len(grid)) == (62, 248)
    assert "It has 62 combinations" in page
    assert "248 cells" in page
