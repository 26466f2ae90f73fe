"""TensorBoard: event files, a folder for each trajectory: its epochs as scalars, its parameters as hparams.

Surprises met here: the writer of tensorboardX starts a thread for each file, so records are written by
hand; a list as an hparam is dropped, so it is JSON; NaN is written and drawn as a gap.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tensorboardX import summary
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import RecordWriter

from gridrun.report.exporters.runs import Run, plain, runs
from gridrun.results.aggregate import Aggregate
from gridrun.store import Store
from gridrun.terminal import many


def write(result: Aggregate, store: Store, folder: Path) -> str:
    """Write a folder for each trajectory; those without any outcome are left out."""
    count = 0
    for run in runs(result, store):
        (folder / run.name).mkdir()
        # TensorBoard takes a file for one of events by this word in its name.
        writer = RecordWriter(str(folder / run.name / f"events.out.tfevents.{run.trajectory}"))
        try:
            for event in _events(run, result.recorded):
                writer.write(event.SerializeToString())
        finally:
            writer.close()
        count += 1
    return many(count, "run")


def _events(run: Run, metrics: Sequence[str]) -> Iterator[Event]:
    began = run.began.timestamp()
    yield Event(wall_time=began, file_version="brain.Event:2")
    params = {name: plain(value) for name, value in run.params.items()}
    for each in summary.hparams(params, dict.fromkeys(metrics)):
        yield Event(wall_time=began, summary=each)
    for epoch, (values, seconds) in enumerate(zip(run.history, run.seconds, strict=True), start=1):
        for name, value in values.items():
            yield Event(wall_time=began + seconds, step=epoch, summary=summary.scalar(name, value))
