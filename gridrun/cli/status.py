"""`gridrun status`: how far it is."""

import json
from typing import Annotated

import typer

from gridrun.cli.arguments import Directory, sweep_directory
from gridrun.cli.printing import say


def status(
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object, on one line.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, while the sweep runs.")] = False,
) -> None:
    """How far a sweep is, while it runs or afterwards."""
    from gridrun.state import RUNNING, read_state
    from gridrun.store import Store

    directory = sweep_directory(directory)

    def look() -> tuple[str, bool]:
        with Store.read(directory) as store:
            state = read_state(store)
        text = json.dumps(state.as_json()) if as_json else "\n".join(state.as_lines())
        return text, state.word == RUNNING

    if watch:
        from gridrun.watch import show_changes

        show_changes(look, say, lines=as_json)
    else:
        say(look()[0])
