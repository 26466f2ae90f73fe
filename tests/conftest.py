"""Property tests, but no timing: a busy machine fails nobody. Signals are as in a terminal."""

import os
import signal

from hypothesis import HealthCheck, settings

# The same examples each time: `make test` tells whether a change broke something, `make soak` looks for more.
settings.register_profile(
    "calm",
    deadline=None,
    derandomize="GRIDRUN_SOAK" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("calm")

# A job in the background of a shell ignores SIGINT, one under nohup SIGHUP. Sweeps of the tests would inherit
# it, and gridrun leaves alone what is ignored.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
