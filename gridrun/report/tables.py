"""The leaderboard: its rows, as the terminal shows it, and to be pasted into Markdown or LaTeX."""

import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gridrun.report.captions import clip, selected_on, show, show_metrics, title, title_of_count
from gridrun.results.aggregate import Aggregate
from gridrun.terminal import visible

PASTED = 20  # rows of table.md and table.tex
MOST_NARROW = 60  # characters of a value where a combination is a paragraph


def leaderboard(result: Aggregate, top: int, width: int = 80) -> RenderableType:
    """The best `top` combinations for a terminal of `width` columns. Values are text, never markup.

    A table; where its columns would be narrower than what stands in them, a paragraph for each combination.
    """
    header, rows = rows_of(result, top)
    if least_width(header, rows) > width:
        return _paragraphs(result, header, rows, top)
    table = Table(
        title=Text(f"{result.spec.name}: {selected_on(result)}"),
        title_justify="left",
        pad_edge=False,
        box=SIMPLE_HEAD,
        collapse_padding=True,
    )
    table.add_column(Text(header[0]), justify="right", no_wrap=True)
    for name in header[1:]:
        # A title breaks between its words, which a name with underscores cannot.
        table.add_column(
            Text(title(name)),
            justify="right",
            overflow="fold",
            no_wrap=name == visible(result.names.metric),
        )
    for row in rows:
        table.add_row(*(Text(value) for value in row), style="bold" if row[0] == "1" else None)
    words = _words_below(result, len(rows), top)
    table.caption = Text("\n".join(words)) if words else None
    table.caption_justify = "left"
    return table


def least_width(header: list[str], rows: list[list[str]]) -> int:
    """The columns of a terminal that the table takes if no value and no word of a title is broken."""
    widths = (
        max(map(cell_len, (*title(name).split(), *column)))
        for name, *column in zip(header, *rows, strict=True)
    )
    return sum(widths) + 2 * len(header)


def _paragraphs(result: Aggregate, header: list[str], rows: list[list[str]], top: int) -> RenderableType:
    """Each combination as "#1  accuracy 0.9800: learning_rate 0.05, ...", wrapped."""
    at = len(header) - (2 if result.budget is not None else 1)
    parts: list[RenderableType] = [Text(f"{result.spec.name}: {selected_on(result)}", style="italic"), ""]
    for rank, *cells in rows:
        metric = f"#{rank}  {header[at]} {cells[at - 1]}: "
        params = (
            f"{visible(name)} {clip(value, MOST_NARROW)}"
            for name, value in zip(header[1:], cells, strict=True)
            if value and name != header[at]
        )
        parts.append(Text(metric + ", ".join(params), style="bold" if rank == "1" else ""))
    parts += map(Text, _words_below(result, len(rows), top))
    return Group(*parts)


def _words_below(result: Aggregate, rows: int, top: int) -> list[str]:
    words = [f"{rows} of {len(result.best):,}; all are in best.csv"] * (rows < len(result.best))
    return words + ([note] if (note := note_on(result, top)) else [])


def rows_of(result: Aggregate, top: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows as shown: rank, axes, metric (± its deviation over replicates), budget reached at."""
    names, axes = result.names, [axis.name for axis in result.axes]
    at = [] if result.budget is None else [result.budget.name]
    header = ["#", *axes, visible(names.metric), *at]
    best = result.best.head(top)
    columns = {name: best[name].tolist() for name in best.columns}
    found = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    metrics = show_metrics(columns[names.metric])
    rows = [
        [str(rank), *values, _metric(result, row, metric), *(show(row[name]) for name in at)]
        for rank, (row, metric, values) in enumerate(
            zip(found, metrics, _values(result, len(best)), strict=True), start=1
        )
    ]
    return header, rows


def _values(result: Aggregate, top: int) -> list[list[str]]:
    """The parameters of the best combinations as grid.toml has them; "" where one has not got it.

    A column of `best` has one type: 1 beside 0.3 is 1.0 there.
    """
    codes = [(axis, result.layout.codes[axis.name]) for axis in result.axes]
    return [
        [show(axis.values[code[place]]) if code[place] >= 0 else "" for axis, code in codes]
        for place in result.order[:top].tolist()
    ]


def _metric(result: Aggregate, row: dict[str, Any], words: str) -> str:
    """The metric, its deviation over replicates, and whether some of these are missing."""
    names, wanted = result.names, result.replicates
    count = row[names.count] if result.spec.grid.replicates else 1
    if result.spec.grid.replicates and not math.isnan(std := row[names.std]):
        words += f" ± {std:.4f}" if 1e-4 <= std < 1e5 else f" ± {std:.2g}"
    if count < wanted:
        return f"{words} ({count} of {wanted})"
    if row[names.failed]:
        return f"{words} ({row[names.failed]} failed)" if wanted > 1 else f"{words} (failed later)"
    return f"{words} (n = 1)" if result.spec.grid.replicates and wanted == 1 else words


def note_on(result: Aggregate, top: int) -> str:
    """What the marks beside the metrics of the best `top` combinations mean; nothing if there are none."""
    names, wanted, best = result.names, result.replicates, result.best.head(top)
    if best.empty:
        return ""
    count = best[names.count] if result.spec.grid.replicates else pd.Series(1, index=best.index)
    few, failed = count < wanted, best[names.failed]
    notes, kind = [], title_of_count(result).lower() if wanted > 1 else ""
    if few.any():
        reasons = ["failed"] if failed[few].any() else []
        if (count + failed)[few].lt(wanted).any():
            reasons += ["are pending"] if result.counts["pending"] else []
            reasons += [f"have no {visible(result.spec.metric)}"] if result.absent else []
        notes.append(f"(k of {wanted}): the mean of k {kind}, as the others {' or '.join(reasons)}")
    if (failed[~few] > 0).any() and result.budget is not None:
        mark = f"(k failed): k {kind}" if wanted > 1 else "(failed later): it"
        notes.append(f"{mark} failed on the way to a larger {result.budget.name}")
    return "; ".join(notes)


def write_tables(result: Aggregate, directory: Path) -> None:
    """Write the best of the ranking as table.md and table.tex, to be pasted."""
    header, rows = rows_of(result, PASTED)
    names = [title(name) for name in header]
    for file, text in (("table.md", as_markdown(names, rows)), ("table.tex", as_latex(names, rows))):
        (directory / file).write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def as_markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table as Markdown has it, its columns to the right."""
    lines = [header, ["--:"] * len(header), *rows]
    return "".join("| " + " | ".join(map(_of_markdown, line)) + " |\n" for line in lines)


def _of_markdown(text: str) -> str:
    return re.sub(r"([\\|`*_\[\]<>])", r"\\\1", visible(text))


LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}


def as_latex(header: list[str], rows: list[list[str]]) -> str:
    """A tabular of LaTeX, with the rules of booktabs."""
    body = "".join(" & ".join(map(_of_latex, row)) + " \\\\\n" for row in rows)
    head = " & ".join(map(_of_latex, header))
    columns = "r" * len(header)
    return (
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{head} \\\\\n\\midrule\n{body}"
        "\\bottomrule\n\\end{tabular}\n"
    )


def _of_latex(text: str) -> str:
    return "".join(LATEX.get(c, "\\" + c if c in "&%$#_{}" else c) for c in visible(text))
