"""`make bench`: every question about speed, answered in one run, in Markdown.

`python -m benchmarks training` asks one part alone.
"""

import importlib
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

PARTS = ("training", "study", "sweeps", "estimator", "page")


def main() -> None:
    """Print machine, date and versions, then each part asked for, or all."""
    asked = sys.argv[1:] or list(PARTS)
    if unknown := set(asked) - set(PARTS):
        sys.exit(f"no part {', '.join(sorted(unknown))}; write {', '.join(PARTS)}")
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, {_processor()}, ", end="")
    print(f"Python {platform.python_version()}", end="")
    for package in ("numpy", "numba", "torch", "joblib", "optuna", "scikit-learn"):
        try:
            print(f", {package} {version(package)}", end="")
        except PackageNotFoundError:
            sys.exit(f"\n{package} is missing; `make bench` installs it")
    print("\n")
    for part in asked:
        importlib.import_module(f"benchmarks.{part}").main()


def _processor() -> str:
    """The CPU's name, where Linux tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:  # noqa: PTH123
            names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        return platform.processor()
    return f"{len(names)} x {names[0]}" if names else platform.processor()


if __name__ == "__main__":
    main()
