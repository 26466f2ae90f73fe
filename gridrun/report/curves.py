"""curves.png: metrics by epoch of the best and the worst cells."""

import math
from pathlib import Path

from matplotlib.figure import Figure

from gridrun.aggregate import Aggregate
from gridrun.report.tables import show_title, show_value

# Best and worst trajectories drawn: past three each the lines hide one another.
EACH = 3
BEST, WORST = ("#1f9e89", "#31688e", "#440154"), ("#fdae61", "#f46d43", "#a50026")


def choose_curves(result: Aggregate) -> list[tuple[str, str, list[dict[str, float]]]]:
    """(label, colour, metrics by epoch) of the best and the worst trajectories by their best epoch."""
    spec = result.spec
    sign = -1 if spec.mode == "max" else 1
    ranked = []
    for index, name in enumerate(result.trajectories):
        values = [m[spec.metric] for m in result.histories.get(name, ()) if not math.isnan(m[spec.metric])]
        if values:
            ranked.append((min(sign * value for value in values), index, name))
    ranked.sort()
    chosen = [
        *zip(ranked[:EACH], BEST, strict=False),
        *zip(ranked[max(EACH, len(ranked) - EACH) :], WORST, strict=False),
    ]
    return [(_label(result, index), colour, result.histories[name]) for (_, index, name), colour in chosen]


def _label(result: Aggregate, index: int) -> str:
    params = result.spec.grid.trajectory_params(index)
    axes = (axis.name for axis in result.spec.grid.trajectory_axes)
    return ", ".join(f"{show_title(name)} {show_value(params[name])}" for name in axes)


def draw_curves(result: Aggregate, folder: Path) -> None:
    """Write curves.png: the metric that is selected on at the left, losses at the right."""
    chosen = choose_curves(result)
    metric = result.spec.metric
    others = sorted({n for *_, history in chosen for n in history[0] if "loss" in n.lower() and n != metric})[
        :2
    ]
    figure = Figure(figsize=(11, 6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for label, colour, history in chosen:
        epochs = range(1, len(history) + 1)
        left.plot(epochs, [m[metric] for m in history], color=colour, marker="o", ms=4, label=label)
        for name, style in zip(others, ("-", "--"), strict=False):
            right.plot(
                epochs, [m.get(name, math.nan) for m in history], style, color=colour, marker="o", ms=3
            )
    left.set_title(show_title(metric), parse_math=False)
    right.set_title(" and ".join(f"{n} ({s})" for n, s in zip(others, ("solid", "dashed"), strict=False)))
    for axes in (left, right):
        axes.set_xlabel("Epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    figure.suptitle(
        f"{result.spec.name}: best (cool) and worst (warm) trajectories; {result.selected_on}", fontsize=10
    )
    figure.savefig(folder / "curves.png", dpi=150)
