"""Where a dataset's files lie in its folder, and what is said of a folder that has none that are read."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from cnn_core.config import ConfigError
from cnn_core.datasets.formats import FORMATS
from cnn_core.datasets.source import Source, plain

WITHIN = (
    *("raw", "data", "dataset", "gzip", "archive", "matlab"),
    *("cifar10batchesbin", "cifar100binary", "cifar10batchespy", "cifar100python"),
)
"""Folders that torchvision, Kaggle and archives put files in."""
DEPTH = 3
MOST_LISTED = 8

UNPACK = {
    (".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tar.xz"): "tar -xf {path} -C {folder}",
    (".zip",): "unzip {path} -d {folder}",
    (".7z",): "7z x {path} -o{folder}",
    (".rar",): "unrar x {path} {folder}",
}
"""How to unpack an archive, by its ending."""


def find_source(name: str, folder: Path, *, named: bool) -> Source | None:
    """Return the files of a dataset; None if there is nothing where they might be.

    They are looked for in `folder`; in folders beside it whose names differ in case or hyphens; in those that
    torchvision and archives make within; and, if the user named the directory, directly in it.

    Raises: ConfigError if a file is damaged, or there is something else: it is listed, and never passed over.
    """
    root = folder.parent
    places = [place for top in _tops(name, folder) for place in _within(top, name, DEPTH)]
    directly = list(_within(root, "", 2)) if named and root.is_dir() else []
    for place in [*places, *directly]:
        for kind, find in FORMATS.items():
            if kind == "images" and place in directly and plain(root.name) != plain(name):
                continue  # folders there are datasets
            source = find(place, name)
            if source is not None:
                return source
    _refuse_what_is_there(name, folder, [*_tops(name, folder), *([root] if named else [])])
    return None


def _tops(name: str, folder: Path) -> list[Path]:
    """The dataset's folder, first as it is written."""
    beside = sorted(folder.parent.iterdir()) if folder.parent.is_dir() else []
    others = [each for each in beside if plain(each.name) == plain(name) and each.is_dir() and each != folder]
    return [*([folder] if folder.is_dir() else []), *others]


def _within(folder: Path, name: str, depth: int) -> Iterator[Path]:
    yield folder
    if depth > 1:
        for child in _children(folder, (*WITHIN, plain(name))):
            yield from _within(folder / child, name, depth - 1)


def _children(folder: Path, names: tuple[str, ...]) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if plain(each.name) in names and each.is_dir())


def _refuse_what_is_there(name: str, folder: Path, places: list[Path]) -> None:
    for place in places:
        there = sorted(each.name for each in place.iterdir() if each.name[0] != ".") if place.is_dir() else []
        if place == folder.parent:  # the folder is empty, or else was told of
            there = [] if folder.is_dir() else there
        for each in there:
            for endings, command in UNPACK.items():
                if each.lower().endswith(endings):
                    said = command.format(path=shlex.quote(str(place / each)), folder=shlex.quote(str(place)))
                    raise ConfigError(f"{place / each}: is not unpacked; write {said}")
        if there:
            listed = ", ".join(there[:MOST_LISTED]) + (", ..." if len(there) > MOST_LISTED else "")
            remedy = f", or make an empty folder {folder} to have it downloaded" if name == "mnist" else ""
            raise ConfigError(
                f'dataset: "{name}" is not in {place}, which holds {listed}; put its files into {folder} '
                f"in a form that docs/data.md lists{remedy}"
            )
