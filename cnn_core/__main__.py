"""`python -m cnn_core` is the command `cnn_core`."""

from cnn_core.command import main

if __name__ == "__main__":
    main()
