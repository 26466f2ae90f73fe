"""Whether what stands side by side was made alike: by the same sources, with the same defaults."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from gridrun.cell import Identity, Params, Value, encode_value
from gridrun.environment import digest
from gridrun.errors import GridrunError
from gridrun.outcome import Session
from gridrun.store import Store
from gridrun.terminal import many


def changed_sources(store: Store, names: Iterable[str], sources: Mapping[str, str]) -> str:
    """Say which sources have changed since trajectories among `names` were run; "" if none has.

    What was kept by an older gridrun is not known, and not claimed.
    """
    now = digest(sources)
    codes = {code for code in store.code_versions() if code and now and code != now}
    if not codes:  # nearly always, and a million names need not be looked at
        return ""
    ours = set(names)
    count = sum(code in codes for name, code, _ in store.codes() if name in ours)
    if not count:
        return ""
    before = [session.sources for session in store.sessions() if digest(session.sources) in codes]
    return f"{_differing([*before, sources])} changed since {count:,} of the trajectories here were run"


def replaced_sources(store: Store, identity: Identity, sources: Mapping[str, str]) -> str:
    """Say which sources have changed since the last sweep here of the same trainer; "" if none has."""
    sessions = store.sessions()
    if not sessions or sessions[-1].sources == sources:
        return ""
    with suppress(GridrunError):  # what named the cells then is damaged
        if store.identity().train != identity.train:
            return ""
    return f"{_differing([sessions[-1].sources, sources])} changed since the last sweep here"


@dataclass(frozen=True)
class Provenance:
    """What the results have in common: `defaults` of the trainer's. And in sentences what they have not.

    versions: of every package that a session was run with; several where sessions differ.
    """

    defaults: Params
    mixtures: tuple[str, ...] = ()
    versions: Mapping[str, Value] = field(default_factory=dict)


def trace(store: Store, names: Collection[str]) -> Provenance:
    """How the trajectories among `names` were made that are completed, in part at least."""
    runs = Counter((code, session) for name, code, session in store.codes() if name in names)
    sessions = {session.number: session for session in store.sessions()}
    counts: Counter[int] = Counter()
    for (_, number), count in runs.items():
        if number in sessions and sessions[number].defaults is not None:
            counts[number] += count
    if not counts:  # nothing is completed, or all of it by an older gridrun
        return Provenance(store.defaults(), _mixed_code(runs, sessions), _versions(sessions.values()))
    common: dict[str, Value] = {}
    mixed = []
    for name in sorted({name for number in counts for name in sessions[number].defaults or ()}):
        found: Counter[str] = Counter()
        for number, count in counts.items():
            defaults = sessions[number].defaults or {}
            found[encode_value(defaults[name]) if name in defaults else "none"] += count
            if name in defaults:
                common[name] = defaults[name]
        if len(found) > 1:
            del common[name]
            shares = " and ".join(
                f"{value} for {many(count, 'trajectory', 'trajectories')}" for value, count in found.items()
            )
            mixed.append(f"the default of {name} was {shares}")
    return Provenance(common, (*_mixed_code(runs, sessions), *mixed), _versions(sessions.values()))


def _versions(sessions: Iterable[Session]) -> dict[str, Value]:
    found: dict[str, set[str]] = {}
    for session in sessions:
        for name, version in session.environment.items():
            found.setdefault(name, set()).add(version)
    return {
        name: min(known) if len(known) == 1 else tuple(sorted(known)) for name, known in sorted(found.items())
    }


def _mixed_code(runs: Mapping[tuple[str, int], int], sessions: Mapping[int, Session]) -> tuple[str, ...]:
    counts: Counter[str] = Counter()
    for (code, _), count in runs.items():
        counts[code] += count
    counts.pop("", None)  # kept by an older gridrun
    if len(counts) < 2:
        return ()
    sources = [s.sources for s in sessions.values() if digest(s.sources) in counts]
    shares = " and ".join(f"{count:,}" for count in counts.values())
    return (
        f"{len(counts)} versions of the code are mixed, by which {shares} trajectories were run:"
        f" {_differing(sources)} changed meanwhile",
    )


def _differing(sources: list[Mapping[str, str]]) -> str:
    names = {name for found in sources for name in found}
    different = sorted(name for name in names if len({found.get(name) for found in sources}) > 1)
    more = f" and {len(different) - 3} more" if len(different) > 3 else ""
    return (", ".join(different[:3]) or "the train function's code") + more
