"""Answers of `stats.lua` to `QueueStats`. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from octoqueue.primitives.histogram import WAIT_BUCKETS
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import QueueStats

if TYPE_CHECKING:
    from collections.abc import Sequence

_WAIT = "wait:"
ENDED = ("acked", "retried", "dead", "released", "reclaimed", "snoozed", "cancelled")
PAUSED = "paused"
"""Not a counter, but a word in the same hash."""


def stats_from(queue: str, answers: Sequence[Sequence[Any]]) -> QueueStats:
    """Return the sum of one answer a scope."""
    counters: Counter[str] = Counter()
    for answer in answers:
        flat = answer[6]
        for name, value in zip(flat[::2], flat[1::2], strict=True):
            counters[name.decode()] += int(value)
    waits = tuple(counters.pop(f"{_WAIT}{bucket}", 0) for bucket in range(WAIT_BUCKETS))
    paused = counters.pop(PAUSED, 0) > 0
    return QueueStats(
        queue=queue,
        depth={lane: sum(answer[lane] for answer in answers) for lane in Lane},
        delayed=sum(answer[3] for answer in answers),
        dead=sum(answer[4] for answer in answers),
        in_flight=in_flight(counters),
        oldest_age_seconds=max(answer[5] for answer in answers) / 1000,
        counters=dict(counters),
        waits=waits,
        paused=paused,
    )


def claimable(answer: Sequence[Any]) -> list[int]:
    """Return what one scope has to claim in the lanes of a queue: nothing while it is paused."""
    is_paused = PAUSED.encode() in answer[6][::2]
    return [0, 0, 0] if is_paused else list(answer[:3])


def in_flight(counters: Counter[str]) -> int:
    """Return claimed messages that have not ended: every script counts in the move it makes."""
    return counters["claimed"] - sum(counters[name] for name in ENDED)
