"""What is known of trajectories while they run, and what of their outcomes is kept."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain

from gridrun.outcome import NOTHING, Failure, Outcome, Progress, Task
from gridrun.store import Store, TooLarge


@dataclass(frozen=True)
class Ledger:
    """The store that is written to, and how far each trajectory in it was when the sweep began, or is now.

    `resumes` is whether the trainer goes on after epochs that are stored.
    """

    store: Store
    known: dict[str, Progress]
    resumes: bool

    def give(self, tasks: Iterator[Task]) -> Iterator[Task]:
        """Tasks with the epochs of theirs that are stored, where the trainer can go on after these."""
        if not (self.resumes and self.known):
            return tasks
        return (replace(task, so_far=self._so_far(task)) for task in tasks)

    def commit(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Store what tells anything new, and return it. What was known before `learn` still is."""
        outcomes = [self._check(outcome) for outcome in outcomes if self._is_new(outcome)]
        if not outcomes:
            return outcomes
        try:
            self.store.save(outcomes)
        except TooLarge:  # one of them
            return list(chain.from_iterable(map(self._save_alone, outcomes)))
        return outcomes

    def keep(self, so_far: Outcome) -> None:
        """Commit epochs of a trajectory that runs in this process; observers hear of it when it is done."""
        if self._is_new(so_far):
            with suppress(TooLarge):  # told when it is done
                self.store.save([so_far])
                self.learn([so_far])

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Know the epochs so far of trajectories that are under way."""
        for outcome in outcomes:
            if outcome.underway:
                before = self.known.get(outcome.trajectory, NOTHING)
                self.known[outcome.trajectory] = before.after(outcome)

    def _save_alone(self, outcome: Outcome) -> list[Outcome]:
        """Store an outcome, or that it has failed as it is too large; nothing yet if it is under way."""
        try:
            self.store.save([outcome])
        except TooLarge:
            if outcome.underway:
                return []
            failure = Failure(
                f"its {len(outcome.history)} epochs are more than the 1 GB that the store takes of a"
                " trajectory; yield fewer metrics, or shorter names"
            )
            outcome = Outcome(
                outcome.trajectory, outcome.params, (), failure, outcome.wall_s, number=outcome.number
            )
            self.store.save([outcome])
        return [outcome]

    def _so_far(self, task: Task) -> Outcome | None:
        known = self.known.get(task.trajectory, NOTHING).epochs
        timing = self.store.timing_of(task.trajectory) if known else None
        if timing is None:
            return None
        history = self.store.history_of(task.trajectory).metrics
        # Of a single epoch they are wall_s; of several a store of version 1 has none.
        seconds = timing.seconds or [timing.wall_s]
        if len(history) != len(seconds):
            return None
        return Outcome(task.trajectory, task.params, history, None, timing.wall_s, seconds)

    def _is_new(self, outcome: Outcome) -> bool:
        """Whether it tells anything: a trajectory that was begun anew may be behind what is stored of it."""
        if not outcome.underway:
            return True
        return len(outcome.history) > self.known.get(outcome.trajectory, NOTHING).epochs

    def _check(self, outcome: Outcome) -> Outcome:
        """A run that ends by itself before epochs that it once completed is not the same run."""
        if not outcome.ended:
            return outcome
        known = self.known.get(outcome.trajectory, NOTHING).epochs
        if len(outcome.history) >= known:
            return outcome
        reason = f"ended by itself after {len(outcome.history)} epochs; before, it had completed {known}"
        return outcome._replace(ended=False, failure=Failure(reason))
