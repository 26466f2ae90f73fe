"""What README and docs show runs and is refused nowhere, and what there is, is in them.

A fence says what it is: `sh`, `python`, `toml`, or `text` for what is only to be read. The blocks of a page
run one after the other in a folder of its own. A comment above a fence tells more:

    <!-- not run: why -->      it is not run here
    <!-- file: NAME -->        it is the content of a file
    <!-- exit: 1 -->           its last command ends so
    <!-- output -->            each of its lines was said by the commands before, but for numbers and ids
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from runpy import run_path
from shutil import copytree
from typing import Any

import pytest
import typer

import gridrun
from gridrun.cli import app
from gridrun.reading import RANGE_KEYS
from gridrun.report import csv
from gridrun.spec import TABLES, Run, Spec
from gridrun.trainers import splits
from tests.acceptance.conftest import GRIDRUN

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
KINDS = ("sh", "python", "toml", "text", "{toctree}")
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
FENCE = re.compile(r"(?:<!-- ([^\n]*) -->\n)?^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

SWEEP = '[sweep]\nname = "first"\ntrain = "my_train.py:train"\nmetric = "accuracy"\nbudget = "epochs"\n'
ESTIMATOR = (
    '[sweep]\nname = "svc"\nestimator = "sklearn.svm:SVC"\nmetric = "accuracy"\n'
    '[data]\nload = "sklearn.datasets:load_digits"\n'
)
GRID = "[grid]\nlearning_rate = [0.1, 0.2]\nbatch_size = [1, 10]\nepochs = [1, 3]\n"
TRAIN = """
def train(*, learning_rate, batch_size, epochs):
    for epoch in range(epochs):
        yield {"accuracy": 1 - learning_rate / (epoch + 1) / batch_size}
"""


@dataclass(frozen=True)
class Block:
    """A fence: what it is, what the comment above it says, and where it begins."""

    kind: str
    note: str
    text: str
    line: int

    @property
    def runs(self) -> bool:
        return self.kind in ("sh", "python") and not self.note.startswith("not run: ")


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(found[2], found[1] or "", found[3], text.count("\n", 0, found.start()) + 1)
        for found in FENCE.finditer(text)
    ]


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a grid.toml, its trainer and two sweeps: what most pages begin with."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "my_train.py").write_text(TRAIN)
    (folder / "grid.toml").write_text(SWEEP + GRID)
    for name in ("first", "second"):
        words = [GRIDRUN, "sweep", "--quiet", "--backend", "sequential", "--out", f"results/{name}"]
        subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_block_says_what_it_is(page: Path) -> None:
    assert page.read_text().count("\n```") == 2 * len(blocks(page))
    bare = FENCE.sub("", page.read_text())
    assert not re.search(r"^\n {4}[^ ].*\n", bare, re.MULTILINE), "write a fence instead of an indented block"
    for block in blocks(page):
        assert block.kind in KINDS, (page, block.line)
        known = r"(not run: .+|file: [\w./]+|exit: \d+|output)?"
        assert re.fullmatch(known, block.note), (page, block.line)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.runs for block in blocks(page))], ids=lambda page: page.name
)
def test_the_blocks_of_a_page_run(page: Path, swept: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    if page.name in ("README.md", "tutorial.md"):  # these begin with nothing
        folder.mkdir()
    else:
        copytree(swept, folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = ""
    for block in blocks(page):
        where = f"{page.name}:{block.line}"
        if block.note.startswith("file: "):
            (folder / block.note.removeprefix("file: ")).write_text(block.text)
        elif block.note == "output":
            lines = {masked(line) for line in said.splitlines()}
            for line in filter(str.strip, block.text.splitlines()):
                assert masked(line) in lines or line.strip() == "...", (where, line, said)
        elif block.runs:
            shell = ["bash", "-euc", block.text]
            script = block.text + "\nassert 'results' not in vars() or results.complete"
            words = shell if block.kind == "sh" else [sys.executable, "-c", script]
            done = subprocess.run(
                words,
                cwd=folder,
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
                timeout=120,
            )
            said += done.stdout + done.stderr
            code = int(block.note.removeprefix("exit: ")) if block.note.startswith("exit: ") else 0
            assert done.returncode == code, (where, done.stdout, done.stderr)


def masked(line: str) -> str:
    """A line without what is another each time: ids, numbers, spans of time, blanks, sets."""
    line = re.sub(r"\b[0-9a-f]{16}\b", "ID", line)
    line = re.sub(r"\{'.*?'\}", "{}", line)  # a set, in the order of this process
    number = r"\d+(?:[.,]\d+)*(?:e-?\d+)?"
    line = re.sub(rf"{number}(?: to {number})?(?: (?:s|min)\b)?", "N", line)
    return " ".join(line.split())


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_grid_that_is_shown_is_accepted(page: Path) -> None:
    for block in blocks(page):
        if block.kind != "toml" or block.note.startswith("not run: "):
            continue
        text = block.text
        if "[sweep]" not in text:
            text = text + "\n" + (ESTIMATOR if "[cv]" in text else SWEEP)
        elif "metric" not in text:
            text = text.replace("[sweep]\n", SWEEP)
        if "epochs" not in text.replace(SWEEP, "") and "[grid]" in text:
            text = text.replace('budget = "epochs"\n', "")
        if "[grid]" not in text and "[[grid]]" not in text:
            text += "[grid]\nC = [1]\n" if ESTIMATOR in text else GRID
        try:
            Spec.parse(text, page.name, strict=True)
        except gridrun.GridrunError as error:
            pytest.fail(f"{page.name}:{block.line}: {error}")


def commands_shown() -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for block in blocks(page):
            if block.kind == "sh":
                for line in block.text.replace("\\\n", " ").splitlines():
                    words = shlex.split(line, comments=True)
                    if words[:1] == ["gridrun"]:
                        yield f"{page.name}: {line}", words[1:]


def test_every_command_that_is_shown_can_be_typed() -> None:
    group: Any = typer.main.get_command(app)
    shown = list(commands_shown())
    assert len(shown) > 10
    for where, (name, *words) in shown:
        assert name in group.commands, where
        group.commands[name].make_context(name, words)


def everything() -> str:
    return "\n".join(page.read_text() for page in PAGES)


def test_every_command_and_option_is_documented() -> None:
    group: Any = typer.main.get_command(app)
    text = everything()
    for name, command in group.commands.items():
        assert f"`gridrun {name}" in text, name
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help":
                    assert re.search(rf"`{option}\b", text), (name, option)


def test_every_key_of_grid_toml_is_documented() -> None:
    text = (ROOT / "docs/reference-grid.md").read_text()
    keys = {key for table in TABLES.values() if table is not None for key in table}
    keys |= {field.name for field in fields(Run)} | set(RANGE_KEYS) | set(splits.KEYS)
    for key in sorted(keys):
        assert f"`{key}`" in text, key
    for table in TABLES:
        assert f"[{table}" in text, table


def test_every_file_and_column_of_the_report_is_documented() -> None:
    text = (ROOT / "docs/reference-output.md").read_text()
    assert (csv.__doc__ or "").split("\n\n", 1)[1].strip() in text
    for name in chain(gridrun.report.OURS, ("export", "running", "sweep.db", "sweep.lock", "sweep.now")):
        assert name in text, name


def test_everything_that_python_offers_is_documented() -> None:
    text = everything()
    for name in gridrun.__all__:
        assert f"gridrun.{name}" in text, name
    for name in vars(gridrun.Results):
        if not name.startswith("_"):
            assert re.search(rf"`?results?\.{name}\b|`{name}`", text), name


def test_the_pages_that_are_made_from_the_code_are_as_it_is_now() -> None:
    made = run_path(str(ROOT / "docs/make_reference.py"))["PAGES"]
    for page, make in made.items():
        assert (ROOT / "docs" / page).read_text() == "\n".join(make()) + "\n", f"{page}: run `make reference`"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", FENCE.sub("", page.read_text())):
        assert target.startswith("http") or (page.parent / target).exists(), target
