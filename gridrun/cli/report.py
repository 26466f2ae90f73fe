"""`gridrun report`: what the grid proves."""

from typing import Annotated

import typer

from gridrun.cli.arguments import Directory, sweep_directory
from gridrun.cli.printing import say, write


def report(
    directory: Directory = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Rows of the leaderboard.")] = 10,
) -> None:
    """Write DIR/report/ and print the leaderboard.

    \b
    gridrun report
    gridrun report results/lenet-digits --top 20
    """
    from rich.console import Console

    from gridrun.report import write_and_answer
    from gridrun.report.captions import missing, mixed, state
    from gridrun.report.sentences import tell
    from gridrun.report.tables import leaderboard

    directory = sweep_directory(directory)
    result, answer, costs = write_and_answer(directory)
    if words := missing(result):
        say(f"{result.spec.name}: {words}")
    else:
        console = Console()
        with console.capture() as drawn:
            console.print(leaderboard(result, top, console.width))
        write(drawn.get())
    for line in tell(result, answer, costs):
        say(line)
    say(f"{state(result)}.")
    if words := mixed(result):
        say(words)
    say(f"wrote {directory / 'report'}/")
