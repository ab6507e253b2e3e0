"""What a server says about itself when asked."""

from __future__ import annotations

from enum import Enum


class Readiness(Enum):
    """How far a server is, as seen on its socket."""

    ABSENT = "absent"
    """Nobody listens."""
    STARTING = "starting"
    """Somebody listens and cannot serve yet: loading, recovering, shutting down, or stuck."""
    UNFINISHED = "unfinished"
    """It serves, but a last step of setting it up is missing."""
    READY = "ready"
    """It serves."""
