"""Writes the reference pages that are made from the code: `make reference`. A test holds them to it."""

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import gridrun
from cnn_core.config import Config, meaning, spelt
from gridrun.cli import EXIT_CODES, app
from gridrun.report import csv

HERE = Path(__file__).parent
MADE = "<!-- Made by docs/make_reference.py from the code: edit that, then `make reference`. -->"


def commands() -> Iterator[str]:
    """Every command with its arguments and options, as `--help` has them."""
    yield from (MADE, "", "# Commands", "", EXIT_CODES, "")
    yield "Results go to stdout, progress and messages to stderr. `gridrun --install-completion` teaches your"
    yield "shell commands, sweeps and cells; `--show-completion` prints what it would install; `--version`"
    yield "tells the version."
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        words, *rest = (command.help or "").split("\n\n")
        yield from ("", f"## `gridrun {name}`", "", words)
        for part in rest:
            if part.startswith("\b"):
                yield from ("", "<!-- not run: the help's examples, parsed by a test -->", "```sh")
                yield from (*(line.strip() for line in part.splitlines()[1:]), "```")
            else:
                yield from ("", " ".join(part.split()))
        yield from ("", "| | |", "|---|---|")
        for parameter in command.params:
            if "--help" not in parameter.opts:
                yield f"| `{_spelled(parameter)}` | {parameter.help} |"


def _spelled(parameter: Any) -> str:
    metavar = parameter.metavar or parameter.name.upper()
    if not parameter.opts[0].startswith("-"):
        return str(metavar)
    return str(parameter.opts[0]) if parameter.is_flag else f"{parameter.opts[0]} {metavar}"


def output() -> Iterator[str]:
    """What a sweep directory holds, and every column of the CSVs."""
    yield from (
        MADE,
        "",
        "# Files and columns",
        "",
        "A sweep directory, `results/NAME/`:",
        "",
        "| | |",
        "|---|---|",
    )
    for name, words in (
        ("sweep.db", "the store, SQLite: every outcome, metric, traceback and what was printed"),
        ("sweep.lock", "who sweeps here, and the command line"),
        ("sweep.now", "what a running sweep is doing, for `gridrun status`; gone with it"),
        ("cells/", "a folder for each trajectory that left files"),
        ("running/", "what running trajectories have printed so far"),
        ("report/", "what `gridrun report` writes"),
        ("export/", "what `gridrun export` writes, a folder for each format"),
    ):
        yield f"| `{name}` | {words} |"
    yield from ("", "`report/` holds " + ", ".join(f"`{name}`" for name in gridrun.report.OURS) + ".", "")
    first, rest = (csv.__doc__ or "").split("\n\n", 1)
    yield from (first, "", "```text", rest.strip(), "```")


def python() -> Iterator[str]:
    """Everything that `import gridrun` offers, with its docstring."""
    yield from (MADE, "", "# From Python", "", "How to use it: [python.md](python.md).")
    for name in gridrun.__all__:
        found = getattr(gridrun, name)
        yield from ("", f"## `gridrun.{name}`", "", "```text")
        if inspect.isfunction(found):
            yield from _signature(f"gridrun.{name}", found)
        yield from (inspect.getdoc(found) or "", "```")
        for key, member in vars(found).items() if name == "Results" else ():
            said = getattr(member, "fget", None) or getattr(member, "func", None) or member
            if not key.startswith("_") and (callable(said) or inspect.getdoc(said)) and said.__doc__:
                yield from ("", f"### `results.{key}`", "", "```text", inspect.getdoc(said) or "", "```")


def _signature(name: str, function: Any) -> Iterator[str]:
    yield f"{name}("
    star = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            star = True
            yield "    *,"
        yield f"    {parameter.name}" + (
            "," if parameter.default is parameter.empty else f" = {parameter.default!r},"
        )
    yield ")"
    yield ""


def hyperparameters() -> Iterator[str]:
    """Every hyperparameter of cnn_core: default, what it means, what it may be."""
    yield from (MADE, "", "# Hyperparameters of cnn_core", "")
    yield "Parameters of `cnn_core.train` and `fit`, and of `cnn_core train` in a shell; of `CNNClassifier`"
    yield "too, but for those that say which images of a dataset are used. How they act together:"
    yield "[layers.md](layers.md); the images: [data.md](data.md)."
    yield from ("", "| parameter | default | |", "|---|---|---|")
    for field in dataclasses.fields(Config):
        yield f"| `{field.name}` | `{spelt(field.default)}` | {meaning(field.name)} |"


PAGES = {
    "reference-commands.md": commands,
    "reference-hyperparameters.md": hyperparameters,
    "reference-output.md": output,
    "reference-python.md": python,
}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (HERE / page).write_text("\n".join(make()) + "\n", encoding="utf-8")
