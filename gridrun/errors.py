"""What can go wrong around a sweep, each error with the exit code it ends the program with.

A cell that raises is no error here: it is an outcome (see store.py).
"""


class GridrunError(Exception):
    """Base of all errors that gridrun raises on purpose. Its text is one line, made for the user."""

    exit_code = 1


class InputError(GridrunError):
    """Something the user wrote cannot be used: where, what was found, what to write instead."""

    exit_code = 2


class EnvironmentFault(GridrunError):
    """The surroundings refuse: store locked, corrupt or newer, disk full or read-only, no workers."""

    exit_code = 3


class Interrupted(GridrunError):
    """A signal asked the sweep to end; everything reported done is on disk."""

    exit_code = 130
