"""One worker process: what loky and the trackers of semaphores say or leave undone."""

import os
import subprocess
import sys

from gridrun.dispatch import process


def test_what_was_taken_back_before_a_worker_had_it_is_skipped() -> None:
    """As when a worker is ended just after it was given something to do: the thread of loky's died of it."""
    executor = process.ProcessPoolExecutor(max_workers=1)
    try:
        assert executor.submit(os.getpid).result() != os.getpid()
        executor._work_ids.put(-1)
        assert executor.submit(len, "ab").result(timeout=10) == 2
    finally:
        executor.shutdown(kill_workers=True)


KILLED = """
import os, signal
from gridrun.dispatch import process
python = process.multiprocessing.resource_tracker
for module, kind in ((process.resource_tracker, "semlock"), (python, "semaphore")):
    process.start_trackers()
    tracker = module._resource_tracker
    tracker.register("/gridrun-none", kind)
    os.kill(tracker._pid, signal.SIGKILL)
    os.waitid(os.P_PID, tracker._pid, os.WEXITED | os.WNOWAIT)
    tracker.unregister("/gridrun-none", kind)  # the next one does not know it
    os.close(tracker._fd)
    os.waitpid(tracker._pid, 0)
    tracker._fd = tracker._pid = None
"""


def test_nothing_is_said_of_a_tracker_that_was_killed_or_by_the_next_one() -> None:
    told = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stderr) == (0, "")
