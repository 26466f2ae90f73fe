"""Parameters whose names are no identifiers: keys of tables, and whatever **params takes."""

import csv
import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run

TRAIN = """
import json


def build(*, model, data={"size": 3}):
    yield {"score": model["C"] * model["kernel"]["gamma"], "size": data["size"], "keys": len(model)}


def anything(**params):
    yield {"score": float(params["batch-size"] + params["a b"]), "size": params["opt.lr"]}


def config(params):
    yield {"score": params["model"]["C"] + params["x.y"]}


def validate(*, model):
    if model["C"] == 13:
        raise ValueError("model.C must not be 13")


build.validate = validate
"""


def write(folder: Path, function: str, tables: str, sweep: str = "") -> None:
    (folder / "named.py").write_text(TRAIN)
    (folder / "g.toml").write_text(
        f'[sweep]\nname = "named"\ntrain = "named:{function}"\nmetric = "score"\n{sweep}\n{tables}\n'
    )


def cells(folder: Path) -> list[dict[str, str]]:
    with (folder / "results/named/report/cells.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_dotted_name_sets_a_key_of_a_table(run: Run, tmp_path: Path) -> None:
    write(
        tmp_path, "build",
        '[fixed]\nmodel = { degree = 3 }\n[grid]\n"model.C" = [1, 10]\n"model.kernel.gamma" = [0.5, 0.25]\n',
    )  # fmt: skip
    done = run("sweep", "g.toml")
    assert done.returncode == 0, done.stderr
    assert run("report").returncode == 0
    found = cells(tmp_path)
    assert [(c["model.C"], c["model.kernel.gamma"], float(c["score"]), float(c["keys"])) for c in found] == [
        ("1", "0.5", 0.5, 3), ("1", "0.25", 0.25, 3), ("10", "0.5", 5, 3), ("10", "0.25", 2.5, 3),
    ]  # fmt: skip
    assert "model.C 10, model.kernel.gamma 0.5" in run("status").stdout
    assert "\n  model.C = 10\n  model.kernel.gamma = 0.5\n" in run("show", "model.C=10,mkg=0.5").stdout
    tried = run("try", "g.toml", "model.C=13")
    assert (tried.returncode, tried.stderr) == (
        2, "gridrun: g.toml: model.C must not be 13 (refused by named:build)\n"
    )  # fmt: skip


def test_a_function_of_any_parameters_gets_any_name_as_it_stands(run: Run, tmp_path: Path) -> None:
    write(tmp_path, "anything", '[grid]\n"batch-size" = [1, 2]\n"a b" = [3]\n[replicate]\n"opt.lr" = [0.1]\n')
    assert run("sweep", "g.toml").returncode == 0
    reported = run("report")
    assert reported.returncode == 0, reported.stderr
    assert [(c["batch-size"], c["a b"], c["opt.lr"]) for c in cells(tmp_path)] == [
        ("1", "3", "0.1"), ("2", "3", "0.1"),
    ]  # fmt: skip
    assert json.loads(run("status", "--json").stdout)["best"]["params"] == {"batch-size": 2, "a b": 3}


def test_in_one_mapping_a_dotted_name_sets_a_key_of_the_table_that_is_there(run: Run, tmp_path: Path) -> None:
    tables = '[fixed]\nmodel = { depth = 2 }\n[grid]\n"model.C" = [1, 2]\n"x.y" = [5]\n'
    write(tmp_path, "config", tables, 'call = "config"')
    assert run("sweep", "g.toml").returncode == 0
    assert run("report").returncode == 0
    assert [float(cell["score"]) for cell in cells(tmp_path)] == [6, 7]


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ('[fixed]\nmodel = 3\n[grid]\n"model.C" = [1]', "'model.C' sets a key of model, which is int; write"),
        (
            '[fixed]\nmodel = { C = 3 }\n[grid]\n"model.C" = [1]',
            "'model.C' is set in model too; leave it out",
        ),
        (
            '[grid]\n"model.C" = [1]\n"model.C.d" = [1]',
            "'model.C' and 'model.C.d' set one thing twice; write one",
        ),
        (
            '[grid]\n"other.C" = [1]\n[fixed]\nmodel = {}',
            "unexpected keyword argument 'other.C'; it takes model",
        ),
        (
            '[grid]\n"batch-size" = [1]\n[fixed]\nmodel = {}',
            "unexpected keyword argument 'batch-size'; it takes",
        ),
        ("[grid]\nmodel.C = [1, 2]", """found {'C': [1, 2]}; write "model.C" = [1, 2], with its quotes"""),
        ('[grid]\n"a=b" = [1]', "a parameter's name must be printable, without blanks around it, commas"),
        ('[grid]\n"a,b" = [1]', "a parameter's name must be printable"),
        ('[grid]\n" a" = [1]', "a parameter's name must be printable"),
        ('[grid]\n"" = [1]', "a parameter's name must be printable"),
        ('[grid]\n"a..b" = [1]', "a parameter's name must be printable"),
        ('[grid]\n"a\\u0007" = [1]', "a parameter's name must be printable"),
    ],
)
def test_a_name_that_nothing_can_take_is_refused_in_one_line(
    run: Run, tmp_path: Path, tables: str, told: str
) -> None:
    write(tmp_path, "build", tables)
    refused = run("sweep", "g.toml")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert told in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "results").exists()
