"""`gridrun report`: what the grid proves."""

from typing import Annotated

import typer

from gridrun.cli.arguments import Directory, sweep_directory
from gridrun.cli.printing import say, write


def report(
    directory: Directory = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Rows of the leaderboard.")] = 10,
    watch: Annotated[
        bool, typer.Option("--watch", help="Write the page again and again while the sweep runs.")
    ] = False,
    format: Annotated[str, typer.Option(metavar="F", help="Of the pictures: png, svg or pdf.")] = "png",
    style: Annotated[
        str, typer.Option(metavar="S", help="Of the pictures: screen, or paper, a column wide.")
    ] = "screen",
    metric: Annotated[str | None, typer.Option(metavar="M", help="Pictures of another metric.")] = None,
    axes: Annotated[
        str | None, typer.Option(metavar="A,B", help="The axes of heat maps and surfaces.")
    ] = None,
) -> None:
    """Write DIR/report/ and print the leaderboard.

    \b
    gridrun report
    gridrun report results/lenet-digits --top 20
    gridrun report --format pdf --style paper --axes learning_rate,batch_size
    gridrun report --watch
    """
    from rich.console import Console

    from gridrun.report import follow_sweep, write_and_answer
    from gridrun.report.captions import missing, mixed, state
    from gridrun.report.pictures import Wanted
    from gridrun.report.sentences import tell
    from gridrun.report.tables import leaderboard

    directory = sweep_directory(directory)
    wanted = Wanted.read(format, style, axes, metric)
    if watch:
        follow_sweep(directory, say)
    result, answer, costs = write_and_answer(directory, wanted)
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
