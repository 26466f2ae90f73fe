"""What a running sweep shows on stderr: a live line on a terminal, a plain one now and then elsewhere."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from gridrun.store import Outcome
from gridrun.sweep import Plan, better
from gridrun.terminal import visible

# Seconds between plain lines: a log of a night stays a page.
PLAIN_S = 10.0


class _Rate(ProgressColumn):
    """Cells a second since the start."""

    def render(self, task: Task) -> Text:
        done = task.completed - float(task.fields["cached"])
        return Text(f"{done / task.elapsed:.1f}/s" if task.elapsed else "")


class Screen:
    """Counts what is saved and shows it. Cells count when they are on disk, not before."""

    plan: Plan

    def __init__(self, live: Progress | None, quiet: bool) -> None:
        self.live = live
        self.quiet = quiet
        self.done = self.failed = 0
        self.best: float | None = None
        self.began = self.spoken = time.monotonic()

    def begin(self, plan: Plan) -> None:
        """Start from what is known once the directory is locked."""
        self.plan, self.done, self.failed = plan, plan.count.completed + plan.count.failed, plan.count.failed
        if self.live is not None:
            self.task = self.live.add_task(
                "", total=plan.count.total, completed=self.done, cached=self.done, note=""
            )

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes that were just committed."""
        spec = self.plan.spec
        for outcome in outcomes:
            before = self.plan.known.get(outcome.trajectory)
            for budget in spec.grid.budgets or (1,):
                if before is not None and before.epochs >= budget:
                    continue
                self.done += 1
                self.failed += len(outcome.history) < budget
            for metrics in outcome.history:
                self.best = better(self.best, metrics[spec.metric], spec.mode)
        if self.live is not None:
            self.live.update(self.task, completed=self.done, note=self._note())
        elif not self.quiet and time.monotonic() - self.spoken >= PLAIN_S:
            self.spoken = time.monotonic()
            print(f"{self.done} of {self.plan.count.total} cells{self._note()}", file=sys.stderr, flush=True)

    def say(self, message: str) -> None:
        """Show a message of the sweep's, above the live line if there is one."""
        text = "gridrun: " + visible(message)
        if self.live is not None:
            self.live.console.print(Text(text))
        else:
            print(text, file=sys.stderr, flush=True)

    def _note(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        best = f", best {visible(self.plan.spec.metric)} {self.best:.4g}" if self.best is not None else ""
        return failed + best


@contextmanager
def show_progress(*, quiet: bool) -> Iterator[Screen]:
    """Show a sweep's progress while the block runs."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield Screen(None, quiet)
        return
    columns = (
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f}/{task.total:.0f} cells", markup=False),
        _Rate(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as live:
        yield Screen(live, quiet)
