"""KEYS and ARGV of `replay.lua` and `purge.lua`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.primitives.lane import LANES
from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from octoqueue.primitives.ids import MessageId
    from octoqueue.redis.calls.scope import Scope

DONE, NO_ENVELOPE, FULL, TAKEN = 0, 1, 2, 3
"""What `replay.lua` answers first."""

UNBOUNDED = (-1, -1, -1)


def replay_call(
    scope: Scope,
    queue: str,
    places: Mapping[MessageId, int],
    *,
    bounds: Sequence[int],
    now_ms: int = 0,
) -> ScriptCall:
    """Return the call of `replay.lua`; `places` says in which partition each message is dead."""
    keys = [scope.stats(queue)]
    if scope.bells:
        keys.append(scope.keys.bell(queue))
    for partition in scope.partitions:
        keys += [scope.keys.lane(partition, queue, lane) for lane in LANES]
        keys.append(scope.keys.dead(partition, queue))
        keys.append(scope.keys.dead_messages(partition, queue))
    keys += [*scope.line_keys(queue), *scope.gate_keys()]
    keys += [scope.locks(), scope.lock_expiries(), scope.tombstones(), scope.tallies(queue)]
    for ident, partition in places.items():
        keys += (
            scope.keys.result(partition, ident),
            scope.keys.events(partition, ident),
            scope.keys.history(partition, ident),
        )
    args: list[str | bytes | int] = [now_ms, len(scope.partitions), int(scope.bells), *bounds]
    return ScriptCall(script("replay"), keys, args + _placed(scope, places))


def purge_call(
    scope: Scope,
    queue: str,
    places: Mapping[MessageId, int],
    *,
    age_ms: int = -1,
    limit: int = 0,
    now_ms: int = 0,
) -> ScriptCall:
    """Return the call of `purge.lua` for the messages in `places`, and for those beyond an age."""
    keys = [scope.stats(queue)]
    for partition in scope.partitions:
        keys.append(scope.keys.dead(partition, queue))
        keys.append(scope.keys.dead_messages(partition, queue))
    keys += [scope.keys.history(partition, ident) for ident, partition in places.items()]
    args: list[str | bytes | int] = [now_ms, len(scope.partitions), age_ms, limit]
    return ScriptCall(script("purge"), keys, args + _placed(scope, places))


def _placed(scope: Scope, places: Mapping[MessageId, int]) -> list[str | bytes | int]:
    index_of = {partition: index for index, partition in enumerate(scope.partitions, 1)}
    words: list[str | bytes | int] = [len(places)]
    for ident, partition in places.items():
        words += (ident, index_of[partition])
    return words
