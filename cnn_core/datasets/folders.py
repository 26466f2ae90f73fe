"""Where the files of a dataset lie."""

import os
import sys
from pathlib import Path

from cnn_core.config import ConfigError

VARIABLE = "CNN_CORE_DATA"


def find_folder(dataset: str, data_dir: str | os.PathLike[str] | None) -> Path:
    """Return the folder of `dataset`: in `data_dir`, else in $CNN_CORE_DATA, else in the user's cache.

    Raises: ConfigError if a directory that was named is not one. It is not made: a misspelt path would
    otherwise be filled with a download. Only the cache directory, which nobody types, may be absent.
    """
    for origin, named in (("data_dir", data_dir), (VARIABLE, os.environ.get(VARIABLE))):
        if not isinstance(named, str | os.PathLike | None):
            raise ConfigError(f'{origin} must be a path, found {named!r}; write a string, as in "data"')
        if named:
            try:
                root = Path(named).expanduser().absolute()
            except RuntimeError as error:
                raise ConfigError(f"{origin}: {named} names the home of an unknown user; mend it") from error
            if not root.is_dir():
                found = "a file" if root.exists() else "nothing"
                raise ConfigError(
                    f"{origin}: {root} must be a directory, found {found}; create it or mend it"
                )
            return root / dataset
    return cache_directory() / dataset


def cache_directory() -> Path:
    """Return the user's cache directory for cnn_core, whether it exists or not.

    Source: XDG Base Directory Specification (a relative XDG_CACHE_HOME is invalid and ignored); Apple,
    File System Programming Guide, "The Library Directory Stores App-Specific Files".
    """
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "cnn_core"
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "cnn_core"
