"""`gridrun compare`: two sweeps side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gridrun.cli.complete import complete_sweep
from gridrun.cli.printing import say, write
from gridrun.errors import EnvironmentFault


def compare(
    one: Annotated[
        Path,
        typer.Argument(metavar="A", readable=False, help="A sweep directory.", autocompletion=complete_sweep),
    ],
    other: Annotated[
        Path, typer.Argument(metavar="B", readable=False, help="Another one.", autocompletion=complete_sweep)
    ],
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Rows of the table.")] = 10,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", readable=False, help="All pairs, as a CSV; - is stdout.")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", readable=False, help="A page to look at: report.html of two sweeps."),
    ] = None,
) -> None:
    """Two sweeps where their combinations meet: which is better, and what is beyond noise.

    \b
    gridrun compare results/first results/second
    gridrun compare results/first results/second --csv pairs.csv --page compared.html
    """
    from rich.console import Console

    from gridrun.report.versus import as_csv, table, tell
    from gridrun.results.aggregate import aggregate
    from gridrun.results.compare import compare as compare_sweeps
    from gridrun.store import Store

    results = []
    for directory in (one, other):
        with Store.read(directory) as store:
            results.append(aggregate(store))
    found = compare_sweeps(*results)
    if csv == Path("-"):
        write(as_csv(found))
        return
    for line in tell(found):
        say(line)
    console = Console()
    with console.capture() as drawn:
        console.print(table(found, top, console.width))
    write(drawn.get())
    if csv is not None:
        with _faults(csv):
            csv.write_text(as_csv(found), encoding="utf-8", errors="backslashreplace")
    if page is not None:
        from gridrun.report.page.versus import write_comparison

        with _faults(page):
            write_comparison(found, (one, other), page)
        say(f"wrote {page}")


@contextmanager
def _faults(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(f"{file}: cannot be written ({error.strerror})") from None
