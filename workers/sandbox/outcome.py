"""`Limits` and `Outcome`: what a command may use, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one command may use."""

    cpu_seconds: int = 5
    wall_seconds: float = 10.0
    memory_bytes: int = 512 * MIB
    """Address space."""
    file_bytes: int = 8 * MIB
    """Size of any file it writes."""
    open_files: int = 64
    output_bytes: int = 64 * KIB
    """Kept of each of standard output and standard error."""


class Ending(StrEnum):
    """How a command ended."""

    EXITED = "exited"
    """By itself, with its exit code."""
    KILLED = "killed"
    """By a signal that was not one of the limits below."""
    OUT_OF_CPU = "cpu limit"
    OUT_OF_TIME = "time limit"
    FILE_TOO_LARGE = "file limit"
    OUT_OF_OUTPUT = "output limit"
    """It wrote more than is kept; its pipe was closed."""
    NOT_STARTED = "not started"
    """The reason stands in `stderr`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a command."""

    ending: Ending
    exit_code: int | None
    """None unless it exited by itself."""
    signal: int | None
    """What ended it, if a signal did."""
    stdout: str
    """As UTF-8, what is none of it replaced."""
    stderr: str
    is_truncated: bool
    """Whether it wrote more than is kept here."""
    cpu_seconds: float
    wall_seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself and said that all was well."""
        return self.ending is Ending.EXITED and self.exit_code == 0


def outcome_from(fields: Mapping[str, Any]) -> Outcome:
    """Return the outcome in a frame of the launcher."""
    values: dict[str, Any] = {**fields, "ending": Ending(fields["ending"])}
    return Outcome(**values)
