"""What a report says first: summary.json and the sentences, on grids whose answer is known."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridrun.cell import Identity, Params
from gridrun.errors import InputError
from gridrun.metrics import Bits
from gridrun.outcome import Failure, Outcome
from gridrun.report import summary as summary_module
from gridrun.report.sentences import tell
from gridrun.report.summary import write_summary
from gridrun.results.aggregate import Aggregate, aggregate
from gridrun.results.answer import find_answer
from gridrun.results.edges import next_value
from gridrun.results.picks import overlap_of
from gridrun.spec import Spec
from gridrun.store import Store

HEAD = '[sweep]\nname = "t"\ntrain = "no_such_module:train"\nmetric = "score"\n'
SEEDS = "[replicate]\nseed = [0, 1, 2, 3, 4]\n"


def answer_of(
    directory: Path, text: str, score: Callable[[Params, int], float], told: Mapping[str, Bits] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """What summary.json and the terminal say of a sweep in which each epoch had this score."""
    spec = Spec.parse(text, "grid.toml")
    grid = spec.grid
    identity = Identity(spec.trainer.name, None, ((None, grid.trajectory_count),))
    outcomes = []
    for index, name in enumerate(grid.trajectory_ids(identity)):
        params = grid.trajectory_params(index)
        history = [{"score": score(params, k)} for k in range(1, max(grid.budgets, default=1) + 1)]
        bits = [{"correct": told[str(params)]}] if told else []
        outcomes.append(Outcome(name, params, history, None, 0.1, bits=bits))
    with Store.write(directory) as store:
        store.begin(text, identity, {}, {"python": "3.11"})
        store.save(outcomes)
    result = read(directory)
    answer = find_answer(result)
    write_summary(result, answer, directory / "summary.json")
    return json.loads((directory / "summary.json").read_text()), tell(result, answer)


def read(directory: Path) -> Aggregate:
    with Store.read(directory) as store:
        return aggregate(store)


def test_where_one_run_of_the_best_is_left_nothing_is_claimed(tmp_path: Path) -> None:
    text = f"{HEAD}[grid]\na = [1, 2, 3]\n{SEEDS}"
    spec = Spec.parse(text, "grid.toml")
    identity = Identity(spec.trainer.name, None, ((None, 15),))
    with Store.write(tmp_path) as store:
        store.begin(text, identity, {}, {})
        for index, name in enumerate(spec.grid.trajectory_ids(identity)):
            params, failure = spec.grid.trajectory_params(index), Failure("no luck") if index % 5 else None
            history = [] if failure else [{"score": float(index)}]
            store.save([Outcome(name, params, history, failure, 0.1)])
    result = read(tmp_path)
    answer = find_answer(result)
    assert answer is not None
    assert (answer.ties, answer.stability) == (None, ())
    lines = tell(result, answer)
    assert "One run of the best is completed: nothing is claimed of differences." in lines
    assert not any("paired t" in line or "samples" in line for line in lines)


def noise(params: Params) -> float:
    """The same for each run of the same name."""
    return float(np.random.default_rng(list(map(ord, str(sorted(params.items()))))).normal())


def test_a_study_with_seeds_says_what_is_tied_what_matters_and_where_to_go_on(tmp_path: Path) -> None:
    text = f'{HEAD}budget = "epochs"\n[fixed]\nsize = 7\n[grid]\nlr = [0.1, 0.01, 1.0]\nb = ["x", "y"]\n'
    text += f"epochs = [1, 4]\n{SEEDS}"

    def score(params: Params, epoch: int) -> float:
        return {0.1: 0.5, 0.01: 0.2, 1.0: 0.9}[params["lr"]] + 0.01 * epoch + 1e-4 * noise(params)  # type: ignore[index]

    summary, lines = answer_of(tmp_path, text, score)
    best = summary["best"]
    assert best["params"] == {"size": 7, "lr": 1.0, "b": best["params"]["b"], "epochs": 4}
    assert best["count"] == 5
    assert 0 < best["std"] < 3e-4
    assert best["metric"] == pytest.approx(0.94, abs=1e-3)
    assert summary["chosen"] == {**best, "rule": "best"}
    (tied,) = summary["tied"]
    assert tied["params"]["lr"] == 1.0
    assert tied["params"]["b"] != best["params"]["b"]
    assert tied["p"] > 0.05
    assert summary["tied_count"] == 1
    assert summary["boundary"] == [
        {"axis": "lr", "value": 1.0, "end": "high", "try": 10.0, "cells": 20, "runs": 10},
        {"axis": "epochs", "value": 4, "end": "high", "try": 7, "cells": 30, "runs": 30},
    ]
    assert summary["effects"][0]["term"] == "lr"
    assert summary["effects"][0]["share"] > 0.98
    assert [point["n"] for point in summary["search_curve"]] == [1, 2, 3, 5, 6]
    assert summary["counts"]["completed"] == 60
    assert summary["versions"] == {"python": "3.11"}
    (flat,) = summary["flat"]
    assert flat["axis"] == "b"
    (budgets,) = summary["budgets"]
    assert (budgets["budget"], budgets["count"], budgets["rank"]) == (1, 6, 1)
    assert [(along["axis"], along["worst"]) for along in summary["sensitivity"]] == [
        ("lr", 0.01), ("b", tied["params"]["b"]), ("epochs", 1),
    ]  # fmt: skip
    assert lines == [
        f"Best: score {best['metric']:.4f}, standard deviation {best['std']:.4g} over 5 runs"
        f" (95 %: {best['low']:.4f} to {best['high']:.4f}), cell {best['cell']}.",
        "What matters, of the variance of score: lr 100 %, noise 0 %.",
        "May go, as next to nothing of the variance is theirs, interplays included:"
        f" b ({100 * max(flat['share'], 0):.1f} %; one value alone loses {flat['loss']:.4g} at most).",
        "From the best, one axis alone moves the metric by up to: lr 0.7000, epochs 0.0300,"
        f" b {flat['loss']:.4g}.",
        "1 of 5 other combinations cannot be told from the best by seed (5 runs, paired t, Holm, 5 %).",
        f"{best['metric']:.4f} is the luckiest score of 6 combinations: by how much is not known, as the"
        " trainer gives no `correct`, a boolean for each example.",
        f"The best wins {100 * summary['stability'][0]['wins']:.0f} % of 1,000 samples of the replicates.",
        "At the edge of the grid: lr = 1.0 is the highest, try 10.0 (20 cells);"
        " epochs = 4 is the highest, try 7 (30 cells).",
        "epochs = 1 ranks 6 combinations as the largest epochs does with Spearman's"
        f" {budgets['correlation']:.2f}; the best there is number 1 here.",
        f"Of combinations drawn at random, 5 would have reached {summary['search_curve'][3]['best']:.4f} on"
        " average.",
        "Next: widen lr and epochs in grid.toml and sweep again; what is there is reused.",
    ]


def test_one_standard_error_chooses_the_simplest_by_what_is_preferred(tmp_path: Path) -> None:
    text = f'{HEAD}budget = "epochs"\n[grid]\nwidth = [8, 16, 32]\nepochs = [1, 2, 3]\n{SEEDS}'
    text += '[select]\nrule = "one_se"\nprefer = ["width", "epochs"]\n'

    def score(params: Params, epoch: int) -> float:
        # A seed of one and another of minus one: the standard error is about 0.4.
        return {8: -5.0, 16: 0.0, 32: 0.1}[params["width"]] + 0.1 * epoch + float(params["seed"]) % 3 - 1  # type: ignore[index, arg-type]

    summary, lines = answer_of(tmp_path, text, score)
    assert summary["best"]["params"] == {"width": 32, "epochs": 3}
    assert summary["chosen"]["params"] == {"width": 16, "epochs": 1}
    assert summary["chosen"]["rule"] == "one_se"
    assert summary["chosen"]["metric"] == pytest.approx(-0.1)
    assert summary["chosen"]["cell"] != summary["best"]["cell"]
    told = "Chosen, the first by width, epochs within one standard error of the best: width = 16, epochs = 1"
    assert any(line.startswith(told) for line in lines)


@pytest.mark.parametrize("replicate", ["seed", "fold"])
def test_with_a_boolean_an_example_the_score_is_corrected_for_the_choice(
    tmp_path: Path, replicate: str
) -> None:
    """Forty combinations that all guess: the best looks better than 0.5, what is chosen is not."""
    text = f"{HEAD}[grid]\na = {list(range(40))}\nb = [1, 2]\n[replicate]\n{replicate} = [0, 1]\n"
    chance = np.random.default_rng(0)
    told: dict[str, Bits] = {}

    def score(params: Params, _: int) -> float:
        flags = chance.random(400) < 0.5
        told[str(params)] = Bits(400, np.packbits(flags).tobytes())
        return float(flags.mean())

    summary, lines = answer_of(tmp_path, text, score, told)
    corrected = summary["corrected"]
    assert summary["best"]["metric"] > 0.53
    assert corrected["low"] < 0.5 < corrected["high"]
    assert corrected["mean"] == pytest.approx(0.5, abs=0.03)
    assert (corrected["method"], corrected["examples"]) == ("BBC-CV", "correct")
    assert summary["stability"][0]["wins"] < 0.5
    count = {"seed": "400", "fold": "800"}[replicate]
    assert any(f"BBC-CV on correct of {count} examples" in line for line in lines)


def test_of_one_run_each_nothing_is_claimed(tmp_path: Path) -> None:
    summary, lines = answer_of(tmp_path, f"{HEAD}[grid]\na = [1, 2]\n", lambda p, _: float(p["a"]))  # type: ignore[arg-type]
    assert summary["tied"] is None
    assert summary["best"]["std"] is None
    assert any("nothing is claimed" in line for line in lines)


def test_of_one_run_each_with_bits_what_is_tied_is_told_by_the_examples(tmp_path: Path) -> None:
    """The first 20 fail for all; the others are right on so many of the rest."""
    text = f'{HEAD}budget = "epochs"\n[grid]\nwidth = [8, 16, 32, 64]\nepochs = [1]\n'
    text += '[select]\nprefer = ["width"]\n'
    right = {8: 150, 16: 178, 32: 180, 64: 179}
    told = {
        str({"width": width}): Bits(200, np.packbits(np.arange(200) < count).tobytes())
        for width, count in right.items()
    }
    summary, lines = answer_of(tmp_path, text, lambda p, _: right[p["width"]] / 200, told)  # type: ignore[index]
    assert summary["best"]["params"]["width"] == 32
    assert [pick["params"]["width"] for pick in summary["tied"]] == [64, 16]
    # One example more, and two more: exactly 2 / 2 and 2 / 4, of six pairs.
    assert [pick["p"] for pick in summary["tied"]] == [1, 1]
    assert (summary["tied_count"], summary["tied_of"], summary["tied_test"]) == (2, 3, "McNemar")
    assert summary["tied_simplest"]["params"]["width"] == 16
    told_as = (
        "2 of 3 other combinations cannot be told from the best by the 200 examples (one run each, McNemar"
    )
    (line,) = [line for line in lines if line.startswith(told_as)]
    assert line.endswith(f"the simplest of these is cell {summary['tied_simplest']['cell']}, 0.8900.")


def test_of_one_run_each_and_so_many_examples_what_is_tied_is_told_unpaired(tmp_path: Path) -> None:
    text = f"{HEAD}[grid]\na = [980, 979, 975, 900, 10]\n[select]\nexamples = 1000\n"
    summary, lines = answer_of(tmp_path, text, lambda p, _: p["a"] / 1000)  # type: ignore[operator]
    assert [pick["params"]["a"] for pick in summary["tied"]] == [979, 975]
    assert (summary["tied_test"], summary["tied_simplest"]) == ("binomial", None)
    assert any("by the 1,000 examples (one run each, two proportions, unpaired" in line for line in lines)


@pytest.mark.parametrize("score", [0.98051, 1.01, -0.5])
def test_what_is_no_proportion_of_so_many_examples_is_not_taken_for_one(tmp_path: Path, score: float) -> None:
    text = f"{HEAD}[grid]\na = [1, 2]\n[select]\nexamples = 1000\n"
    summary, lines = answer_of(tmp_path, text, lambda p, _: score if p["a"] == 1 else 0.5)
    assert summary["tied"] is None
    assert "score is no proportion of 1,000 examples: nothing is claimed." in lines


def test_what_diverged_is_not_tied_with_the_best(tmp_path: Path) -> None:
    text = f"{HEAD}[grid]\na = [1, 2, 3]\n[replicate]\nseed = [0, 1]\n"

    def score(params: Params, _: int) -> float:
        return math.nan if params["a"] == 2 else float(params["a"]) + float(params["seed"])  # type: ignore[arg-type]

    summary, _ = answer_of(tmp_path, text, score)
    assert (summary["tied_count"], summary["tied_of"]) == (0, 1)


def test_summary_json_has_the_same_keys_whether_or_not_there_is_an_answer(tmp_path: Path) -> None:
    keys = []
    for name, value in (("one", 1.0), ("none", math.nan)):
        text = f"{HEAD}[grid]\na = [1, 2]\n[replicate]\nseed = [0, 1]\n"
        summary, _ = answer_of(tmp_path / name, text, lambda p, _, v=value: v * float(p["a"]))  # type: ignore[misc]
        keys.append(list(summary))
    assert keys[0] == keys[1]
    words = (summary_module.__doc__ or "").replace(",", " ").split()
    assert set(keys[0]) <= set(words)


def test_where_all_diverged_there_is_no_answer(tmp_path: Path) -> None:
    summary, lines = answer_of(tmp_path, f"{HEAD}[grid]\na = [1, 2]\n", lambda *_: math.nan)
    assert (summary["best"], summary["chosen"], summary["effects"]) == (None, None, [])
    assert lines == []


def test_what_diverged_is_left_out_of_the_effects_by_whole_values_and_it_is_said(tmp_path: Path) -> None:
    text = f"{HEAD}[grid]\na = [1, 2, 3, 4]\nb = [1, 2]\n"
    _, lines = answer_of(
        tmp_path,
        text,
        lambda p, _: math.nan if p == {"a": 3, "b": 2} else float(p["a"]),  # type: ignore[arg-type]
    )
    part = "(of a complete part of the grid, 6 of 8 runs: without a 3)"
    assert lines[0] == f"What matters, of the variance of score: a 100 % {part}."


def test_folds_overlap_and_seeds_do_not(tmp_path: Path) -> None:
    for name, expected in (("fold", 0.25), ("seed", 0.0)):
        directory = tmp_path / name
        answer_of(
            directory, f"{HEAD}[grid]\na = [1]\n[replicate]\n{name} = [0, 1, 2, 3, 4]\n", lambda *_: 1.0
        )
        assert overlap_of(read(directory)) == expected


@pytest.mark.parametrize(
    ("numbers", "end", "expected"),
    [
        ([1, 3, 5, 10, 30], "high", 90),
        ([16, 32, 64, 128], "low", 8),
        ([2, 5], "high", 8),
        ([2, 5], "low", 1),
        ([1, 2], "low", None),
        ([0, 1], "low", -1),
        ([0.2, 0.3, 0.4, 0.6], "low", 0.1),
        ([0.1, 0.2], "low", 0.05),
        ([0.001, 0.01, 0.1], "high", 1.0),
        ([1e-300, 1e300], "high", None),
    ],
)
def test_the_next_value_goes_on_as_the_axis_does(
    numbers: list[float], end: str, expected: float | None
) -> None:
    found = next_value(numbers, end)
    assert found == (pytest.approx(expected) if expected is not None else None)
    assert found is None or type(found) is type(numbers[0])


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ('rule = "worst"', '[select] rule must be "best" or "one_se"'),
        ('rule = "one_se"', "[select] one_se needs prefer"),
        ('rule = "one_se"\nprefer = ["b"]', "[select] prefer must be a list of axes of [grid]"),
        ('rule = "one_se"\nprefer = ["a"]', "[select] one_se needs replicates"),
        ('prefer = "a"', "[select] prefer must be a list of axes"),
        ("prefer = [[1]]", "[select] prefer must be a list of axes"),
        ("best = 1", "[select] has no key 'best'"),
        ("examples = 0", "[select] examples must be the metric of bits, or how many held-out examples"),
        ("examples = true", "[select] examples must be the metric of bits, or how many held-out examples"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(select: str, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        Spec.parse(f"{HEAD}[grid]\na = [1, 2]\n[select]\n{select}\n", "grid.toml")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
