"""The backends as the tests know them: how each is started and closed, and what can befall it.

Whoever adds a backend adds a line to BACKENDS, and test_backends.py holds it to every promise.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from gridrun import backends as facts
from gridrun.signals import SIGNALS
from tests.acceptance.test_kills import ledger, wait_until

Group = subprocess.Popen[bytes]


class Cluster(ABC):
    """A scheduler and machines, each a process group of its own, far from grid.toml's directory.

    `slots` are those of the machines that are there from the start; `path` is their PYTHONPATH.
    """

    name: ClassVar[str]  # as --backend takes it
    scheduler_name: ClassVar[str]  # in messages
    start_command: ClassVar[str]
    path_comes_first: ClassVar[bool] = True  # that of a machine's, before the sweep's own
    environment: ClassVar[dict[str, str]] = {}  # of gridrun too
    scheduler: Group
    address: str

    def __init__(self, folder: Path, *slots: int, path: str = "") -> None:
        self.folder = folder
        self.groups: list[Group] = []
        self.folder.mkdir(exist_ok=True)
        try:
            self.start(slots, path)
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def start(self, slots: tuple[int, ...], path: str) -> None:
        """Start the scheduler and these machines, and wait for them."""

    @abstractmethod
    def add_machine(self, slots: int = 1, path: str = "") -> Group:
        """Start one more machine, and wait until it has joined."""

    @property
    def options(self) -> list[str]:
        """For the command line: all that this cluster has."""
        return ["--backend", self.name, "--scheduler", self.address, "--jobs", "-1"]

    def close(self) -> None:
        """End everything."""
        for group in reversed(self.groups):
            end(group)

    def spawn(self, *command: str, path: str) -> Group:
        """Start a process group; its output goes to a log."""
        environment = {**os.environ, **self.environment, "PYTHONPATH": path}
        with self.log(len(self.groups)).open("wb") as log:
            self.groups.append(
                subprocess.Popen(
                    command, cwd=self.folder, env=environment, start_new_session=True, stdout=log, stderr=log
                )
            )
        return self.groups[-1]

    def log(self, number: int) -> Path:
        """What the group of this number, in the order of their starts, has written."""
        return self.folder / f"log-{number}"


class DaskCluster(Cluster):
    """A `dask scheduler`, and a `dask worker` with a nanny for each machine."""

    name = "dask"
    scheduler_name = "Dask scheduler"
    start_command = "dask scheduler"

    def start(self, slots: tuple[int, ...], path: str) -> None:
        self.scheduler = self._spawn("scheduler", "--host", "127.0.0.1", "--port", "0")
        file = self.folder / "scheduler.json"
        wait_until(lambda: file.exists() and file.stat().st_size > 0)
        self.address = json.loads(file.read_text())["address"]
        for count in slots:
            self._add(count, path)
        wait_until(lambda: self._joined() == len(slots))

    def add_machine(self, slots: int = 1, path: str = "") -> Group:
        before = self._joined()
        machine = self._add(slots, path)
        wait_until(lambda: self._joined() > before)
        return machine

    def _add(self, slots: int, path: str) -> Group:
        words = ("--nthreads", str(slots), "--local-directory", str(self.folder))
        return self._spawn("worker", *words, path=path)

    def _joined(self) -> int:
        return self.log(0).read_text().count("Register worker")

    def _spawn(self, *words: str, path: str = "") -> Group:
        where = ("--scheduler-file", str(self.folder / "scheduler.json"), "--no-dashboard")
        return self.spawn(program("dask"), *words, *where, path=path)


class RayCluster(Cluster):
    """A `ray start` for each machine; the first is the scheduler too. Who knows the token is let in."""

    name = "ray"
    scheduler_name = "Ray cluster"
    start_command = "ray start --head"
    path_comes_first = False
    environment: ClassVar[dict[str, str]] = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }

    def start(self, slots: tuple[int, ...], path: str) -> None:
        first, *others = slots
        self.scheduler = self._spawn(first, "--head", "--port=0", "--include-dashboard=false", path=path)
        self.address = self.log(0).read_text().partition("--address='")[2].partition("'")[0]
        for count in others:
            self.add_machine(count, path)

    def add_machine(self, slots: int = 1, path: str = "") -> Group:
        return self._spawn(slots, f"--address={self.address}", path=path)

    def _spawn(self, slots: int, *words: str, path: str) -> Group:
        log = self.log(len(self.groups))
        machine = self.spawn(program("ray"), "start", "--block", f"--num-cpus={slots}", *words, path=path)
        wait_until(lambda: "will now block" in log.read_text())
        return machine


@dataclass(frozen=True)
class Backend:
    """One line of the table.

    `cluster` is started for it, with machines of so many `slots`; without one it runs where the sweep does.
    Trajectories that take `alone_s` are long for it: each travels in a batch of its own. It is tried with
    so many `jobs` as well, and with each of these `signals`.
    """

    name: str
    cluster: type[Cluster] | None = None
    slots: tuple[int, ...] = (2,)
    alone_s: float = 0.03
    jobs: tuple[int, ...] = ()
    signals: tuple[int, ...] = SIGNALS

    def __str__(self) -> str:
        own = self.cluster is None and self.facts.address is not None
        return f"{self.name}-of-its-own" if own else self.name

    @property
    def facts(self) -> facts.Backend:
        """What gridrun itself knows of it."""
        return facts.BACKENDS[self.name]

    @property
    def installed(self) -> bool:
        return self.facts.package is None or find_spec(self.facts.package) is not None


INTERRUPT = (signal.SIGINT,)
BACKENDS = (
    Backend("loky", jobs=(1, 4)),
    Backend("sequential", slots=(1,)),
    Backend("dask", DaskCluster, slots=(1, 1), alone_s=0.3, signals=INTERRUPT),
    # Ray takes SIGTERM for itself.
    Backend("ray", RayCluster, alone_s=0.1, signals=(*INTERRUPT, signal.SIGTERM)),
)
ENDING_CELLS = tuple(backend for backend in BACKENDS if backend.facts.ends_cells)
CLUSTERS = tuple(backend for backend in BACKENDS if backend.cluster is not None)
# Without --scheduler a cluster is made within the sweep's own process.
OWN_CLUSTERS = tuple(Backend(backend.name) for backend in CLUSTERS)


@dataclass
class Place:
    """A backend that is up: what to write after `gridrun sweep`, and the cluster behind it, if any."""

    backend: Backend
    cluster: Cluster | None = None
    options: list[str] = field(default_factory=list)

    @property
    def slots(self) -> int:
        return sum(self.backend.slots)

    def start_cluster(self, folder: Path, *slots: int, path: str = "") -> Cluster:
        """Another cluster of this kind."""
        assert self.backend.cluster is not None
        return self.backend.cluster(folder, *slots, path=path)


@contextlib.contextmanager
def start(backend: Backend, folder: Path) -> Iterator[Place]:
    """Have a backend up while the block runs."""
    if backend.cluster is None:
        yield Place(backend, options=["--backend", backend.name])
        return
    with pytest.MonkeyPatch.context() as environment:
        for name, value in backend.cluster.environment.items():
            environment.setenv(name, value)
        cluster = backend.cluster(folder, *backend.slots)
        try:
            yield Place(backend, cluster, cluster.options)
        finally:
            cluster.close()


def program(name: str) -> str:
    """A program that was installed beside this Python."""
    return str(Path(sys.executable).with_name(name))


def end(group: "subprocess.Popen[bytes]") -> None:
    """SIGKILL to all of a process group, as when a machine is lost."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group.pid, signal.SIGKILL)
    group.wait()


# Cells tell where they run: the last word of a line of the ledger is the process that wrote it.


def running(folder: Path) -> set[int]:
    """The processes that are at a cell."""
    latest = {int(line[-1]): line[0] for line in ledger(folder)}
    return {process for process, word in latest.items() if word == "start" and _alive(process)}


def running_on(machine: Group, folder: Path) -> set[int]:
    """Those of them that are this machine's."""
    return running(folder) & {child.pid for child in psutil.Process(machine.pid).children(recursive=True)}


def _alive(process: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    return False


def left(folder: Path) -> list[str]:
    """What is alive of the processes that have run cells, and of what those have started."""
    workers = {int(line[-1]) for line in ledger(folder)}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if {process.pid, os.getpgid(process.pid)} & workers and _alive(process.pid):
                found.append(str(process))
    return found
