"""Provenance: what was run, with what, where and when, and how to read its numbers."""

import shlex
from typing import Any

from gridrun.command import write_command
from gridrun.directory import last_command
from gridrun.report.captions import mixed
from gridrun.report.page.rendering import Panel
from gridrun.report.page.source import Source

MOST_PLACES = 10


def _fill(source: Source) -> dict[str, Any]:
    result, store = source.result, source.store
    sessions = store.sessions()
    command = last_command(store.directory)
    # A place is a machine and a process there.
    hosts = sorted({place.rpartition(" ")[0] or place for place in source.stamps.places if place})
    return {
        "spec": result.spec,
        "fixed": result.spec.grid.fixed,
        "defaults": result.defaults,
        "versions": {
            name: ", ".join(map(str, found)) if isinstance(found, tuple) else str(found)
            for name, found in result.versions.items()
        },
        "sessions": [(s.number, s.started_at, len(s.sources)) for s in sessions],
        "sources": sorted(sessions[-1].sources.items()) if sessions else [],
        "hosts": hosts[:MOST_PLACES],
        "more_hosts": len(hosts) - MOST_PLACES,
        "command": write_command(*command[1]) if command else "",
        "folder": shlex.quote(command[0]) if command else "",
        "mixed": mixed(result),
        "replicates": " and ".join(axis.name for axis in result.spec.grid.replicates),
    }


PANEL = Panel("provenance", "Provenance", _fill)
