"""`gridrun status`: how far it is."""

import json
import sys
from typing import Annotated

import typer

from gridrun.cli.arguments import Directory, sweep_directory
from gridrun.cli.printing import say


def status(
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object, on one line.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, while the sweep runs.")] = False,
) -> None:
    """How far a sweep is, while it runs or afterwards.

    \b
    gridrun status
    gridrun status results/lenet-digits --watch
    gridrun status --json
    """
    from gridrun.state import RUNNING, read_state
    from gridrun.store import Store
    from gridrun.watch import moves, show_changes

    directory = sweep_directory(directory)
    # What is printed with each change would be printed each second.
    workers = not watch or moves(sys.stdout)

    def look() -> tuple[str, bool]:
        with Store.read(directory) as store:
            state = read_state(store)
        lines = [json.dumps(state.as_json())] if as_json else state.as_lines(workers=workers)
        return "\n".join(lines), state.word == RUNNING

    if watch:
        show_changes(look, say, lines=as_json)
    else:
        say(look()[0])
