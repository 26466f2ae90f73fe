"""The command itself, and `python -m gridrun`: quiet from the first instant on."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl-C within the 0.1 s that the imports take would end in their traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from gridrun.cli import main

if __name__ == "__main__":
    main()
