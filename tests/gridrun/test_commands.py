"""Commands: what their words become, which of their lines are metrics, what is refused."""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from gridrun.environment import compare
from gridrun.errors import InputError
from gridrun.spec import Spec
from gridrun.trainers.arguments import fill_command, spell_argument
from gridrun.trainers.command import CommandTrainer
from gridrun.trainers.lines import MOST_LINE, Lines, Table, read_matches, read_object

HEAD = '[sweep]\nname = "c"\nmetric = "acc"\n'


def _spec(command: str, grid: str = "lr = [0.1]", more: str = "") -> Spec:
    return Spec.parse(f"{HEAD}command = {command}\n{more}\n[grid]\n{grid}\n", "grid.toml")


def _find(
    folder: Path, command: str, grid: str = "lr = [0.1]", more: str = ""
) -> tuple[CommandTrainer, Spec]:
    spec = _spec(command, grid, more)
    trainer = spec.trainer.find(spec.grid, folder / "grid.toml")
    assert isinstance(trainer, CommandTrainer)
    return trainer, spec


# Words.


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (16, "16"), (0.1, "0.1"), (1e-5, "1e-05"), (1.0, "1.0"), ("sgd", "sgd"), ("", ""), ("a $x", "a $x"),
        (True, "true"), (False, "false"), (None, "null"), ([1, 2], "[1,2]"), ((1, (0.5,)), "[1,[0.5]]"),
        ({"a": [True]}, '{"a":[true]}'), ("ü", "ü"), (["ü"], '["ü"]'),
    ],
)  # fmt: skip
def test_a_value_in_braces_is_its_text_or_its_json(value: Any, told: str) -> None:
    assert spell_argument(value) == told
    assert fill_command(["x", "a={v}!"], {"v": value}, {}, hyphen=False) == ["x", f"a={told}!"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, ["--v", "3"]), ("sgd", ["--v", "sgd"]), ("", ["--v", ""]),
        (True, ["--v"]), (False, []), (None, []),
        ([1, 2.5], ["--v", "1", "2.5"]), ([], ["--v"]), ([True, None, [1]], ["--v", "true", "null", "[1]"]),
        ({"a": 1}, ["--v", '{"a":1}']),
        (-1, ["--v", "-1"]), (-0.5, ["--v", "-0.5"]), (-1e-5, ["--v=-1e-05"]), ("-x", ["--v=-x"]),
    ],
)  # fmt: skip
def test_params_is_an_option_of_each_value_as_argparse_reads_it(value: Any, words: list[str]) -> None:
    assert fill_command(["x", "{params}", "y"], {"v": value}, {}, hyphen=False) == ["x", *words, "y"]


def test_argparse_reads_what_params_stands_for() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float)
    parser.add_argument("--shift", type=float)
    parser.add_argument("--name")
    parser.add_argument("--layers", type=int, nargs="*")
    parser.add_argument("--norm", action="store_true")
    parser.add_argument("--bias", action="store_true")
    parser.add_argument("--seed", type=int, default=7)
    given = {"lr": 1e-5, "shift": -1e-5, "name": "--odd one", "layers": [6, 16], "norm": True, "bias": False}
    found = vars(parser.parse_args(fill_command(["{params}"], given | {"seed": None}, {}, hyphen=False)))
    assert found == given | {"seed": 7}


def test_what_is_named_elsewhere_is_no_option_again_and_braces_are_doubled() -> None:
    words = ["train", "--lr", "{learning_rate}", "{params}", "{{{seed}}}", "{output_dir}/model"]
    params = {"learning_rate": 0.1, "batch_size": 8, "seed": 3, "model.C": 2}
    given = {"output_dir": "/somewhere/x y"}
    assert fill_command(words, params, given, hyphen=False) == [
        "train", "--lr", "0.1", "--batch_size", "8", "--model.C", "2", "{3}", "/somewhere/x y/model",
    ]  # fmt: skip
    assert "--batch-size" in fill_command(words, params, given, hyphen=True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('command = "python train.py"', 'must be a list of words, as no shell reads it'),
        ('command = "python train.py"', 'write ["python", "train.py"]'),
        ('command = "it\'s"', 'write ["python", "train.py", "{params}"]'),
        ("command = []", "must be a list of strings, found []"),
        ('command = ["x", 1]', "must be a list of strings, found ['x', 1]"),
        ('command = ["{params}"]', "must begin with a program"),
        ('command = [""]', "must begin with a program"),
        ('command = ["x", "a{params}"]', "{params} must be a word of its own"),
        ('command = ["x", "{"]', "has a lone '{', found '{'; write {{ and }} for braces"),
        ('command = ["x", "{a}}"]', "has a lone '}'"),
        ('command = ["x", "a\\u0000b"]', "no program can be given a NUL"),
        ('command = ["x", "{params}"]\nflags = "dash"', 'flags must be "name" or "hyphen"'),
        ('command = ["x", "{params}"]\npattern = "("', "pattern is no regular expression: missing )"),
        ('command = ["x", "{params}"]\npattern = "acc"', "group 'acc', the metric, found groups: none"),
        ('command = ["x", "{params}"]\npattern = "(?P<loss>x)"', "found groups: loss; write 'acc=(?P<acc>"),
        ('command = ["x", "{params}"]\npattern = 3', "pattern must be a text, found 3"),
        ('command = ["x", "{params}"]\nmetrics_file = "a.csv"', "must lie in {output_dir}"),
        ('command = ["x", "{params}"]\nmetrics_file = "{output_dir}/a.txt"', "must end in .jsonl or .csv"),
        ('command = ["x", "{params}"]\nmetrics_file = "{output_dir"', "metrics_file has a lone '{'"),
        ('command = ["x"]\npattern = "(?P<acc>x)"\nmetrics_file = "{output_dir}/a.csv"', "found both"),
        ('command = ["x"]\ntrain = "m:f"', "more than one trainer"),
        ('train = "m:f"\npattern = "(?P<acc>x)"', "pattern goes with command, found pattern with train"),
        ("", "needs train or command"),
    ],
)  # fmt: skip
def test_what_can_be_no_command_is_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(InputError) as refused:
        Spec.parse(f"{HEAD}{text}\n[grid]\nlr = [0.1]\n", "grid.toml")
    assert told in str(refused.value)
    assert str(refused.value).startswith("grid.toml: [sweep] ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("command", "grid", "told"),
    [
        (
            '["true", "{learning_rat}"]',
            "learning_rate = [1]",
            "no parameter {learning_rat}; write {learning_rate}",
        ),
        ('["true", "{output_dri}", "{params}"]', "a = [1]", "write {output_dir}"),
        ('["true", "{resume}", "{params}"]', "a = [1]", "write {resume_from}"),
        ('["true", "{a}"]', "a = [1]\nb = [2]", "gets nothing of b; write {b} in it, or {params} for all"),
        ('["true"]', "a = [1]", "gets nothing of a"),
    ],
)
def test_names_that_do_not_meet_are_refused_before_the_first_cell(
    tmp_path: Path, command: str, grid: str, told: str
) -> None:
    with pytest.raises(InputError, match=r"grid.toml: \[sweep\] command") as refused:
        _find(tmp_path, command, grid)
    assert told in str(refused.value)


def test_two_names_that_hyphens_make_one_option_are_refused(tmp_path: Path) -> None:
    grid = 'batch_size = [1]\n"batch-size" = [2]'
    _find(tmp_path, '["true", "{params}"]', grid)
    _find(tmp_path, '["true", "{params}", "{batch_size}"]', grid, 'flags = "hyphen"')
    with pytest.raises(InputError, match="batch_size and batch-size are one option"):
        _find(tmp_path, '["true", "{params}"]', grid, 'flags = "hyphen"')


def test_a_program_that_cannot_be_run_is_refused_before_the_first_cell(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    for command, grid, told in (
        ('["no-such-program", "{params}"]', "a = [1]", "no program 'no-such-program' on PATH"),
        ('["run.sh", "{params}"]', "a = [1]", "write './run.sh' for the file beside grid.toml"),
        ('["./run.sh", "{params}"]', "a = [1]", "'./run.sh' is not executable; try chmod +x"),
        ('["./none.sh", "{params}"]', "a = [1]", "no file './none.sh' beside grid.toml"),
        ('["/none.sh", "{params}"]', "a = [1]", "no file '/none.sh'; write one"),
        ('["./{which}.sh"]', 'which = ["run", "none"]', "'./run.sh' is not executable"),
        ('["true", "{params}"]', 'a = ["x\\u0000"]', "a: no program can be given a NUL"),
        ('["true", "{params}"]', 'a = [{ b = ["x\\u0000"] }]', "a: no program can be given a NUL"),
    ):
        trainer, spec = _find(tmp_path, command, grid)
        with pytest.raises(InputError) as refused:
            trainer.validate(spec.grid)
        assert told in str(refused.value)
        assert "\n" not in str(refused.value)
    (tmp_path / "run.sh").chmod(0o755)
    trainer, spec = _find(tmp_path, '["./run.sh", "{params}"]', 'a = ["\\\\u0000"]')
    trainer.validate(spec.grid)


def test_python_is_that_of_path_and_else_the_one_that_runs_gridrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gridrun.trainers.command import find_program

    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program("python", tmp_path) == sys.executable
    assert find_program("python3.99", tmp_path) is None
    own = tmp_path / "python"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert find_program("python", tmp_path) == str(own)


# Identity.


def test_the_identity_is_the_command_and_the_content_of_its_files(tmp_path: Path) -> None:
    def names(command: str, more: str = "") -> list[str]:
        trainer, spec = _find(tmp_path, command, "lr = [1, 2]", more)
        return list(spec.grid.trajectory_ids(trainer.identity(spec.grid)))

    (tmp_path / "train.py").write_text("import part\nimport json\n")
    (tmp_path / "part.py").write_text("x = 1\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package/__main__.py").write_text("x = 1\n")
    (tmp_path / "data.csv").write_text("1\n")
    command = '["python", "train.py", "data.csv", "{params}"]'
    first = names(command)
    assert names(command) == first
    others = [names('["python", "train.py", "{params}"]'), names(command, 'flags = "hyphen"')]
    others.append(names(command, "pattern = '(?P<acc>x)'"))
    for file, text in (("train.py", "import part\n"), ("part.py", "x = 2\n"), ("data.csv", "2\n")):
        (tmp_path / file).write_text(text)
        others.append(names(command))
    assert len({*first, *(name for other in others for name in other)}) == 2 * (1 + len(others))
    (tmp_path / "other.py").write_text("x = 1\n")  # no part of it
    assert names(command) == others[-1]
    module = '["python", "-m", "package", "{params}"]'
    before = names(module)
    (tmp_path / "package/__main__.py").write_text("x = 2\n")
    assert names(module) != before
    assert names('["true", "{params}"]') == names('["true", "{params}"]')


def test_a_file_that_does_not_lie_beside_grid_toml_is_no_part_of_the_identity(tmp_path: Path) -> None:
    """The data of a group share, /bin/sh: their hashes would differ from machine to machine."""
    (tmp_path / "study").mkdir()
    (tmp_path / "data.csv").write_text("1\n")
    command = f'["/bin/sh", "../data.csv", "{tmp_path}/data.csv", "{"x" * 5000}", ".", "{{params}}"]'
    trainer, spec = _find(tmp_path / "study", command)
    assert spec.trainer.sources([str(tmp_path / "study")]) == {}
    assert trainer.identity(spec.grid).version is None


def test_machines_whose_files_or_programs_differ_are_told_apart(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "train.py").write_text("import part\n")
        (folder / "part.py").write_text("x = 1\n")
        (folder / "run.sh").write_text("#!/bin/sh\n")
        (folder / "run.sh").chmod(0o755)
    settings = _spec('["./run.sh", "train.py", "{params}"]').trainer

    def difference(folder: Path) -> str:
        return compare(settings.load([str(here)]).describe({}), settings.load([str(folder)]).describe({}))

    assert difference(there) == ""
    (there / "part.py").write_text("x = 2\n")
    assert difference(there) == "the code of part differs, the code of the command differs"
    (there / "part.py").unlink()
    (there / "run.sh").chmod(0o644)
    assert difference(there) == (
        "the code of the command differs, program ./run.sh is missing there and there here"
    )
    settings = _spec('["true", "{params}"]').trainer
    assert difference(there) == ""
    assert difference(tmp_path / "nowhere") == "directory of grid.toml is missing there and there here"


# Lines.


def test_lines_are_cut_wherever_the_bytes_were() -> None:
    text = b"one\n\ntwo\r\n" + "ü".encode() * 3 + b"\nlast"
    for size in (1, 2, 3, 7, 100):
        lines, found = Lines(), []
        for start in range(0, len(text), size):
            found += list(lines.feed(text[start : start + size]))
        found.append(lines.end())
        assert [line for line, _ in found] == text.splitlines(keepends=True)
        assert all(whole for _, whole in found)


def test_a_line_without_an_end_takes_bounded_memory_and_is_no_metrics() -> None:
    lines, found, largest = Lines(), [], 0
    for _ in range(3 * MOST_LINE // 100_000 + 5):
        found += list(lines.feed(b"x" * 100_000))
        largest = max(largest, len(lines._rest))
    found += list(lines.feed(b'\n{"acc": 1}\n'))
    assert largest <= MOST_LINE + 100_000
    assert [whole for _, whole in found] == [False, False, False, False, True]
    assert len(b"".join(line for line, _ in found)) == (3 * MOST_LINE // 100_000 + 5) * 100_000 + 12


@pytest.mark.parametrize(
    ("line", "metrics"),
    [
        ('{"acc": 0.5, "loss": 1}', {"acc": 0.5, "loss": 1}), ('  {"acc": 1}\r\n', {"acc": 1}),
        ("{}", {}), ('50%\r100%\r{"acc": 1}', {"acc": 1}),
        ("", None), ("{", None), ("{x}", None), ("[1]", None), ("0.5", None), ('loss {"acc": 1}', None),
        ('{"acc": 1} done', None), ("{" * 10_000 + "}" * 10_000, None),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, None),
        ('{"acc": ' + "9" * 5000 + "}", None),
    ],
)  # fmt: skip
def test_a_line_that_is_a_json_object_is_an_epoch(line: str, metrics: dict[str, float] | None) -> None:
    assert read_object(line) == metrics


def test_nan_and_infinity_are_numbers_and_booleans_an_array() -> None:
    found = read_object('{"a": NaN, "b": -Infinity, "c": [true, false], "d": [], "e": [true, 1]}')
    assert found is not None
    assert math.isnan(found["a"])
    assert found["b"] == -math.inf
    assert (found["c"].dtype, found["c"].tolist()) == (bool, [True, False])
    assert (found["d"], found["e"]) == ([], [True, 1])


def test_a_pattern_is_found_anywhere_in_a_line_as_a_terminal_shows_it() -> None:
    read = read_matches(r"acc[=:] *(?P<acc>\S+)(?: loss (?P<loss>\S+))?")
    assert read("epoch 3 acc=0.5 loss 1e-3") == {"acc": 0.5, "loss": 0.001}
    assert read("acc: 0.1\racc: 0.2\racc: 0.3\r\n") == {"acc": 0.3}
    assert read("acc=93%") == {"acc": "93%"}  # left out as text is, and said so
    assert read("nothing") is None
    assert math.isnan((read("acc=nan") or {})["acc"])


# Files.


def test_rows_of_a_file_are_read_as_it_grows_each_once(tmp_path: Path) -> None:
    file, steps = tmp_path / "m.jsonl", ['{"a": 1}\n', '{"a"', ": 2}\nnone\n", '{"a": 3}\n{"a": 4}']
    table, found = Table(file), []
    assert list(table.rows(ended=False)) == []
    for step in steps:
        with file.open("a") as out:
            out.write(step)
        found.append([row["a"] for row in table.rows(ended=False)])
    assert found == [[1], [], [2], [3]]
    assert [row["a"] for row in table.rows(ended=True)] == [4]
    assert list(table.rows(ended=True)) == []


def test_rows_of_a_table_have_the_names_of_its_header(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text('epoch,"val, acc",note,loss\r\n0,0.5,ok,\r\n\r\n1,nan,,2.5')
    table = Table(file)
    assert list(table.rows(ended=False)) == [{"epoch": 0, "val, acc": 0.5, "note": "ok"}]
    (last,) = table.rows(ended=True)
    assert math.isnan(last.pop("val, acc"))
    assert last == {"epoch": 1, "loss": 2.5}


def test_a_table_that_is_written_anew_with_a_column_more_gives_each_row_once(tmp_path: Path) -> None:
    """As PyTorch Lightning's CSVLogger does when a metric comes later."""
    file = tmp_path / "m.csv"
    file.write_text("a\n1\n2\n")
    table = Table(file)
    assert [row["a"] for row in table.rows(ended=False)] == [1, 2]
    file.write_text("a,b\n1,\n2,\n3,9\n")
    assert list(table.rows(ended=False)) == [{"a": 3, "b": 9}]
    file.write_text("a,b\n1,\n")  # shorter: somebody began again
    assert list(table.rows(ended=False)) == []
