"""KEYS and ARGV of `enqueue_plain.lua`, for most of what is sent.

A message is plain here when it is ready at once and the store need not look into it. Many are sent
at a time, so that everything that holds for a whole lane is prepared once.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from octoqueue.primitives.envelope import is_extended
from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.primitives.lane import Lane
    from octoqueue.primitives.messages import Enqueue
    from octoqueue.redis.calls.scope import Scope

_ONE = struct.pack(">I", 1)


class PlainLane(NamedTuple):
    """What is the same in all calls for one lane."""

    keys: list[str]
    bound: int
    partitions: int


def plain_lane(scope: Scope, queue: str, lane: Lane, *, bound: int) -> PlainLane:
    """Return what calls for a lane need."""
    keys = [scope.stats(queue), scope.keys.gated(scope.home, queue, lane), scope.tallies(queue)]
    keys += [scope.keys.lane(partition, queue, lane) for partition in scope.partitions]
    if scope.bells:
        keys += (scope.keys.bell(queue), scope.marks())
    return PlainLane(keys, bound, len(scope.partitions))


def plain_place(groups: Sequence[Sequence[Enqueue]]) -> tuple[str, Lane] | None:
    """Return the queue and lane that all messages are for; None unless all are plain."""
    place: tuple[str, Lane] | None = None
    for group in groups:
        for message in group:
            queue, lane, payload, delay_ms, _ = message
            if delay_ms or is_extended(payload):
                return None
            if place is None:
                place = queue, lane
            elif place[0] != queue or place[1] is not lane:
                return None
    return place


def enqueue_plain_call(
    lane: PlainLane,
    groups: Sequence[Sequence[Enqueue]],
    *,
    places: Sequence[bytes],
    now_ms: int = 0,
) -> ScriptCall:
    """Return the call for groups of plain messages, all of one lane.

    Args:
        lane: see `plain_lane`.
        groups: each is stored all or none.
        places: `PartitionMap.places`.
        now_ms: a clock for tests; 0 for the server's own.
    """
    keys, bound, partitions = lane
    mask = len(places) - 1  # of the last two bytes of an id, see `primitives/ids.py`
    if len(groups) == 1 and len(groups[0]) == 1:  # most calls, and this is most of their cost
        payload = groups[0][0].payload
        where = places[(payload[30] << 8 | payload[31]) & mask]
        args: list[str | bytes | int] = [now_ms, bound, partitions, _ONE, where, payload]
    else:
        payloads = [message.payload for group in groups for message in group]
        sizes = struct.pack(f">{len(groups)}I", *map(len, groups))
        where = b"".join([places[(p[30] << 8 | p[31]) & mask] for p in payloads])
        args = [now_ms, bound, partitions, sizes, where, *payloads]
    return ScriptCall(script("enqueue_plain"), keys, args)
