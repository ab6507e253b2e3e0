"""`View`: what a rule may know when it decides; nothing of it lies in the future."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class Service(NamedTuple):
    """How long attempts ran that ended in the last ten minutes."""

    attempts: int
    mean_seconds: float
    variance_seconds2: float


class View(Protocol):
    """The state of a simulated fleet as its readers see it.

    `lane` is the wire value of a lane; None is all lanes together.
    """

    @property
    def now_seconds(self) -> float:
        """Since the beginning of the trace."""
        ...

    @property
    def starts_at_ms(self) -> int:
        """Wall time of the trace's beginning."""
        ...

    @property
    def workers(self) -> int:
        """Those that are ready and those that start."""
        ...

    @property
    def ready(self) -> int:
        """Those that claim."""
        ...

    @property
    def slots(self) -> int:
        """Messages that a worker runs at the same time."""
        ...

    @property
    def lanes(self) -> Sequence[int]:
        """The lanes in which anything ever arrives."""
        ...

    def waiting(self, lane: int | None = None) -> float:
        """Return how many messages wait."""
        ...

    def in_flight(self) -> float:
        """Return how many messages run, or are leased by workers that died."""
        ...

    def running(self) -> Sequence[int]:
        """Return how many messages each ready worker runs."""
        ...

    def ready_since(self) -> Sequence[float]:
        """Return since when each ready worker has been, in seconds, the oldest first."""
        ...

    def at_risk_seconds(self) -> Sequence[float]:
        """Return what each ready worker would lose of one message, at most; empty: nothing."""
        ...

    def oldest_age_seconds(self, lane: int | None = None) -> float:
        """Return how long the oldest message has waited; 0 when none waits."""
        ...

    def arrived(self, seconds: float, lane: int | None = None) -> float:
        """Return how many messages arrived in the last `seconds`."""
        ...

    def completed(self, seconds: float) -> float:
        """Return how many messages ended in the last `seconds`."""
        ...

    def service(self) -> Service:
        """Return how long they ran."""
        ...

    def load(self, seconds: float) -> float:
        """Return how many workers the arrivals of the last `seconds` keep busy."""
        ...

    def utilization(self) -> float:
        """Return which share of the ready slots was busy since the last decision, 0 to 1."""
        ...

    def waits(self, lane: int | None = None) -> Sequence[int]:
        """Return the histogram of what was started in the last minute."""
        ...


class Rule(Protocol):
    """How many workers there should be."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    def wanted(self, view: View) -> float:
        """Return the workers it wants now; a fraction is rounded up, after any tolerance."""
        ...
