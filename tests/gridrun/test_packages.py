"""Packages that are missing or broken: one line with what to install, whatever asked for them."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gridrun.packages import explain

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STUDY = (ROOT / "grid.toml").read_text(encoding="utf-8")
GRID = '[sweep]\nname = "t"\ntrain = "t:train"\nmetric = "score"\n[grid]\na = [1, 2]\n[run]\njobs = 1\n'
NEEDED = {
    "report": ("numpy", "scipy", "pandas", "matplotlib", "plotly", "jinja2", "rich", "typer"),
    "sweep g.toml": ("joblib", "threadpoolctl", "rich", "typer"),
    "status": ("typer",),
}


REWORDED = """
try:
    import dateless
except ImportError as error:
    raise ImportError("pandas lacks dateless") from error
"""
# Runs the program as if some packages were not installed.
PROGRAM = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, *rest):
        return None if name in {missing!r} else super().find_spec(name, *rest)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
sys.argv = {words!r}
from gridrun.__main__ import main
main()
"""


def call(where: Path, *words: str, missing: str = "", path: str = "") -> "subprocess.CompletedProcess[str]":
    """Run the program in a directory; modules in `path` go before installed ones."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(missing=missing.split(), words=["gridrun", *words])],
        cwd=where,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([path, str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a finished sweep, made where nothing is installed that cnn_core alone needs."""
    directory = tmp_path_factory.mktemp("finished")
    (directory / "t.py").write_text("def train(a):\n    return {'score': a}\n")
    (directory / "g.toml").write_text(GRID)
    assert call(directory, "sweep", "g.toml", missing="numba llvmlite sklearn scipy").returncode == 0
    return directory


@pytest.mark.parametrize(
    ("words", "package"), [(words, package) for words in NEEDED for package in NEEDED[words]]
)
def test_a_missing_package_is_one_line_with_what_to_install(finished: Path, words: str, package: str) -> None:
    result = call(finished, *words.split(), missing=package)
    asked = f"gridrun {words.split()[0]}"
    expected = f"gridrun: {asked} needs {package}, which is not installed; pip install {package}\n"
    assert (result.returncode, result.stdout, result.stderr) == (3, "", expected)


@pytest.mark.parametrize(
    ("file", "text", "error"),
    [
        ("pandas/__init__.py", "raise ValueError('dtype size\\nchanged')", "ValueError: dtype size changed"),
        ("pandas/__init__.py", "import dateless", "ModuleNotFoundError: No module named 'dateless'"),
        ("pandas/__init__.py", REWORDED, "ImportError: pandas lacks dateless"),
        ("plotly/__init__.py", "", "ModuleNotFoundError: No module named 'plotly.offline'"),
        ("rich/console.py", "", "ImportError: cannot import name 'Console' from 'rich.console'"),
    ],
)
def test_a_broken_package_is_one_line_that_names_it_and_its_error(
    finished: Path, tmp_path: Path, file: str, text: str, error: str
) -> None:
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).with_name("__init__.py").touch()
    (tmp_path / file).write_text(text)
    package = file.partition("/")[0]
    result = call(finished, "report", path=str(tmp_path))
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (3, "", 1)
    assert f"gridrun report needs {package}, and importing it raised {error}" in result.stderr
    assert result.stderr.endswith(f"; pip install --upgrade --force-reinstall {package}\n")


def test_a_part_that_python_was_built_without_is_told_as_such(finished: Path) -> None:
    result = call(finished, "status", missing="_sqlite3")
    assert result.returncode == 3
    assert "needs sqlite3, which this Python was built without; use another" in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_comes_from_no_import_is_left_alone() -> None:
    with pytest.raises(ValueError, match="invalid literal") as raised:
        int("no number")
    assert explain(raised.value) is None


def test_without_its_extra_cnn_core_is_one_line_with_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(STUDY)
    result = call(tmp_path, "sweep", "g.toml", missing="numba")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "cnn_core needs numba, which is not installed; pip install 'gridrun[cnn]'\n" in result.stderr
    result = call(tmp_path, "sweep", "g.toml", missing="sklearn")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "scikit-learn, which is not installed; pip install 'gridrun[cnn]'" in result.stderr


def test_results_are_reported_without_what_cnn_core_alone_needs(finished: Path) -> None:
    assert call(finished, "report", missing="numba llvmlite sklearn").returncode == 0


def test_no_module_of_gridrun_loads_what_cnn_core_alone_needs() -> None:
    script = (
        "import contextlib, importlib, pkgutil, sys, gridrun\n"
        "for module in pkgutil.walk_packages(gridrun.__path__, 'gridrun.'):\n"
        "    if module.name != 'gridrun.__main__':\n"
        "        with contextlib.suppress(ModuleNotFoundError):  # dask or ray is not installed\n"
        "            importlib.import_module(module.name)\n"
        "print('gridrun.report.page' in sys.modules, {'numba', 'llvmlite', 'sklearn'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "True set()\n"


def test_the_lowest_versions_tested_are_the_bounds_and_there_are_no_upper_ones() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["cnn"]]
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line.rpartition(".")[0] for line in lines if not line.startswith("#")]
    assert sorted(pinned) == sorted(bound.replace(">=", "==") for bound in needed)
