"""`gridrun init`: the first grid.toml."""

from pathlib import Path
from typing import Annotated

import typer

from gridrun.cli.printing import say
from gridrun.command import write_command


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("grid.toml"),
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="function or command, a small one beside it; estimator; or cnn, that of cnn_core.",
        ),
    ] = "function",
) -> None:
    """Write a commented grid.toml that runs at once, and a trainer beside it.

    \b
    gridrun init
    gridrun init study/grid.toml --kind estimator
    """
    from gridrun.templates import write_templates

    names = " and ".join(str(file) for file in write_templates(path, kind))
    say(f"wrote {names}; next: {write_command('sweep', path)}")
