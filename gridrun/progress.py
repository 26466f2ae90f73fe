"""What a running sweep shows on stderr: a live line on a terminal, a plain one now and then elsewhere."""

import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleDimensions, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from gridrun.command import how_to_show
from gridrun.forecast import Forecast, tell_seconds
from gridrun.outcome import COMPLETED, FAILED, NOTHING, PENDING, Failure, Outcome
from gridrun.outcome import Progress as Epochs
from gridrun.plan import Plan
from gridrun.results.failures import failed_cell, kind_of
from gridrun.results.lines import tell_failure, tell_params
from gridrun.results.standings import Standing, Standings
from gridrun.terminal import Impatient, many, stands_on, visible

# Seconds between plain lines: a log of a night stays a page.
PLAIN_S = 10.0
# So many kinds of failure are told as they happen: a screen that only fails shows nothing else.
MOST_TOLD = 10
# Seconds between looks at who is best.
LOOK_S = 0.5
# Columns of a terminal from which on the bar is a long one.
WIDE = 70


class _Live(Progress):
    """A bar with how far and how long, and below it who is best."""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if best := task.fields["best"]:
                yield Text(best, no_wrap=True, overflow="ellipsis")


class _Console(Console):
    """As wide as the terminal of its own stream: rich asks descriptors 0 to 2, which may be a cell's."""

    @property
    def size(self) -> ConsoleDimensions:
        with suppress(OSError, ValueError, AttributeError):
            found = ConsoleDimensions(*os.get_terminal_size(self.file.fileno()))
            if self._width is None and found.width:  # COLUMNS has not said another
                return found
        return super().size

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size


class Screen:
    """Counts what is saved and shows it. Cells count when they are on disk, not before."""

    def __init__(
        self,
        plan: Plan,
        standings: Standings,
        directory: Path,
        live: Progress | None,
        quiet: bool,
        workers: int = 1,
    ) -> None:
        self.plan = plan
        self.directory = directory
        self.kinds: set[str] = set()  # of failures, those told
        self.standings = standings
        self.live = live
        self.quiet = quiet
        self.done, self.failed = plan.count.completed + plan.count.failed, plan.count.failed
        self.best: Standing | None = None
        self.began = self.spoken = time.monotonic()
        self.look_at = 0.0
        self.forecast = None if quiet else Forecast(plan, workers)
        self.left = ""
        if live is not None:
            self.task = live.add_task("", total=plan.count.total, completed=self.done, note="", best="")

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes that were just committed."""
        spec = self.plan.spec
        for outcome in outcomes:
            before = self.plan.known.get(outcome.trajectory, NOTHING)
            after = before.after(outcome)
            for budget in spec.grid.budgets or (None,):
                status = after.status(budget)
                if before.status(budget) != COMPLETED and status != PENDING:
                    self.done += 1
                    self.failed += status == FAILED
            if outcome.failure is not None and not self.quiet:
                self._tell_failure(outcome, outcome.failure, after)
        now = time.monotonic()
        if self.forecast is not None:
            self.forecast.add(outcomes, now)
        if self.live is not None:
            self._look(now)
            self.live.update(self.task, completed=self.done, note=self._note(now), best=self._tell_best(True))
        elif not self.quiet and now - self.spoken >= PLAIN_S:
            self.spoken = now
            self._look(now)
            best = self._tell_best(False)
            print(
                f"{self.done} of {self.plan.count.total} cells {self._note(now)}{best and ', '}{best}",
                file=sys.stderr,
                flush=True,
            )

    def say(self, message: str) -> None:
        """Show a message of the sweep's, above the live line if there is one."""
        text = "gridrun: " + visible(message)
        if self.live is not None:
            self.live.console.print(Text(text), soft_wrap=True)  # a command is copied as one line
        else:
            print(text, file=sys.stderr, flush=True)

    def _tell_failure(self, outcome: Outcome, failure: Failure, progress: Epochs) -> None:
        """Tell the first failure of each kind as it happens; the sweep's end tells how many there were."""
        if len(self.kinds) >= MOST_TOLD or (kind := kind_of(failure)) in self.kinds:
            return
        grid = self.plan.spec.grid
        cell = failed_cell(grid, outcome.trajectory, progress)
        if cell is None:
            return
        self.kinds.add(kind)
        names = [axis.name for axis in grid.trajectory_axes if len(axis.values) > 1]
        params = tell_params(outcome.params, names)
        self.say(
            f"failed: {params + ': ' if params else ''}{tell_failure(failure)};"
            f" {how_to_show(cell, self.directory)}"
        )

    def _look(self, now: float) -> None:
        """See who is best and how long the rest takes, now and then."""
        if now < self.look_at:
            return
        self.best = self.standings.best()
        found = None if self.forecast is None else self.forecast.seconds(now)
        self.left = "" if found is None else tell_seconds(*found)
        # Of a million cells a look takes 0.5 s: no more than a twentieth of the time is spent on it.
        self.look_at = now + max(LOOK_S, 20 * (time.monotonic() - now))

    def _note(self, now: float) -> str:
        words = [f"after {tell_seconds(now - self.began, now - self.began)}"]
        words += [f"{self.left} left"] if self.left and self.done < self.plan.count.total else []
        words += [f"{self.failed} failed"] if self.failed else []
        return ", ".join(words)

    def _tell_best(self, whole: bool) -> str:
        if self.best is None:
            return ""
        words = f"best {visible(self.plan.spec.metric)} {self.best.value:.6g}"
        varied = [axis.name for axis in self.plan.spec.grid.axes if len(axis.values) > 1]
        params = tell_params(self.best.cell.params, varied) if whole else ""
        return f"{words}: {params}" if params else words


def tell_plan(plan: Plan, workers: int) -> str:
    """What is going to be done, on one line."""
    count = plan.count
    failed = f", {count.failed} failed (see --retry-failed)" if count.failed else ""
    return (
        f"{plan.spec.name}: {many(count.total, 'cell')}, {count.completed} cached{failed},"
        f" {count.pending} new, {many(plan.trajectories, 'trajectory', 'trajectories')},"
        f" {many(workers, 'worker')}"
    )


@contextmanager
def show_progress(
    plan: Plan, standings: Standings, directory: Path, *, workers: int, quiet: bool
) -> Iterator[Screen]:
    """Show a sweep's progress while the block runs."""
    # As it is now: a cell that runs in this process has another.
    with _own_stderr() as stream:
        console = _Console(file=stream)
        if quiet or not console.is_terminal:
            yield Screen(plan, standings, directory, None, quiet, workers)
            return
        with _live(console) as live:
            yield Screen(plan, standings, directory, live, quiet, workers)


@contextmanager
def _own_stderr() -> Iterator[Any]:
    """Stderr by a descriptor that no cell knows, unless it is a notebook's, which has none."""
    if not stands_on(sys.stderr, 2):
        yield sys.stderr
        return
    raw = open(os.dup(2), "wb")  # noqa: PTH123, SIM115
    try:
        yield Impatient(io.TextIOWrapper(raw, sys.stderr.encoding, sys.stderr.errors, line_buffering=True))
    finally:
        with suppress(OSError):  # the terminal has gone
            raw.close()


def _live(console: Console) -> Progress:
    columns = (
        BarColumn(bar_width=20 if console.width >= WIDE else 5),
        TextColumn("{task.completed:.0f}/{task.total:.0f} cells", markup=False),
        TextColumn("{task.fields[note]}", markup=False),
    )
    return _Live(*columns, console=console, redirect_stdout=False, redirect_stderr=False)
