"""Ray's own: tokens. All of test_backends.py runs on a cluster that asks for one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.backends import RayCluster
from tests.acceptance.conftest import Run

pytest.importorskip("ray", reason="ray is not installed")

Write = Callable[..., str]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RayCluster]:
    """One machine."""
    cluster = RayCluster(tmp_path / "cluster", 1)
    yield cluster
    cluster.close()


def test_a_wrong_token_is_told_and_nothing_runs(
    run: Run, write_grid: Write, tmp_path: Path, cluster: RayCluster
) -> None:
    """Ray itself writes a line for each of its attempts before; the last one is gridrun's."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    result = run("sweep", write_grid(), *cluster.options, **token)
    assert result.returncode == 3
    assert result.stderr.splitlines()[-1].startswith(
        f"gridrun: the Ray cluster at {cluster.address} can't be joined: "
    )
    assert not (tmp_path / "ledger").exists()
