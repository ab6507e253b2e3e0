"""Answers of `stats.lua` to `QueueStats`. Pure."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from octoqueue.primitives.histogram import WAIT_BUCKETS
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import QueueStats

if TYPE_CHECKING:
    from collections.abc import Sequence

_WAIT = "wait:"
_LANES_OWN = re.compile(r"arrived:\d|wait:\d(:\d+)")
"""What is counted a lane: `arrived:0` and `wait:0:3` are of the high lane."""
ENDED = ("acked", "retried", "dead", "released", "reclaimed", "snoozed", "cancelled", "expired")
"""Counters of how a lease can end; `redis/lua/includes/queue_room.lua` adds up the same."""
PAUSED, CAP, SECOND = "paused", "cap", "second"
"""Not counters, but words in the same hash."""


def stats_from(queue: str, answers: Sequence[Sequence[Any]]) -> QueueStats:
    """Return the sum of one answer a scope."""
    counters = sum((_counters(answer) for answer in answers), Counter[str]())
    waits = tuple(counters.pop(f"{_WAIT}{bucket}", 0) for bucket in range(WAIT_BUCKETS))
    paused = counters.pop(PAUSED, 0) > 0
    for word in (CAP, SECOND):
        counters.pop(word, None)
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
    """Return what one scope has to claim in the lanes of a queue.

    Nothing while it is paused, no more than its cap leaves, and no messages that wait for gates.
    """
    counters = _counters(answer)
    room = counters[CAP] - in_flight(counters) if CAP in counters else sum(answer[:3])
    if PAUSED in counters:
        room = 0
    found: list[int] = []
    for depth, closed in zip(answer[:3], answer[7], strict=True):
        found.append(max(0, min(depth - closed, room)))
        room -= found[-1]
    return found


def _counters(answer: Sequence[Any]) -> Counter[str]:
    """Return the counters of a queue, those of its lanes added up.

    What arrived was enqueued, or replayed: then as much was taken off `enqueued`, which is also
    what versions counted that knew no lanes.
    """
    counters = Counter[str]()
    for name, count in counters_from(answer[6]).items():
        if own := _LANES_OWN.fullmatch(name):
            name = "enqueued" if own[1] is None else f"wait{own[1]}"  # noqa: PLW2901 - so it is called outside
        counters[name] += count
    return counters


def counters_from(flat: Sequence[bytes]) -> Counter[str]:
    """Return the fields of stats hashes, one behind the other, as they are.

    Raises:
        ValueError: one is no number.
    """
    counters = Counter[str]()
    for name, value in zip(flat[::2], flat[1::2], strict=True):
        counters[name.decode()] += int(value)
    return counters


def in_flight(counters: Counter[str]) -> int:
    """Return claimed messages that have not ended: every script counts in the move it makes."""
    return counters["claimed"] - sum(counters[name] for name in ENDED)
