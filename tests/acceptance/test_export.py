"""`gridrun export` as it is typed: nothing but its one line is said, whatever the sweep holds."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from gridrun.report.exporters import EXPORTERS
from tests.acceptance.conftest import Run

TRAIN = """
def train(**params):
    if params["a/b c"] == "../x":
        1 / 0
    return {"m:/*\\udc80": 1.0, "m:/*": 2.0}
"""
GRID = '[sweep]\nname = "odd"\ntrain = "odd:train"\nmetric = "m:/*"\n[grid]\n"m.lr" = [1]\n"a/b c" = '


@pytest.mark.slow
def test_whatever_the_sweep_holds_a_line_is_all_that_is_said(run: Run, tmp_path: Path) -> None:
    """By the two that are most talkative, one after the other."""
    (tmp_path / "odd.py").write_text(TRAIN)
    (tmp_path / "g.toml").write_text(GRID + '["../x", "\\u00fc\\n", "%s", "{}"]')
    assert run("sweep", "g.toml", "--quiet").returncode == 1
    for name in ("optuna", "mlflow"):
        if all(map(find_spec, EXPORTERS[name].needs)):
            done = run("export", "--to", name)
            assert (done.returncode, done.stderr) == (0, ""), name
            assert done.stdout.startswith(f"wrote results/odd/export/{name}/: ")
