"""`gridrun export`: what was exported, read back with each tool's own library."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gridrun.errors import InputError
from gridrun.report.csv import write_best, write_cells, write_history
from gridrun.report.exporters import EXPORTERS, LIST, export
from gridrun.results.aggregate import Aggregate, aggregate
from gridrun.store import Store
from tests.acceptance.quick import HEAD, sweep_here

pytestmark = pytest.mark.slow

GRID = (
    HEAD
    + 'budget = "epochs"\n[fixed]\nc = "always"\n[grid]\n'
    + 'a = ["x", "=1", "1", 1, { null = true }, [1, "y"], true]\nb = [0.001, 0.01, 1]\nepochs = [1, 3]\n'
)
UNION = HEAD + "[[grid]]\na = [1, 2, 3]\nb = [1.5, 2.5]\n[[grid]]\na = [4, 5]\n[replicate]\nc = [0, 1]\n"


@pytest.fixture
def swept(tmp_path: Path) -> Callable[[str], Aggregate]:
    def sweep(text: str) -> Aggregate:
        sweep_here(tmp_path / "s", text)
        with Store.read(tmp_path / "s") as store:
            return aggregate(store)

    return sweep


def rows_of(result: Aggregate) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in result.cells.to_dict("records")]


def test_csvs_are_the_reports(swept: Callable[[str], Aggregate], tmp_path: Path) -> None:
    result = swept(GRID)
    done = export(tmp_path / "s", "csv")
    assert done.folder == tmp_path / "s/export/csv"
    with Store.read(tmp_path / "s") as store:
        write_history(result, store, tmp_path / "history.csv")
    write_cells(result, tmp_path / "cells.csv")
    write_best(result, tmp_path / "best.csv")
    for name in ("cells.csv", "best.csv", "history.csv"):
        assert (done.folder / name).read_bytes() == (tmp_path / name).read_bytes()
    assert len((done.folder / "timings.csv").read_text().splitlines()) == 1 + len(result.cells)


@pytest.mark.parametrize("text", [GRID, UNION], ids=["values", "union"])
def test_parquet_has_the_cells_and_every_epoch_each_column_of_one_type(
    swept: Callable[[str], Aggregate], tmp_path: Path, text: str
) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    result = swept(text)
    folder = export(tmp_path / "s", "parquet").folder
    cells = pq.read_table(folder / "cells.parquet").to_pylist()
    assert [row["cell"] for row in cells] == result.cells["cell"].tolist()
    assert [row["status"] for row in cells] == result.cells["status"].tolist()
    present = result.present["accuracy"].tolist()
    for row, wanted, there in zip(cells, rows_of(result), present, strict=True):
        assert (row["epoch"] is None) == (wanted["status"] != "completed")
        assert (row["accuracy"] is None) == (not there)
        if there:
            assert row["accuracy"] == pytest.approx(wanted["accuracy"], nan_ok=True, rel=0)
    if text == GRID:
        values = [json.loads(row["a"]) for row in cells[::6]]
        assert values == ["x", "=1", "1", 1, None, [1, "y"], True]
        assert {type(row["b"]) for row in cells} == {float}
        assert {type(row["epochs"]) for row in cells} == {int}
    else:
        assert [row["b"] for row in cells[-4:]] == [None] * 4
    with Store.read(tmp_path / "s") as store:
        told = [
            (name, epoch, each.get("accuracy"))
            for name, history in store.histories_of(result.trajectories)
            for epoch, each in enumerate(history.metrics, start=1)
        ]
    history = pq.read_table(folder / "history.parquet").to_pylist()
    assert repr([(row["trajectory"], row["epoch"], row["accuracy"]) for row in history]) == repr(told)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", [GRID, UNION], ids=["values", "union"])
def test_a_study_of_optuna_has_each_cell_as_a_trial_and_the_same_best(
    swept: Callable[[str], Aggregate], tmp_path: Path, text: str
) -> None:
    optuna = pytest.importorskip("optuna")
    result = swept(text)
    folder = export(tmp_path / "s", "optuna").folder
    study = optuna.load_study(study_name="quick", storage=f"sqlite:///{folder}/optuna.db")
    trials = {trial.user_attrs["cell"]: trial for trial in study.trials}
    rows = rows_of(result)
    assert list(trials) == result.cells["cell"].tolist()
    for row in rows:
        trial = trials[row["cell"]]
        if row["status"] == "completed" and math.isfinite(row["accuracy"]):
            assert trial.value == row["accuracy"]
            assert trial.intermediate_values[row["epoch"]] == row["accuracy"]
            assert trial.user_attrs["loss"] == row["loss"]
        else:
            assert trial.state == optuna.trial.TrialState.FAIL
            said = "diverged" if row["status"] == "completed" else "ValueError: no luck with"
            assert trial.user_attrs["failure"].startswith(said)
        if text == GRID:
            assert trial.params["b"] == row["b"]
            assert trial.params["epochs"] == row["epochs"] >= max(trial.intermediate_values, default=0)
        else:
            assert ("b" in trial.params) == (row["a"] <= 3)
    assert study.best_value == max(
        row["accuracy"] for row in rows if row["status"] == "completed" and row["accuracy"] > -math.inf
    )
    if text == GRID:
        assert study.trials[0].distributions["b"].log
        assert study.user_attrs["fixed"] == '{"c":"always"}'


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_finds_a_run_for_each_trajectory_with_its_parameters_and_curve(
    swept: Callable[[str], Aggregate], tmp_path: Path
) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    result = swept(GRID)
    folder = export(tmp_path / "s", "mlflow").folder
    client = tracking.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("quick")
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    runs = {run.data.tags["gridrun.trajectory"]: run for run in found}
    assert sorted(runs) == sorted(result.trajectories)
    with Store.read(tmp_path / "s") as store:
        for number, name in enumerate(result.trajectories):
            run, history = runs[name], store.history_of(name).metrics
            params = result.spec.grid.trajectory_params(number)
            assert run.data.params["c"] == "always"
            assert float(run.data.params["b"]) == params["b"]
            failure = store.failure_of(name)
            assert run.info.status == ("FINISHED" if failure is None else "FAILED")
            assert run.data.tags.get("gridrun.failure") == (failure and failure.reason)
            told = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "accuracy")]
            wanted = [(epoch, each["accuracy"]) for epoch, each in enumerate(history, start=1)]
            assert repr(told) == repr(wanted)


def test_tensorboard_reads_a_curve_and_hparams_for_each_trajectory(
    swept: Callable[[str], Aggregate], tmp_path: Path
) -> None:
    pytest.importorskip("tensorboardX")
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    plugin = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    result = swept(GRID)
    folder = export(tmp_path / "s", "tensorboard").folder
    with Store.read(tmp_path / "s") as store:
        for number, name in enumerate(result.trajectories):
            (file,) = folder.glob(f"*/events.out.tfevents.{name}")
            run = events.EventAccumulator(str(file.parent)).Reload()
            history = store.history_of(name).metrics
            scalars = run.Scalars("accuracy") if history else []
            assert [scalar.step for scalar in scalars] == list(range(1, len(history) + 1))
            assert [scalar.value for scalar in scalars] == pytest.approx(
                [each["accuracy"] for each in history], nan_ok=True
            )
            content = run.PluginTagToContent("hparams")["_hparams_/session_start_info"]
            told = plugin.HParamsPluginData.FromString(content).session_start_info.hparams
            assert told["c"].string_value == "always"
            assert told["b"].number_value == result.spec.grid.trajectory_params(number)["b"]


def test_an_export_is_replaced_and_whatever_else_lies_there_is_not(
    swept: Callable[[str], Aggregate], tmp_path: Path
) -> None:
    swept(UNION)
    folder = export(tmp_path / "s", "csv").folder
    assert export(tmp_path / "s", "csv").folder == folder

    def refuse(place: Path, word: str) -> None:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with pytest.raises(InputError, match=word):
            export(tmp_path / "s", "csv", place)
        assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    (folder / "mine").write_text("")
    refuse(folder, "holds 'mine'")
    (folder / "mine").unlink()
    with (folder / "cells.csv").open("a") as file:
        file.write("edited")
    refuse(folder, "holds 'cells.csv'")
    (folder / LIST).write_text("[1]")
    refuse(folder, "which no export has written")
    refuse(tmp_path / "s", "which no export has written")
    refuse(tmp_path / "s/sweep.db", "is a file")
    (tmp_path / "link").symlink_to(tmp_path)
    refuse(tmp_path / "link", "is a symbolic link")
    (tmp_path / "empty").mkdir()
    assert (export(tmp_path / "s", "csv", tmp_path / "empty").folder / "cells.csv").exists()


def test_a_package_that_is_missing_and_a_format_that_is_none_are_told_in_a_line(
    swept: Callable[[str], Aggregate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept(UNION)
    monkeypatch.setattr("gridrun.report.exporters.find_spec", lambda _: None)
    for name, exporter in EXPORTERS.items():
        if exporter.needs:
            with pytest.raises(InputError, match=rf"not installed; write pip install 'gridrun\[{name}\]'"):
                export(tmp_path / "s", name)
    with pytest.raises(InputError, match="no format 'xls'; write --to csv, parquet"):
        export(tmp_path / "s", "xls")
    assert not (tmp_path / "s/export").exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in EXPORTERS if name != "mlflow"])
def test_a_sweep_that_has_only_failed_and_one_of_odd_names_can_be_exported(
    swept: Callable[[str], Aggregate], tmp_path: Path, name: str
) -> None:
    for package in EXPORTERS[name].needs:
        pytest.importorskip(package)
    swept(HEAD.replace("quick:train", "quick:odd") + '[grid]\n"a/b c" = ["../x"]\n')
    assert export(tmp_path / "s", name).amount.endswith(("1 cell", "1 trial", "1 run"))
    odd = HEAD.replace("quick:train", "quick:odd").replace('"accuracy"', '"m:/*"')
    swept(odd + '[grid]\n"a/b c" = ["../x", "\\u00fc\\n", "%s", "{}"]\n"m.lr" = [1]\n')
    assert export(tmp_path / "s", name).amount.startswith("4 ")
