"""What a running sweep shows on stderr: a live line on a terminal, a plain one now and then elsewhere."""

import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from gridrun.command import how_to_show
from gridrun.directory import Board
from gridrun.duration import tell_seconds
from gridrun.forecast import Forecast
from gridrun.now import MOST_PUBLISHED, SHORT_ID, rows_of, tell_rows
from gridrun.outcome import COMPLETED, FAILED, NOTHING, PENDING, Failure, Outcome, Working
from gridrun.outcome import Progress as Epochs
from gridrun.plan import Plan
from gridrun.results.failures import failed_cell, kind_of
from gridrun.results.lines import tell_failure, tell_params
from gridrun.results.standings import Standing, Standings
from gridrun.signals import FINISHING, Stop
from gridrun.terminal import Impatient, many, stands_on, visible

# Seconds between plain lines: a log of a night stays a page.
PLAIN_S = 10.0
# So many kinds of failure are told as they happen: a screen that only fails shows nothing else.
MOST_TOLD = 10
OTHERS = ""  # all kinds beyond these
# Seconds between looks at who is best.
LOOK_S = 0.5
# Seconds between what is told to `status`.
PUBLISH_S = 1.0
# Columns of a terminal from which on counts and times stand beside the bar, which then has so many.
WIDE, BAR = 80, 20
# Lines that the best, kinds of failures and workers take at most.
MOST_BEST, MOST_KINDS, MOST_WORKERS = 3, 3, 16


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
        live: Live | None,
        quiet: bool,
        workers: int = 1,
    ) -> None:
        self.plan = plan
        self.directory = directory
        self.kinds: dict[str, tuple[int, str]] = {}  # of failures: how many, and the first one's words
        self.standings = standings
        self.live = live
        self.quiet = quiet
        self.done, self.failed = plan.count.completed + plan.count.failed, plan.count.failed
        self.best: Standing | None = None
        self.began = self.spoken = time.monotonic()
        self.look_at = 0.0
        self.forecast = None if quiet else Forecast(plan, workers)
        self.left: tuple[float, float] | None = None
        self.working: Sequence[Working] = ()
        self.board = Board(directory)
        self.published_at = 0.0
        self.told_best: Standing | None = None

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes that were just committed."""
        spec = self.plan.spec
        for outcome in outcomes:
            before = self.plan.known.get(outcome.trajectory, NOTHING)
            after, failed = before.after(outcome), self.failed
            for budget in spec.grid.budgets or (None,):
                status = after.status(budget)
                if before.status(budget) != COMPLETED and status != PENDING:
                    self.done += 1
                    self.failed += status == FAILED
            if outcome.failure is not None and not self.quiet:
                self._count_failure(outcome, outcome.failure, after, self.failed - failed)
        now = time.monotonic()
        if self.forecast is not None:
            self.forecast.add(outcomes, now)
        if self.quiet:
            return
        if self.live is not None or now - self.spoken >= PLAIN_S:
            self._look(now)
        if self.live is None and now - self.spoken >= PLAIN_S:
            self.spoken = now
            print(self._plain_line(now), file=sys.stderr, flush=True)

    def look(self, working: Sequence[Working]) -> None:
        """Show what slots are doing, and tell `status` of it."""
        now = time.monotonic()
        self.working = working
        if now - self.published_at < PUBLISH_S:
            return
        self.published_at = now
        if self.forecast is not None:
            self._look(now)
        rows = rows_of(self.plan.spec.grid, working[:MOST_PUBLISHED], now)
        self.board.write({"elapsed_s": now - self.began, "left_s": self.left, "workers": rows})

    def close(self) -> None:
        """The sweep has ended, or was ended: nobody works any more."""
        self.working = ()
        self.board.close()

    def say(self, message: str) -> None:
        """Show a message of the sweep's, above the live line if there is one."""
        text = "gridrun: " + visible(message)
        if self.live is not None:
            self.live.console.print(Text(text), soft_wrap=True)  # a command is copied as one line
        else:
            print(text, file=sys.stderr, flush=True)

    def _count_failure(self, outcome: Outcome, failure: Failure, progress: Epochs, cells: int) -> None:
        """Count cells that failed by kind, and tell the first of each as it happens."""
        kind = kind_of(failure)
        if kind not in self.kinds and len(self.kinds) >= MOST_TOLD:
            kind = OTHERS
        words = "of other kinds" if kind == OTHERS else tell_failure(failure)
        count, words = self.kinds.get(kind, (0, words))
        self.kinds[kind] = (count + cells, words)
        if count or kind == OTHERS:
            return
        grid = self.plan.spec.grid
        cell = failed_cell(grid, outcome.trajectory, progress)
        if cell is None:
            return
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
        self.left = None if self.forecast is None else self.forecast.seconds(now)
        # Of a million cells a look takes 0.5 s: no more than a twentieth of the time is spent on it.
        pause_s = LOOK_S if self.live is not None else PLAIN_S / 2
        self.look_at = now + max(pause_s, 20 * (time.monotonic() - now))

    def _plain_line(self, now: float) -> str:
        """How far and how long; who is best with its parameters only where that has changed."""
        words = [f"{self.done} of {self.plan.count.total} cells {self._times(now)}", *self._failures()]
        if best := self._tell_best(whole=self.best != self.told_best):
            words.append(best)
        self.told_best = self.best
        return ", ".join(words)

    def _times(self, now: float) -> str:
        passed = f"after {tell_seconds(now - self.began, now - self.began)}"
        if self.left is None or self.done >= self.plan.count.total:
            return passed
        return f"{passed}, {tell_seconds(*self.left)} left"

    def _failures(self) -> list[str]:
        return [f"{self.failed} failed"] if self.failed else []

    def _tell_best(self, *, whole: bool) -> str:
        best = self.best
        if best is None:
            return ""
        words = f"best {visible(self.plan.spec.metric)} {best.value:.6g}"
        varied = [axis.name for axis in self.plan.spec.grid.axes if len(axis.values) > 1]
        params = tell_params(best.cell.params, varied) if whole else ""
        return f"{words}: {params}" if params else words


class _Block:
    """What the live screen shows, drawn for the width and height that the terminal has at that instant."""

    def __init__(self, screen: Screen, stop: Stop) -> None:
        self._screen, self._stop = screen, stop

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, now = options.max_width, time.monotonic()
        yield from self._head(width, now, "-" if options.ascii_only else "\N{BOX DRAWINGS HEAVY HORIZONTAL}")
        if best := self._screen._tell_best(whole=True):
            lines = list(Text(best).wrap(console, width))
            if len(lines) > MOST_BEST:
                rest = " ".join(line.plain for line in lines[MOST_BEST - 1 :])
                lines[MOST_BEST - 1 :] = [Text(rest, no_wrap=True, overflow="ellipsis")]
            yield from lines
        for count, words in sorted(self._screen.kinds.values(), key=lambda kind: -kind[0])[:MOST_KINDS]:
            yield _line(f"{count:>5,} x {words}")
        if rows := rows_of(self._screen.plan.spec.grid, self._screen.working, now):
            most = min(MOST_WORKERS, max(1, console.height - MOST_BEST - MOST_KINDS - 5))
            yield from map(_line, tell_rows(rows, most, narrow=width < WIDE))
            longest = max(rows, key=lambda row: row.seconds)
            # Not cut: it is to be copied.
            yield Text(f"output: {how_to_show(longest.cell[:SHORT_ID], self._screen.directory)} --follow")
        if self._stop.asked:
            yield Text(FINISHING)

    def _head(self, width: int, now: float, mark: str) -> Iterator[Text]:
        screen = self._screen
        total = screen.plan.count.total
        counts = ", ".join([f"{screen.done}/{total} cells", *screen._failures()])
        times = screen._times(now)
        long = BAR if width >= WIDE else width
        filled = long * screen.done // max(1, total)
        bar = Text(mark * filled, style="bar.complete").append(mark * (long - filled), style="bar.back")
        if width >= WIDE:
            yield _line(Text(" ").join([bar, Text(counts + ", " + times)]))
        else:
            yield from (bar, _line(counts), _line(times))


def _line(text: "str | Text") -> Text:
    """One line of the terminal, however narrow that is."""
    text = Text(text) if isinstance(text, str) else text
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


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
    plan: Plan,
    standings: Standings,
    directory: Path,
    *,
    workers: int,
    quiet: bool,
    stop: Stop | None = None,
) -> Iterator[Screen]:
    """Show a sweep's progress while the block runs, and whether it was asked to stop."""
    # As it is now: a cell that runs in this process has another.
    with _own_stderr() as stream:
        console = _Console(file=stream)
        # Whatever FORCE_COLOR says: a file is not drawn on, nor a terminal that can't move its cursor.
        moves = console.is_terminal and not console.is_dumb_terminal and stream.isatty()
        live = None
        if moves and not quiet:
            live = Live(console=console, refresh_per_second=4, redirect_stdout=False, redirect_stderr=False)
        screen = Screen(plan, standings, directory, live, quiet, workers)
        try:
            if live is None:
                yield screen
                return
            live.update(_Block(screen, stop or Stop()))
            with live:
                try:
                    yield screen
                finally:
                    screen.close()  # before the block is drawn for the last time
        finally:
            screen.close()


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
