"""Failures: grouped by cause, with what those of a cause have in common."""

from typing import Any

from gridrun.command import write_command
from gridrun.directory import last_command
from gridrun.report.page.rendering import Panel
from gridrun.report.page.source import Source
from gridrun.report.views.logs import tell_failure
from gridrun.results.causes import find_causes


def _fill(source: Source) -> dict[str, Any]:
    result = source.result
    return {
        "causes": find_causes(source.store, result),
        "diverged": result.diverged,
        "absent": result.absent,
        "metric_name": result.spec.metric,
        "tell": tell_failure,
        "retry": _retry(source),
    }


def _retry(source: Source) -> str:
    found = last_command(source.store.directory)
    if found is None:
        return write_command("sweep", "grid.toml", "--retry-failed")
    words = found[1]
    return write_command(*words, *([] if "--retry-failed" in words else ["--retry-failed"]))


PANEL = Panel("failures", "Failures", _fill)
