"""What the core says to who starts it; what it says to clients is a `Problem` (`server.problems`)."""

from __future__ import annotations


class CoreError(Exception):
    """The core can't do what it was started for: one line, exit 3."""

    exit_code = 3


class ConfigError(CoreError):
    """A setting or an argument that somebody has to correct: one line, exit 2."""

    exit_code = 2
