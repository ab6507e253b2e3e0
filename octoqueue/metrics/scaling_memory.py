"""`ScalingMemory`: what scaling remembers of each fleet, so that all who decide agree.

Scaler replicas, the fleet agent and the command line decide alike because nothing that outlives a
decision lives in a process: what a person wants, what was decided last, when the fleet last had
something to do, which wishes for workers are open and how long such wishes took, what is expected
to arrive. All moments are of the store's clock.

Of concurrent writers

    an override          the last one wins
    the lead             the first who asks while nobody has it
    a decision           the one made last wins, whichever arrives last
    the last activity    the latest moment wins
    a wish               the first who opens it, and the first who says that it came true
    a forecast           the one made last wins
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from octoqueue.scaling.override import LONGEST, MOST_WORKERS, SHORTEST
from octoqueue.scaling.wishes import WishChanges, lead_seconds, longest_open_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.primitives.signals import ArrivalForecast
    from octoqueue.scaling.decision import Decision
    from octoqueue.scaling.override import Override
    from octoqueue.scaling.wishes import Lead, Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What is remembered of one fleet at one moment."""

    fleet: str
    now_ms: int
    """The store's clock when it was read."""
    override: Override | None = None
    """None when there is none that still counts."""
    decision: Decision | None = None
    """The last good one; how old it is, says its `at_ms`."""
    active_at_ms: int | None = None
    """When the fleet last had something to do; None when it never had."""
    wishes: tuple[Wish, ...] = ()
    """Those that are open, the smallest first."""
    leads: tuple[Lead, ...] = ()
    """Those that came true last, the last one first."""
    forecast: ArrivalForecast | None = None

    @property
    def lead_seconds(self) -> float | None:
        """Measured: from a wish for more workers to their being ready; None when never seen."""
        return lead_seconds(self.leads)

    @property
    def waiting_seconds(self) -> float:
        """For how long more workers have been wanted than there are; 0 when they are there."""
        return longest_open_seconds(self.wishes, self.now_ms)

    def active_seconds_ago(self) -> float | None:
        """Return how long ago the fleet had something to do; None when it never had."""
        if self.active_at_ms is None:
            return None
        return max(0, self.now_ms - self.active_at_ms) / 1000


class Kept(NamedTuple):
    """What became of a decision that was to be remembered."""

    is_last: bool
    """False: another was made after it."""
    came_true: tuple[Lead, ...]
    """Wishes that nobody had said before to have come true."""


class ScalingMemory(Protocol):
    """What scaling remembers. Each method is one round trip.

    Raises:
        StoreUnavailable: there is no answer; a write may have taken effect.
        StoreProtocolError: the override that is stored is nothing that this program understands;
            all else that it does not understand counts as not there.
    """

    async def recall(self, fleet: str) -> Remembered:
        """Return all that is remembered of a fleet; of one never seen, nothing."""
        ...

    async def remember(self, decision: Decision, changes: WishChanges = ...) -> Kept:
        """Keep a decision, with the moment of the last activity, and what becomes of the wishes.

        Args:
            decision: a good one, never one that was held.
            changes: of the open wishes, see `wish_changes`.
        """
        ...

    async def recent(self, fleet: str, *, limit: int = 20) -> tuple[Decision, ...]:
        """Return the last decisions that differed from the one before, the last one first."""
        ...

    async def set_override(
        self,
        fleet: str,
        workers: int,
        *,
        lasting: timedelta,
        said_by: str,
        beyond_max: bool = False,
    ) -> Override:
        """Let `workers` stand in for a fleet's demand; replaces the override there is.

        Raises:
            ValueError: `workers` is negative or above a million, or `lasting` not from a
                millisecond to 90 days.
        """
        ...

    async def clear_override(self, fleet: str) -> bool:
        """End the override of a fleet; return whether there was one that still counted."""
        ...

    async def lead(self, fleet: str, agent: str, *, lasting: timedelta) -> str:
        """Return which agent leads a fleet from now on: `agent`, if no other does.

        Who leads is the only one that changes the fleet's size, until `lasting` is over; asking
        again makes it last. 0 gives it up, and "" is returned when nobody leads. When the clock
        was set back by more than `lasting` nobody leads: who did may be gone since.
        """
        ...

    async def publish(self, fleet: str, forecast: ArrivalForecast) -> bool:
        """Keep a forecast; return False when a later one is kept already."""
        ...


def mark_of(decision: Decision) -> str:
    """Return what tells a decision from the one before: not its reason, whose numbers change."""
    decisive: Sequence[str] = [step.rule for step in decision.steps if step.is_decisive]
    return f"{decision.workers} {int(decision.is_active)} {' '.join(decisive)}"


def checked_ms(workers: int, lasting: timedelta) -> int:
    """Return how long an override lasts.

    Raises:
        ValueError: it cannot be; names the argument.
    """
    if not 0 <= workers <= MOST_WORKERS:
        raise ValueError(f"workers: {workers} must be from 0 to {MOST_WORKERS}")
    if not SHORTEST <= lasting <= LONGEST:
        raise ValueError(f"lasting: {lasting} must be from 1 ms to 90 days")
    return lasting // timedelta(milliseconds=1)
