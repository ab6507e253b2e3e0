"""When a process that died is started again, and when it is given up. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One run of a process, from start to end."""

    exit_code: int | None
    """As `subprocess` gives it: negative for the signal that killed it; None when unknown."""
    was_ready: bool
    lasted: timedelta

    @property
    def end(self) -> str:
        """Say how it ended."""
        if self.exit_code is None:
            return "ended"
        if self.exit_code >= 0:
            return f"ended with exit code {self.exit_code}"
        try:
            name = signal.Signals(-self.exit_code).name
        except ValueError:
            name = f"signal {-self.exit_code}"
        return f"was killed by {name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is remembered of a process's earlier lives."""

    deaths: int = 0
    """In a row, each after a short life."""
    was_ever_ready: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """How patient a supervisor is with one process."""

    first_delay: timedelta = timedelta(milliseconds=500)
    longest_delay: timedelta = timedelta(seconds=30)
    tries: int = 8
    """Deaths in a row, each after a short life, that are too many."""
    good_life: timedelta = timedelta(seconds=30)
    """A life of this length clears the record."""
    beginning: timedelta = timedelta(minutes=10)
    """How long a rolling restart waits for a new process to get ready."""

    def entered(self, record: Record, life: Life) -> Record:
        """Return the record with one more life in it."""
        return Record(
            deaths=1 if life.lasted >= self.good_life else record.deaths + 1,
            was_ever_ready=record.was_ever_ready or life.was_ready,
        )

    def delay_after(self, life: Life, record: Record) -> timedelta | None:
        """Return how long to wait before the next life, None to give up.

        `record` has `life` in it. What ended by itself and was never ready is given up at once: the
        reason is most likely in its code or configuration, and its last words say it.
        """
        if (life.exit_code or 0) > 0 and not record.was_ever_ready:
            return None
        if record.deaths >= self.tries:
            return None
        return min(self.first_delay * (1 << (record.deaths - 1)), self.longest_delay)
