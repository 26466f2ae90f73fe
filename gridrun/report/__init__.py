"""DIR/report/: what a sweep found, as tables, pictures and one page. Written whole or not at all."""

import shutil
import tempfile
from pathlib import Path

from gridrun.aggregate import Aggregate, aggregate
from gridrun.errors import EnvironmentFault
from gridrun.report import curves, html, surfaces, tables
from gridrun.store import Store


def write_report(directory: Path) -> Aggregate:
    """Make DIR/report/ anew from the store, replacing the one before.

    Raises: InputError if there is nothing to report, EnvironmentFault if it can't be read or written.
    """
    with Store.read(directory) as store:
        result = aggregate(store)
    target = directory / "report"
    try:
        partial = Path(tempfile.mkdtemp(prefix=".report-", dir=directory))
        try:
            partial.chmod(0o755)
            tables.write_csv(result, partial)
            tables.draw_table(result, partial)
            surfaces.draw_surfaces(result, partial)
            curves.draw_curves(result, partial)
            html.write_page(result, partial)
            if target.exists():
                target.rename(partial / ".before")
            partial.rename(target)
            shutil.rmtree(target / ".before", ignore_errors=True)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise EnvironmentFault(f"{target}: cannot be written: {error.strerror}") from None
    return result
