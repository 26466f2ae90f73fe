"""Every hyperparameter of one training run, validated."""


class ConfigError(ValueError):
    """A configuration that cannot run: names the argument, what was found and what to write instead."""
