"""Two sweeps side by side, for the terminal and as a CSV."""

import io
import math
from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gridrun.comparison import LEVEL
from gridrun.report.captions import show, show_metric, show_metrics, title
from gridrun.report.csv import text_of, write_rows
from gridrun.report.tables import least_width
from gridrun.results.compare import NOWHERE, Compared, Meeting
from gridrun.selection import merit
from gridrun.terminal import many, visible


def tell(found: Compared) -> Iterator[str]:
    """What there is to say, a sentence a line."""
    metric, mode = visible(found.one.spec.metric), found.one.spec.mode
    for letter, each in (("A", found.one), ("B", found.other)):
        best = float(each.best[each.names.metric].iloc[0])
        yield (
            f"{letter}: {each.spec.name}, {many(len(each.best), 'combination')},"
            f" best {metric} {show_metric(best)}"
        )
    if found.differ:
        told = (
            f"{visible(name)} {known_or_unsaid(one)} in A, {known_or_unsaid(other)} in B"
            for name, (one, other) in found.differ.items()
        )
        yield "They differ in " + "; ".join(told) + "."
    better, worse, equal = found.better()
    finite = [m.difference for m in found.meetings if math.isfinite(m.difference)]
    mean = f", on average {signed(sum(finite) / len(finite))} {metric}" if finite else ""
    met = f" in {', '.join(map(visible, found.on))}" if found.on else ""
    yield (
        f"{many(len(found.meetings), 'pair')} of combinations agree{met}: B is better in {better},"
        f" worse in {worse}, equal in {equal}{mean} ({'more' if mode == 'max' else 'less'} is better)."
    )
    if not found.replicates:
        yield "No replicates in common: of a single pair nothing is claimed."
        return
    up, down = found.beyond_noise()
    left = len(found.meetings) - up - down
    runs = max(meeting.runs for meeting in found.meetings)
    yield (
        f"Beyond noise B is better in {up} and worse in {down}; {left} cannot be told apart"
        f" ({runs} runs by {' and '.join(map(visible, found.replicates))}, paired t, Holm,"
        f" {100 * LEVEL:.0f} %)."
    )


def table(found: Compared, top: int, width: int) -> RenderableType:
    """The `top` pairs, the best of either sweep first; a line for each where a table is too wide."""
    names, heads, rows = rows_of(found, top)
    header = [*names, *heads]
    more = len(found.meetings) > len(rows)
    below = [f"{len(rows)} of {len(found.meetings):,}; --csv FILE writes all"] * more
    if least_width(header, rows) > width:
        lines = (
            ", ".join(f"{visible(n)} {v}" for n, v in zip(header, row, strict=True) if v) for row in rows
        )
        return Group(*map(Text, [*lines, *below]))
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in names:
        drawn.add_column(Text(title(name)), justify="right", overflow="fold")
    for head in heads:
        drawn.add_column(Text(head), justify="right", no_wrap=True)
    for row in rows:
        drawn.add_row(*map(Text, row))
    drawn.caption = Text("\n".join(below)) if below else None
    drawn.caption_justify = "left"
    return drawn


def rows_of(found: Compared, top: int) -> tuple[list[str], list[str], list[list[str]]]:
    """The names of what varies, of the figures beside it, and the `top` pairs as shown."""
    shown = ranked(found)[:top]
    names = [name for name in names_of(found) if len({_text(m, name) for m in found.meetings}) > 1]
    heads = ["A", "B", "B - A", *(["p"] if found.replicates else [])]
    told = show_metrics([m.one for m in shown] + [m.other for m in shown])
    rows = []
    for place, meeting in enumerate(shown):
        row = [_text(meeting, name) for name in names]
        row += [told[place], told[len(shown) + place], signed(meeting.difference)]
        row += [f"{meeting.p:.3f}" if math.isfinite(meeting.p) else ""] if found.replicates else []
        rows.append(row)
    return names, heads, rows


def as_csv(found: Compared) -> str:
    """All pairs, with texts as in cells.csv: the parameters, both metrics, the difference, common runs, p."""
    names, text = names_of(found), io.StringIO()
    mixed = {
        name: not all(isinstance(meeting.params.get(name), str) for meeting in found.meetings)
        for name in names
    }
    rows = (
        (
            *(text_of(m.params[name], mixed[name]) if name in m.params else "" for name in names),
            *(m.one, m.other, m.difference, m.runs, m.p if math.isfinite(m.p) else ""),
        )
        for m in ranked(found)
    )
    write_rows(text, [*names, "A", "B", "difference", "runs", "p"], rows)
    return text.getvalue()


def ranked(found: Compared) -> list[Meeting]:
    """All pairs, the best of either sweep first."""
    mode = found.one.spec.mode
    return sorted(found.meetings, key=lambda m: -max(merit(m.one, mode), merit(m.other, mode)))


def names_of(found: Compared) -> list[str]:
    """All that varies in either sweep."""
    return list(dict.fromkeys(name for meeting in found.meetings for name in meeting.params))


def _text(meeting: Meeting, name: str) -> str:
    return show(meeting.params[name]) if name in meeting.params else ""


def known_or_unsaid(value: object) -> str:
    """A fixed parameter's value to read."""
    return "unsaid" if value is NOWHERE else show(value)


def signed(value: float) -> str:
    """A difference to read."""
    return ("+" if value > 0 else "") + (show_metric(value) if math.isfinite(value) else "")
