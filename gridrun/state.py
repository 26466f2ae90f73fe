"""How far a sweep is, as `status` tells it. Loads neither NumPy nor joblib: it is asked often."""

import shlex
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gridrun.command import how_to_show, same_command
from gridrun.directory import FILE, Holder, find_holder, last_command
from gridrun.duration import tell_seconds
from gridrun.now import SHORT_ID, Now, read_now, tell_rows
from gridrun.plan import Count, count_cells
from gridrun.results.failures import Kind, group_failures
from gridrun.results.lines import tell_kinds, tell_params
from gridrun.results.standings import Standing, Standings
from gridrun.spec import Spec
from gridrun.store import Store
from gridrun.terminal import many, visible
from gridrun.writing import WHERE, in_words_of_the_call

# Workers that are told of at most: those that run longest.
MOST_WORKERS = 16
RUNNING, INTERRUPTED, FINISHED = "running", "interrupted", "finished"


@dataclass(frozen=True)
class State:
    """How far a sweep is. `holder` is who runs it now, `now` what that one said last.

    `left` are the trajectories to run.
    """

    directory: Path
    spec: Spec
    count: Count
    left: int
    best: Standing | None
    kinds: list[Kind]
    holder: Holder | None
    now: Now | None = None

    @property
    def word(self) -> str:
        if self.holder is not None:
            return RUNNING
        return INTERRUPTED if self.count.pending else FINISHED

    def as_json(self) -> dict[str, Any]:
        count, holder, best = self.count, self.holder, self.best
        return {
            "total": count.total,
            "completed": count.completed,
            "failed": count.failed,
            "pending": count.pending,
            "stopped_early": count.stopped_early,
            "state": self.word,
            "process": None if holder is None else {"id": holder.process, "host": holder.host},
            "since": holder.since or None if holder is not None else None,
            "elapsed_s": None if self.now is None else self.now.elapsed_s,
            "left_s": None if self.now is None else self.now.left_s,
            "workers": [] if self.now is None else [row._asdict() for row in self.now.workers],
            "best": None
            if best is None
            else {"metric": best.value, "params": self._params(best), "cell": best.cell.id},
            "failures": [asdict(kind) for kind in self.kinds],
        }

    def as_lines(self, *, workers: bool = True) -> list[str]:
        """The same to read; `workers`: with what each of them does now."""
        count = self.count
        early = f", {count.stopped_early} stopped early" if count.stopped_early else ""
        lines = [
            f"{self.spec.name}: {count.completed} of {many(count.total, 'cell')} completed"
            f" ({count.completed / count.total:.0%}{early}); {self._now()}",
            f"failed {count.failed}, pending {count.pending}"
            f" ({many(self.left, 'trajectory', 'trajectories')} to run)",
        ]
        if self.best is not None:
            replicates = sorted(axis.name for axis in self.spec.grid.replicates)
            mean = f" (mean of {self.best.count} over {' and '.join(replicates)})" if replicates else ""
            params = self._params(self.best)
            lines.append(
                f"best {visible(self.spec.metric)} {self.best.value:.6g}{mean}: {tell_params(params, params)}"
                f" (cell {self.best.cell.id})"
            )
        if self.now is not None and workers:
            lines += self._tell_now(self.now)
        if self.kinds:
            lines += tell_kinds(self.kinds, self.directory)
        if self.kinds and self.word != RUNNING:
            lines.append(f"run them again: {self._command('--retry-failed')}")
        if self.word == INTERRUPTED:
            lines.append(f"go on: {self._command()}")
        return lines

    def _tell_now(self, now: Now) -> list[str]:
        left = "" if now.left_s is None else f", {tell_seconds(*now.left_s)} left"
        lines = [f"after {tell_seconds(now.elapsed_s, now.elapsed_s)}{left}; what workers do:"]
        if not now.workers:
            return [lines[0].replace("; what workers do:", "")]
        lines += [f"  {line}" for line in tell_rows(now.workers, MOST_WORKERS)]
        longest = max(now.workers, key=lambda row: row.seconds)
        return [*lines, f"  output: {how_to_show(longest.cell[:SHORT_ID], self.directory)} --follow"]

    def _params(self, best: Standing) -> dict[str, Any]:
        params = best.cell.params
        return {axis.name: params[axis.name] for axis in self.spec.grid.axes if axis.name in params}

    def _now(self) -> str:
        if self.holder is None:
            return self.word
        try:
            began = datetime.fromisoformat(self.holder.since).astimezone()
            since = f" since {began:%Y-%m-%d %H:%M}"
        except (ValueError, OverflowError, OSError):  # the lock file is a stranger's, or of an older version
            since = ""
        return visible(f"{self.word}{since} ({self.holder})")

    def _command(self, *options: str) -> str:
        """The command line that swept here last, if it was kept, to be typed where it was typed then."""
        folder, words = last_command(self.directory) or ("", [])
        if words == [WHERE]:
            return " ".join([f"call {WHERE} as before,", *map(in_words_of_the_call, options)]).removesuffix(
                ","
            )
        if words[:1] != ["sweep"]:
            return " ".join(["gridrun sweep, as before,", *options]).removesuffix(",")
        there = "" if folder == str(Path.cwd()) else f"cd {shlex.quote(folder)} && "
        return visible(there + same_command(*options, words=words))


def read_state(store: Store) -> State:
    """What a store and the lock beside it say of a sweep."""
    holder = find_holder(store.directory)  # first: a sweep that ends meanwhile is not "interrupted"
    spec = Spec.parse(store.grid_text(), str(store.directory / FILE))
    identity, known = store.identity(), store.progress()
    count, left = count_cells(spec.grid, identity, known)
    kinds = group_failures(store, spec.grid, identity, known) if count.failed else []
    best = Standings.of(store, spec, identity).best()
    now = None if holder is None else read_now(store, holder)
    return State(store.directory, spec, count, left, best, kinds, holder, now)
