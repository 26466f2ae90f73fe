"""What is known of each backend without loading it: the names that may be written, and what each needs.

A backend is a line here and a file of `gridrun/dispatch/`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Backend:
    """Facts about one backend.

    `workers` is the import string of what opens its workers. `package` is what it needs that does not
    come with gridrun; the extra of that name installs it. `address` is a regular expression for the
    scheduler's address, None where there is no scheduler, and `example` an address to write.
    `ends_cells` is whether a cell can be ended at its time limit, `deals_gpus` whether each of its workers
    is a process of this machine that a GPU can be given to.
    """

    workers: str
    package: str | None = None
    address: str | None = None
    example: str = ""
    ends_cells: bool = True
    deals_gpus: bool = False


_HOST = r"([^\s/:]+|\[[^\s/]+\]):\d{1,5}"

BACKENDS = {
    "loky": Backend("gridrun.dispatch.local:LokyWorkers", deals_gpus=True),
    "sequential": Backend("gridrun.dispatch.local:SequentialWorkers", ends_cells=False),
    "dask": Backend(
        "gridrun.dispatch._dask:DaskWorkers", "distributed", rf"((tcp|tls)://)?{_HOST}", "tcp://host:8786"
    ),
    "ray": Backend("gridrun.dispatch._ray:RayWorkers", "ray", _HOST, "host:6379"),
}
