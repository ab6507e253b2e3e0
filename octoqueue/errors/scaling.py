"""For whoever asks how many workers a fleet should have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors.operating import NotThere
from octoqueue.errors.root import OctoqueueError

if TYPE_CHECKING:
    from collections.abc import Sequence


class ScalingError(OctoqueueError):
    """How many workers a fleet should have cannot be said."""


class SignalsUnreadable(ScalingError):
    """What a fleet's size is decided on could not be read in time. It is never taken for 0."""

    retryable = True

    def __init__(self, fleet: str, *, reason: str, held_for_seconds: float = 0.0) -> None:
        held = (
            f", and its last decision has been held for {held_for_seconds:g} s already"
            if held_for_seconds
            else ""
        )
        super().__init__(f"the signals of fleet {fleet!r} cannot be read: {reason}{held}")
        self.fleet = fleet
        self.reason = reason
        self.held_for_seconds = held_for_seconds
        """For how long its last decision was answered instead; 0 when there was none."""


class FleetUnknown(NotThere):
    """No fleet of that name is configured."""

    def __init__(
        self, fleet: str, *, known: Sequence[str] = (), nearest: str | None = None
    ) -> None:
        listed = ", ".join(known) or "none"
        guess = f"; did you mean {nearest!r}?" if nearest else ""
        super().__init__(f"no fleet {fleet!r} is configured (there are: {listed}){guess}")
        self.fleet = fleet
        self.known = tuple(known)


class TraceInvalid(ScalingError):
    """A trace to simulate says something impossible; names the file, the line and the field."""

    def __init__(
        self, source: str, reason: str, *, line: int | None = None, field: str | None = None
    ) -> None:
        place = [source]
        if line is not None:
            place.append(f"line {line}")
        if field is not None:
            place.append(field)
        super().__init__(f"{', '.join(place)}: {reason}")
        self.source = source
        self.line = line
        self.field = field


class ForecastStateUnreadable(ScalingError):
    """What a forecast had learnt cannot be read; it is learnt again from history."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"what a forecast had learnt cannot be read: {reason}")
        self.reason = reason
