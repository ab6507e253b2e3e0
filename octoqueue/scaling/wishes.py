"""Wishes for more workers, and how long they take to come true: the measured lead time.

A wish is one level of a staircase: "the k-th worker has been wanted since this moment". It comes
true when k workers are ready, and is dropped when fewer than k are wanted before that. So a fleet
that grows in several steps is measured step by step, and what the autoscaler's own loop takes
counts as well: a forecast must look ahead by all of it.

    wanted 3 ──► wish (3, t0) ──► 3 ready at t1: lead = t1 - t0
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.primitives.signals import Presence

MOST_WISHES = 64
"""Open at the same time; beyond them only the largest is moved up."""
MOST_LEADS = 9
"""Of so many of the last lead times the median counts: four strange ones do no harm."""


class Wish(NamedTuple):
    """So many workers have been wanted since a moment of the store's clock."""

    workers: int
    since_ms: int


class Lead(NamedTuple):
    """A wish that came true."""

    workers: int
    since_ms: int
    seconds: float


class WishChanges(NamedTuple):
    """What becomes of the open wishes."""

    opened: tuple[Wish, ...] = ()
    dropped: tuple[Wish, ...] = ()
    came_true: tuple[Lead, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything changes."""
        return bool(self.opened or self.dropped or self.came_true)


def wish_changes(
    wishes: Sequence[Wish], *, wanted: int, workers: Sequence[Presence], now_ms: int
) -> WishChanges:
    """Return what a decision for `wanted` workers makes of the open wishes.

    A worker counts from the moment it says it was ready, so that a lead time is not rounded up to
    the next look. A clock that was set back never makes one negative.
    """
    ready = sorted(worker.ready_at_ms for worker in workers if worker.is_ready)
    came_true = [
        Lead(wish.workers, wish.since_ms, _seconds(wish, ready, now_ms))
        for wish in wishes
        if wish.workers <= len(ready)
    ]
    unmet = [wish for wish in wishes if wish.workers > len(ready)]
    dropped = [wish for wish in unmet if wish.workers > wanted]
    highest = max((wish.workers for wish in unmet if wish.workers <= wanted), default=len(ready))
    opened: list[Wish] = []
    if wanted > highest:
        # Who wanted more has wanted this many for as long.
        since_ms = min((wish.since_ms for wish in dropped), default=now_ms)
        if len(unmet) - len(dropped) >= MOST_WISHES:
            dropped.append(max(unmet, key=lambda wish: wish.workers))
        opened.append(Wish(wanted, min(since_ms, now_ms)))
    return WishChanges(tuple(opened), tuple(dropped), tuple(came_true))


def _seconds(wish: Wish, ready: Sequence[int], now_ms: int) -> float:
    reached_ms = ready[wish.workers - 1]
    if not wish.since_ms <= reached_ms <= now_ms:
        # Others were ready before and it is a smaller number that was missing, or a clock jumped.
        reached_ms = now_ms
    return max(0, reached_ms - wish.since_ms) / 1000


def lead_seconds(leads: Sequence[Lead]) -> float | None:
    """Return the median of the last lead times; None when no wish ever came true."""
    return median(lead.seconds for lead in leads[:MOST_LEADS]) if leads else None


def longest_open_seconds(wishes: Sequence[Wish], now_ms: int) -> float:
    """Return for how long the oldest open wish has been one; 0 without any."""
    return max((max(0, now_ms - wish.since_ms) for wish in wishes), default=0) / 1000
