"""What `gridrun init` writes: a grid.toml that runs at once, by the kind of trainer, and a trainer beside it.

{file} is the name of the grid.toml, {trainer} that of the trainer's file. run.toml ends each grid.toml.
"""

from importlib.resources import files
from pathlib import Path

from gridrun.errors import InputError

# By kind: the trainer's file, "" if what is installed is enough.
KINDS = {"function": "my_train.py", "estimator": "", "command": "my_program.py", "cnn": ""}


def write_templates(path: Path, kind: str) -> list[Path]:
    """Write a grid.toml and its trainer, neither of them over what is there; return what was written.

    Raises: InputError if there is no such kind, or a file can't be written.
    """
    if kind not in KINDS:
        raise InputError(f"no kind {kind!r} of trainer; write {', '.join(KINDS)}")
    texts = {path: _read(f"{kind}.toml") + _read("run.toml")}
    if KINDS[kind]:
        texts[path.with_name(KINDS[kind])] = _read(KINDS[kind] + ".txt")
    for file in texts:
        if file.exists():
            raise InputError(f"{file}: is there already; {_other(path, file)}")
    for file, text in texts.items():
        try:
            with file.open("x", encoding="utf-8") as out:
                out.write(text.replace("{file}", path.name).replace("{trainer}", KINDS[kind]))
        except FileExistsError:  # a broken link, or made meanwhile
            raise InputError(f"{file}: is there already; {_other(path, file)}") from None
        except OSError as error:
            raise InputError(
                f"{file}: cannot be written: {error.strerror}; name a file in a directory of yours"
            ) from None
    return list(texts)


def _other(path: Path, taken: Path) -> str:
    return "name another file" if taken == path else "name a file in another directory"


def _read(name: str) -> str:
    return files("gridrun.templates").joinpath(name).read_text(encoding="utf-8")
