"""Grid search that finishes what it starts."""
