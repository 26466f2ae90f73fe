"""`cnn_core train name=value ...`: one training from the shell, a line an epoch."""

import difflib
import inspect
import os
import sys
import time
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cnn_core.config import ConfigError, table
from cnn_core.train import begin, train

USAGE = "usage: cnn_core train [name=value ...] [save=weights.npz]"
NO_VALUES = ("images", "resume_from")
"""Parameters of `train` that cannot be written in a shell, or mean nothing there."""


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line. Exit codes: 0 done, 2 bad input, 3 the environment, 130 interrupted."""
    words = sys.argv[1:] if words is None else words
    try:
        code = _run(words)
    except ConfigError as error:
        code = _tell(str(error), 2)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        code = _tell(f"{error.filename or 'output'}: {error.strerror or error}", 3)
    except KeyboardInterrupt:
        code = _tell("interrupted; with output_dir=... the same command goes on from there", 130)
    sys.exit(code)


def _run(words: Sequence[str]) -> int:
    if not words or any(word in ("-h", "--help") for word in words):
        print(_help())
        return 0
    if words[0] != "train":
        raise ConfigError(f"the command is train, found {words[0]!r}; write cnn_core train ...")
    params = _read(words[1:])
    save = params.pop("save", None)
    if save is not None and (not isinstance(save, str) or not Path(save).absolute().parent.is_dir()):
        raise ConfigError(f"save must be a file in a directory that exists, found {save!r}")
    output_dir = params.pop("output_dir", None)
    if output_dir is not None and not isinstance(output_dir, str):
        raise ConfigError(f"output_dir must be a directory's name, found {output_dir!r}")
    training, keeper = begin(params, output_dir)
    began, history = time.monotonic(), []
    for epoch, metrics in enumerate(training.run(keeper), start=1):
        history.append(metrics)
        figures = ", ".join(f"{k} {v:.6g}" for k, v in metrics.items() if isinstance(v, float))
        print(f"epoch {epoch} of {training.config.epochs}: {figures}", flush=True)
        left = (time.monotonic() - began) / epoch * (training.config.epochs - epoch)
        if left >= 1:
            _note(f"about {left:.0f} s left")
    if save is not None:
        training.model(tuple(history)).save(save)
        _note(f"saved {save}")
    return 0


def _read(words: Sequence[str]) -> dict[str, Any]:
    """The parameters. Raises: ConfigError naming the word, and the nearest name there is."""
    names = [*(name for name in inspect.signature(train).parameters if name not in NO_VALUES), "save"]
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"a parameter is name=value, found {word!r}; write learning_rate=0.05")
        if name not in names:
            near = [*difflib.get_close_matches(name, names, n=1), "one of cnn_core --help"]
            raise ConfigError(f"no parameter {name!r}; write {near[0]}")
        if name in found:
            raise ConfigError(f"{name} is there twice; remove one")
        found[name] = _value(text)
    return found


def _value(text: str) -> Any:
    """As grid.toml spells it; what is none of that is a string."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text


def _help() -> str:
    more = "  output_dir=none       directory where training is kept, once a second, and goes on from"
    return f"{USAGE}\n\nParameters and their defaults (none: left out):\n{table()}\n{more}"


def _note(text: str) -> None:
    """Progress: to stderr, and to a terminal alone."""
    with suppress(OSError, ValueError, AttributeError):
        if sys.stderr.isatty():
            print(text, file=sys.stderr, flush=True)


def _tell(text: str, code: int) -> int:
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    with suppress(OSError, ValueError, AttributeError):  # stderr may be gone
        print(f"cnn_core: {line}", file=sys.stderr, flush=True)
    return code
