"""`gridrun report --watch`: the page follows a sweep that runs, and is whole when it has ended."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run
from tests.acceptance.test_kills import ledger, spawn, wait_until


@pytest.mark.slow
def test_the_page_follows_a_sweep_and_is_whole_at_its_end(
    write_grid: Callable[..., str], tmp_path: Path
) -> None:
    write_grid(nap=0.4, name="grid.toml")
    sweep = spawn(tmp_path, "sweep", "--out", "out")
    wait_until(lambda: len(ledger(tmp_path)) > 0)
    report = spawn(tmp_path, "report", "out", "--watch")
    page = tmp_path / "out" / "report" / "report.html"
    wait_until(page.exists)
    text = page.read_text(encoding="utf-8")
    assert 'content="5"' in text
    assert "Written while the sweep runs" in text
    assert sweep.wait(timeout=60) == 0
    assert report.wait(timeout=60) == 0
    text = page.read_text(encoding="utf-8")
    assert "refresh-seconds" not in text.partition("<script")[0]
    assert "12 of 12 cells completed" in text
    assert (tmp_path / "out" / "report" / "best.csv").is_file()
    assert not list((tmp_path / "out").glob("report.*"))


def test_a_sweep_that_has_ended_is_reported_at_once(run: Run, write_grid: Callable[..., str]) -> None:
    run("sweep", write_grid())
    assert run("report", "--watch").returncode == 0
