"""MLflow: an experiment in SQLite, a run for each trajectory, its epochs the steps of the metrics.

Surprises met here: importing mlflow asks its makers' server for settings and tells them of it unless it is
told not to; folders of YAML (`mlruns`) are refused since 3.14, so it is SQLite; names may hold letters,
digits and `_-. :/` only; a batch takes 1000 metrics and 100 parameters.
"""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from gridrun.grid import cell_id
from gridrun.report.exporters.runs import Run, plain, runs
from gridrun.results.aggregate import Aggregate
from gridrun.store import Store
from gridrun.terminal import many

T = TypeVar("T")
MOST_METRICS, MOST_PARAMS = 1000, 100
MOST_VALUE = 6000
# Where a server looks for files of a run; there are none.
NOWHERE = "mlflow-artifacts:/gridrun"


def write(result: Aggregate, store: Store, folder: Path) -> str:
    """Write mlflow.db. Trajectories without any outcome are left out."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.create_experiment(result.spec.name, artifact_location=NOWHERE)
    client.set_experiment_tag(experiment, "gridrun.metric", result.spec.metric)
    client.set_experiment_tag(experiment, "gridrun.mode", result.spec.mode)
    count = 0
    for run in runs(result, store):
        _log(client, experiment, run, result.spec.grid.budgets or (None,))
        count += 1
    return many(count, "run")


def _log(client: MlflowClient, experiment: str, run: Run, budgets: Sequence[int | None]) -> None:
    began = run.began.timestamp()
    tags = {"mlflow.runName": run.name, "gridrun.trajectory": run.trajectory}
    for budget in budgets:
        tags["gridrun.cell" + (f".{budget}" if budget is not None else "")] = cell_id(run.trajectory, budget)
    if run.failure is not None:
        tags["gridrun.failure"] = run.failure.reason[:MOST_VALUE]
    made = client.create_run(experiment, start_time=int(1000 * began), tags=tags, run_name=run.name)
    params = [Param(_key(name), str(plain(value))[:MOST_VALUE]) for name, value in run.params.items()]
    for some in _parts(params, MOST_PARAMS):
        client.log_batch(made.info.run_id, params=some)
    metrics = [
        Metric(_key(name), value, int(1000 * (began + seconds)), epoch)
        for epoch, (values, seconds) in enumerate(zip(run.history, run.seconds, strict=True), start=1)
        for name, value in values.items()
    ]
    for steps in _parts(metrics, MOST_METRICS):
        client.log_batch(made.info.run_id, metrics=steps)
    status = "FAILED" if run.failure is not None else "FINISHED" if run.is_whole else "KILLED"
    last = run.seconds[-1] if run.seconds else 0.0
    client.set_terminated(made.info.run_id, status, end_time=int(1000 * (began + last)))


def _key(name: str) -> str:
    """A name as MLflow takes it."""
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII).strip(" /.")[:250] or "_"


def _parts(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    return (items[start : start + most] for start in range(0, len(items), most))
