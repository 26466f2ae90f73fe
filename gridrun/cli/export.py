"""`gridrun export`: results for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from gridrun.cli.arguments import Directory, sweep_directory
from gridrun.cli.printing import say


def export(
    directory: Directory = None,
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help="csv, parquet, optuna, mlflow or tensorboard.")
    ] = "csv",
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", readable=False, help="The folder to write; default: DIR/export/FORMAT."),
    ] = None,
) -> None:
    """Write the results for another tool: tables, or its own kind of store.

    \b
    gridrun export --to csv
    gridrun export results/lenet-digits --to parquet --out tables
    """
    from gridrun.report.exporters import export as export_to

    done = export_to(sweep_directory(directory), to, out)
    say(f"wrote {done.folder}/: {done.amount}; open it: {done.opens}")
