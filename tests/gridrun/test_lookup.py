"""Cells asked for by id, by rank, by parameters."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gridrun.cell import Cell, Identity
from gridrun.errors import InputError
from gridrun.outcome import Failure, Outcome
from gridrun.results.aggregate import aggregate
from gridrun.results.lines import list_cells, tell_cell
from gridrun.results.lookup import find_cells
from gridrun.spec import Spec
from gridrun.store import Store

TEXT = """
[sweep]
name = "t"
train = "m:f"
metric = "score"
budget = "epochs"
[fixed]
depth = 3
[grid]
learning_rate = [0.1, 1e-3, 1]
layers = [[6], [6, 16]]
epochs = [1, 3]
optimizer = ["sgd", "adam, no", "true"]
nesterov = [true, false]
[replicate]
seed = [0, 1]
"""
SPEC = Spec.parse(TEXT, "grid.toml")
IDENTITY = Identity("m:f", None, ((None, SPEC.grid.trajectory_count),))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Every trajectory completed; the score tells all parameters apart, but for ties over nesterov."""
    outcomes = []
    for index, name in enumerate(SPEC.grid.trajectory_ids(IDENTITY)):
        params = SPEC.grid.trajectory_params(index)
        score = float(index // 4) * (-1) ** (index // 4)
        outcomes.append(Outcome(name, params, [{"score": score + k} for k in (0, 2, 1)], None, 0.1))
    with Store.write(tmp_path) as store:
        store.begin(TEXT, IDENTITY, {}, {})
        store.save(outcomes)
        yield store


def cells(store: Store, query: str | None) -> list[Cell]:
    grid = SPEC.grid
    return [
        grid.cell(index, grid.trajectory_id(IDENTITY, index), budget)
        for index, budget in find_cells(store, SPEC, query)
    ]


def test_all_cells_are_those_of_the_grid_in_its_order(store: Store) -> None:
    assert cells(store, None) == list(SPEC.grid.cells(IDENTITY))


@pytest.mark.parametrize(
    "query",
    [
        "learning_rate=0.001", "lr=1e-3", "lr=.001", "learn=0.0010",
    ],
)  # fmt: skip
def test_an_axis_may_be_abbreviated_and_a_number_spelled_in_any_way(store: Store, query: str) -> None:
    expected = [cell for cell in SPEC.grid.cells(IDENTITY) if cell.params["learning_rate"] == 0.001]
    assert cells(store, query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("lr=1.0", {"learning_rate": 1}),
        ("layers=[6,16],seed=1", {"layers": (6, 16), "seed": 1}),
        ("layers=[6, 16], seed=1", {"layers": (6, 16), "seed": 1}),
        ("opt=sgd,ep=3", {"optimizer": "sgd", "epochs": 3}),
        ("opt=adam, no", {"optimizer": "adam, no"}),
        ("opt=true,nest=true", {"optimizer": "true", "nesterov": True}),
        ('opt="sgd"', {"optimizer": "sgd"}),
    ],
)
def test_parameters_name_all_cells_that_have_them(
    store: Store, query: str, expected: dict[str, object]
) -> None:
    found = cells(store, query)
    assert found == [
        cell for cell in SPEC.grid.cells(IDENTITY) if expected.items() <= dict(cell.params).items()
    ]
    assert found


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("lr=0.2", "learning_rate has no value '0.2'; write one of 0.1, 0.001, 1"),
        ("l=1", "'l' may be learning_rate or layers"),
        ("depth=3", "depth is the same in every cell"),
        ("optimiser=sgd", "no axis is called 'optimiser'; write optimizer"),
        ("lr=1,learning_rate=1", "named twice"),
        ("=1", "no axis is called ''"),
        ("#0", "write '#1'"),
        ("#x", "write '#1'"),
        ("#37", "the leaderboard ends with #36"),
        ("zz", "no cell's id begins with 'zz'"),
        ("", "must not be empty"),
    ],
)
def test_what_names_no_cell_is_refused_with_what_to_write(store: Store, query: str, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("[", r"\[")):
        cells(store, query)


def test_a_rank_is_that_of_the_leaderboard_and_best_is_the_first(store: Store) -> None:
    best = aggregate(store).best
    for rank in (1, 2, 3, 17, 36):
        row = best.iloc[rank - 1]
        found = cells(store, f"#{rank}")
        assert [cell.params["seed"] for cell in found] == [0, 1]
        for axis in SPEC.grid.axes:
            assert all(cell.params[axis.name] == row[axis.name] for cell in found)
    assert cells(store, "best") == cells(store, "#1")


@pytest.mark.parametrize("query", ["best", "#1"])
def test_where_nothing_is_completed_nothing_is_ranked(tmp_path: Path, query: str) -> None:
    with pytest.raises(InputError, match="no completed cell with a finite score yet"):
        told(tmp_path, {"history": [], "failure": Failure("timed out after 2 s")}, query)


def test_the_beginning_of_an_id_is_enough_if_it_is_of_one_cell(store: Store) -> None:
    cell = next(SPEC.grid.cells(IDENTITY))
    assert cells(store, cell.id[:12]) == [cell]
    with pytest.raises(InputError, match="begins more than one"):
        cells(store, "a")


# What is told of them.

EPOCHS = (
    '[sweep]\nname = "t"\ntrain = "m:f"\nmetric = "score"\nbudget = "epochs"\n'
    "[grid]\na = [1, 2]\nepochs = [1, 4]\n"
)


def told(directory: Path, outcome: dict[str, object], query: str, text: str = EPOCHS) -> str:
    spec = Spec.parse(text, "grid.toml")
    identity = Identity("m:f", None, ((None, 2),))
    name = spec.grid.trajectory_id(identity, 0)
    given = {"failure": None, "wall_s": 0.1, **outcome}
    with Store.write(directory) as store:
        store.begin(text, identity, {}, {})
        store.save([Outcome(name, spec.grid.trajectory_params(0), **given)])  # type: ignore[arg-type]
        found = list(find_cells(store, spec, query))
        if len(found) > 1:
            return "\n".join(list_cells(store, spec, found, 2, failed=False))
        index, budget = found[0]
        cell = spec.grid.cell(index, spec.grid.trajectory_id(identity, index), budget)
        return "\n".join(tell_cell(store, spec, cell))


def test_metrics_that_come_go_and_change_order_stand_under_their_own_names(tmp_path: Path) -> None:
    history = [
        {"score": 1.0, "a_long_name_of_a_metric": 2.0},
        {"late": 3.0, "score": 4.0},
        {"a_long_name_of_a_metric": 5.0},
        {"score": 6.0},
    ]
    lines = told(tmp_path, {"history": history}, "a=1,epochs=4").splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("epoch "))
    ends = {name: lines[header].index(name) + len(name) for name in lines[header].split()}
    assert list(ends) == ["epoch", "score", "a_long_name_of_a_metric", "late"]
    for epoch, metrics in enumerate(history, start=1):
        line = lines[header + epoch]
        shown = {name: line[:end].split() for name, end in ends.items()}
        assert shown["epoch"] == [str(epoch)]
        for before, name in zip(list(ends), list(ends)[1:], strict=False):
            between = line[ends[before] : ends[name]].strip()
            assert between == (f"{metrics[name]:.6g}" if name in metrics else "")


def test_a_cell_whose_trajectory_failed_later_is_completed_and_says_so(tmp_path: Path) -> None:
    outcome = {"history": [{"score": 1.0}], "failure": Failure("ValueError: no", "Traceback: x")}
    text = told(tmp_path, outcome, "a=1,epochs=1")
    assert ": completed\n" in text
    assert "its trajectory failed later, after 1 epoch: ValueError: no" in text
    assert "Traceback" not in text
    other = text.split("gridrun show ")[1].split()[0]
    failed = told(tmp_path, outcome, "a=1,epochs=4")
    assert failed.startswith(f"cell {other}: failed after 1 of 4 epochs\n")
    assert "\nValueError: no\nTraceback: x" in failed


def test_a_run_that_ended_by_itself_is_told_as_stopped_early(tmp_path: Path) -> None:
    text = told(tmp_path, {"history": [{"score": 1.0}] * 3, "ended": True}, "a=1,epochs=4")
    assert ": completed, stopped early after 3 of 4 epochs\n" in text


def test_the_epoch_that_speaks_for_a_cell_is_told_where_it_is_not_the_last(tmp_path: Path) -> None:
    history = [{"score": score} for score in (1.0, 9.0, 2.0, 3.0)]
    best = EPOCHS.replace("[grid]", 'epoch = "best"\n[grid]')
    assert "its best epoch, 2, speaks for it" in told(tmp_path, {"history": history}, "a=1,epochs=4", best)


def test_a_list_says_status_metric_and_how_many_more_there_are(tmp_path: Path) -> None:
    lines = told(tmp_path, {"history": [{"score": 1.0}]}, "ep=1").splitlines()
    assert [line.split(None, 1)[1] for line in lines] == [
        "completed  a 1, epochs 1: score 1",
        "pending    a 2, epochs 1",
    ]
    more = told(tmp_path, {"history": [{"score": 1.0}]}, "a=1").splitlines()
    assert len(more) == 2


def test_the_string_that_looks_like_a_number_is_told_apart_from_it(tmp_path: Path) -> None:
    text = EPOCHS.replace("a = [1, 2]", 'a = [1, "1"]')
    outcome: dict[str, object] = {"history": [{"score": 1.0}]}
    assert '  a = "1"\n' in told(tmp_path, outcome, 'a="1",ep=1', text)
    assert [line.split(None, 1)[1] for line in told(tmp_path, outcome, "a=1,ep=1", text).splitlines()] == [
        "completed  a 1, epochs 1: score 1",
        'pending    a "1", epochs 1',
    ]


def test_any_value_that_json_can_say_can_be_asked_for(tmp_path: Path) -> None:
    text = EPOCHS.replace("a = [1, 2]", "a = [{ null = true }, { b = [1, { c = 2.0 }] }]")
    outcome: dict[str, object] = {"history": [{"score": 1.0}]}
    assert "  a = null\n" in told(tmp_path, outcome, "a=null,ep=1", text)
    assert "  a = {b = [1, {c = 2.0}]}\n" in told(tmp_path, outcome, 'a={"b": [1, {"c": 2}]},ep=1', text)
