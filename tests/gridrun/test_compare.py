"""`gridrun compare`: two sweeps where their combinations meet, held to SciPy and statsmodels."""

import csv
import io
import math
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from scipy.stats import ttest_rel

from gridrun.cell import Params
from gridrun.errors import InputError
from gridrun.report.versus import as_csv, table, tell
from gridrun.results.aggregate import aggregate
from gridrun.results.compare import Compared, compare
from gridrun.store import Store
from tests.acceptance.quick import sweep_here

HEAD = '[sweep]\nname = "{name}"\ntrain = "{train}"\nmetric = "score"\n'
TRAIN = f"{__name__}:train"
METRIC: dict[str, Callable[[Params], float]] = {}


def train(**params: object) -> dict[str, float]:
    return {"score": METRIC["now"](params)}  # type: ignore[arg-type]


def noisy(params: Params) -> float:
    return float(str(params["lr"])) * 2 + Random(str(sorted(params.items()))).gauss(0, 0.3)


@pytest.fixture
def two(tmp_path: Path) -> Callable[..., Compared]:
    def make(*texts: str, metric: Callable[[Params], float] = noisy) -> Compared:
        found = []
        for name, text in zip("ab", texts, strict=True):
            METRIC["now"] = metric
            head = HEAD.format(name=name, train=TRAIN)
            sweep_here(tmp_path / name, text if text.startswith("[sweep]") else head + text)
            with Store.read(tmp_path / name) as store:
                found.append(aggregate(store))
        return compare(*found)

    return make


def test_p_values_are_scipys_paired_test_over_common_replicates_adjusted_by_statsmodels(
    two: Callable[..., Compared],
) -> None:
    found = two(
        "[fixed]\nnorm = 1\n[grid]\nlr = [1, 2, 3, 4]\n[replicate]\nseed = [0, 1, 2, 3, 4, 5]\n",
        "[fixed]\nnorm = 2\n[grid]\nlr = [4, 3, 2, 9]\n[replicate]\nseed = [9, 5, 4, 3, 2, 1]\n",
    )
    assert (found.on, found.differ, found.replicates) == (("lr",), {"norm": (1, 2)}, ("seed",))
    lrs, raw = [2, 3, 4], []
    for lr in lrs:
        runs = [[noisy({"norm": norm, "lr": lr, "seed": seed}) for seed in range(1, 6)] for norm in (1, 2)]
        raw.append(ttest_rel(*runs).pvalue)
        (meeting,) = (m for m in found.meetings if m.params == {"lr": lr})
        assert meeting.runs == 5
        assert meeting.one == pytest.approx(sum(runs[0]) / 5)
        assert meeting.other == pytest.approx(sum(runs[1]) / 5)
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    expected = dict(zip(lrs, multitest.multipletests(raw, method="holm")[1], strict=True))
    assert {m.params["lr"]: m.p for m in found.meetings} == pytest.approx(expected)


def test_what_is_better_beyond_noise_is_told_and_what_is_not_is_not(two: Callable[..., Compared]) -> None:
    def metric(params: Params) -> float:
        gain = {1: 0.0, 2: 5.0, 3: -5.0}[int(str(params["lr"]))] * (int(str(params["norm"])) - 1)
        return gain + Random(str(sorted(params.items()))).gauss(0, 0.1)

    text = "[fixed]\nnorm = {}\n[grid]\nlr = [1, 2, 3]\n[replicate]\nseed = [0, 1, 2, 3, 4]\n"
    found = two(text.format(1), text.format(2), metric=metric)
    assert found.beyond_noise() == (1, 1)
    told = list(tell(found))
    assert "They differ in norm 1 in A, 2 in B." in told
    assert told[-1] == (
        "Beyond noise B is better in 1 and worse in 1; 1 cannot be told apart"
        " (5 runs by seed, paired t, Holm, 5 %)."
    )


def test_less_is_better_where_it_is_and_what_diverged_is_worse(two: Callable[..., Compared]) -> None:
    def metric(params: Params) -> float:
        lr, norm = int(str(params["lr"])), int(str(params["norm"]))
        return {1: 1.0, 2: 2.0 * norm, 3: math.nan if norm == 2 else 1.0, 4: 3.0 / norm}[lr]

    head = HEAD.format(name="x", train=TRAIN) + 'mode = "min"\n'
    text = head + "[fixed]\nnorm = {}\n[grid]\nlr = [1, 2, 3, 4]\n"
    found = two(text.format(1), text.format(2), metric=metric)
    assert found.better() == (1, 2, 1)  # lr 4; lr 2 and 3; lr 1
    assert list(tell(found))[-1] == "No replicates in common: of a single pair nothing is claimed."


def test_an_axis_that_the_other_has_fixed_is_compared_where_it_has_that_value(
    two: Callable[..., Compared],
) -> None:
    found = two("[grid]\nlr = [1, 2]\nnorm = [1, 2, 3]\n", "[fixed]\nnorm = 2\n[grid]\nlr = [1, 2, 3]\n")
    assert found.on == ("lr", "norm")
    assert sorted(str(m.params) for m in found.meetings) == ["{'lr': 1, 'norm': 2}", "{'lr': 2, 'norm': 2}"]
    # And one that the other does not know at all meets it with each of its values.
    found = two("[grid]\nlr = [1, 2]\n", "[grid]\nlr = [1, 2]\nmomentum = [0, 0.9]\n")
    assert (found.on, len(found.meetings)) == (("lr",), 4)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("[grid]\nlr = [3, 4]\n", "a and b nowhere meet: no two of their combinations agree in lr"),
        (
            HEAD.format(name="b", train=TRAIN).replace('"score"', '"score"\nmode = "min"')
            + "[grid]\nlr = [1]\n",
            r"a selects on score \(max\), b on score \(min\); name two sweeps of one metric",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    two: Callable[..., Compared], other: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        two("[grid]\nlr = [1, 2]\n", other)


def test_texts_of_strangers_are_no_formulas_in_the_csv_either(two: Callable[..., Compared]) -> None:
    text = '[grid]\nlr = [1, 2]\n"+b" = ["=HYPERLINK(1)", "+1", "plain"]\n'
    rows = list(csv.reader(io.StringIO(as_csv(two(text, text, metric=lambda p: float(str(p["lr"])))))))
    assert rows[0] == ["lr", "'+b", "A", "B", "difference", "runs", "p"]
    assert {row[0] for row in rows[1:]} == {"1", "2"}
    assert {row[1] for row in rows[1:]} == {"'=HYPERLINK(1)", "'+1", "plain"}


def test_the_csv_has_every_pair_and_the_table_fits_the_terminal(two: Callable[..., Compared]) -> None:
    from rich.console import Console

    text = '[fixed]\nnorm = {}\n[grid]\nlr = [1, 2, 3]\na_rather_long_name = ["one", "two"]\n'
    found = two(
        text.format(1) + "[replicate]\nseed = [1, 2]\n", text.format(2) + "[replicate]\nseed = [2, 1]\n"
    )
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert len(rows) == 6
    for row, meeting in zip(rows, sorted(found.meetings, key=lambda m: -max(m.one, m.other)), strict=True):
        assert (float(row["A"]), float(row["B"]), int(row["runs"])) == (meeting.one, meeting.other, 2)
        assert float(row["difference"]) == meeting.difference
        assert float(row["p"]) == meeting.p
    for width in (40, 80):
        console = Console(width=width)
        with console.capture() as drawn:
            console.print(table(found, 4, width))
        lines = drawn.get().splitlines()
        assert all(len(line) <= width for line in lines)
        assert "4 of 6; --csv FILE writes all" in drawn.get()
