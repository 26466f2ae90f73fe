"""The command itself, and `python -m gridrun`: quiet from the first instant on."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C within the 0.1 s that the imports take would end in their traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import sys
from contextlib import suppress

from gridrun.errors import EnvironmentFault
from gridrun.packages import explain
from gridrun.terminal import visible


def main() -> None:
    """Run the command line. A package that it can't import, at its start or later, is told in one line."""
    try:
        from gridrun.cli import main as run

        run()
    except Exception as error:
        lacking = explain(error)
        if lacking is None:
            raise
        with suppress(OSError, ValueError, AttributeError):  # stderr may be gone
            print(f"gridrun: {visible(lacking)}", file=sys.stderr, flush=True)
        sys.exit(EnvironmentFault.exit_code)


if __name__ == "__main__":
    main()
