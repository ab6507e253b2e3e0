"""`RuntimeSettings`: how a worker runs what it has claimed."""

from __future__ import annotations

from datetime import timedelta

from pydantic import ValidationInfo, field_validator

from octoqueue.settings.quantities import (
    Count,
    Duration,
    PositiveCount,
    PositiveDuration,
    format_duration,
)
from octoqueue.settings.section import Section


class RuntimeSettings(Section):
    """One worker process, and what holds for an actor that does not say otherwise."""

    concurrency: PositiveCount = 100
    """Messages that one process runs at the same time, at most. A fleet has its own."""

    threads: PositiveCount | None = None
    """Threads for actors that are plain functions. Without a number, one for each slot, so that
    nothing that is claimed waits for a thread."""

    drain: Duration = timedelta(seconds=25)
    """How long a stopping worker lets running messages finish before it hands them back; below
    the 30 s that Kubernetes waits by default."""

    time_limit: PositiveDuration = timedelta(minutes=5)
    """How long one attempt may run before it is cancelled."""

    max_retries: Count = 5
    """How often a failed message is tried again before it goes to the dead letters."""

    min_backoff: PositiveDuration = timedelta(seconds=1)
    """The wait before the first retry; it doubles with each further one, with jitter."""

    max_backoff: PositiveDuration = timedelta(minutes=5)
    """The longest wait before a retry."""

    @field_validator("max_backoff")
    @classmethod
    def _holds_the_minimum(cls, max_backoff: timedelta, info: ValidationInfo) -> timedelta:
        min_backoff = info.data.get("min_backoff")
        if isinstance(min_backoff, timedelta) and max_backoff < min_backoff:
            raise ValueError(f"must be at least min_backoff ({format_duration(min_backoff)})")
        return max_backoff
