"""KEYS and ARGV of the scripts that decide about single messages and whole queues."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from octoqueue.primitives.lane import LANES
from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.lane import Lane
    from octoqueue.redis.calls.scope import Scope

IN_LIST, IN_ZSET, IN_LINE = 0, 1, 2
"""Where a message waits; `IN_LINE` and the number of the lane for the lines of a lane."""

NOT_CANCELLED, STILL_CANCELLED, ENDED = 0, 1, 2
"""What `cancel.lua` answers."""

GONE, MOVED = 0, 1
"""What `move.lua` answers, or the depth and bound of a lane that is full."""

_TTL = struct.Struct(">Q")


def tombstone(result: bytes, *, ttl_ms: int) -> bytes:
    """Return the tombstone of a cancelled message."""
    return _TTL.pack(ttl_ms) + result


def result_in(stone: bytes) -> bytes:
    """Return the result in a tombstone."""
    return stone[_TTL.size :]


def pause_call(scope: Scope, queue: str, *, pause: bool) -> ScriptCall:
    """Return the call of `pause.lua`."""
    keys = [scope.stats(queue)]
    if scope.bells:
        keys.append(scope.keys.bell(queue))
    return ScriptCall(script("pause"), keys, [int(pause)])


def flush_call(scope: Scope, queue: str, *, limit: int) -> ScriptCall:
    """Return the call of `flush.lua`."""
    keys = [scope.locks()]
    for partition in scope.partitions:
        keys += [scope.keys.lane(partition, queue, lane) for lane in LANES]
        keys.append(scope.keys.delayed(partition, queue))
    keys += scope.line_keys(queue)
    return ScriptCall(script("flush"), keys, [len(scope.partitions), limit])


def cancel_call(
    scope: Scope, message_id: MessageId, *, stone: bytes = b"", life_ms: int = 0, now_ms: int = 0
) -> ScriptCall:
    """Return the call of `cancel.lua`; without a tombstone it takes one back."""
    keys = [scope.tombstones(), scope.tombstone_expiries()]
    return ScriptCall(script("cancel"), keys, [now_ms, message_id, stone, life_ms])


def seek_call(key: str, message_id: MessageId, *, kind: int, skip: int, count: int) -> ScriptCall:
    """Return the call of `seek.lua`."""
    begins = 17 if kind >= IN_LINE else 1
    args: list[str | bytes | int] = [message_id, int(kind != IN_LIST), begins, skip, count]
    return ScriptCall(script("seek"), [key], args)


def withdraw_call(
    scope: Scope,
    queue: str,
    message_id: MessageId,
    *,
    partition: int,
    place: str,
    kind: int,
    member: bytes,
    payload: bytes,
    result_channel: str,
    events: tuple[str, int, int, str, bytes],
    now_ms: int = 0,
) -> ScriptCall:
    """Return the call of `withdraw.lua`; `events`: channel, bound, ttl, sender, the last."""
    keys = [
        scope.stats(queue),
        scope.tombstones(),
        scope.tombstone_expiries(),
        scope.locks(),
        place,
        scope.keys.result(partition, message_id),
        scope.keys.events(partition, message_id),
        scope.keys.history(partition, message_id),
        *([scope.keys.bell(queue)] if scope.bells else ()),
        *scope.line_keys(queue),
        *scope.gate_keys(),
    ]
    args: list[str | bytes | int] = [now_ms, kind, member, payload, result_channel, *events]
    return ScriptCall(script("withdraw"), keys, args)


def move_call(
    scope: Scope,
    queue: str,
    lane: Lane,
    *,
    partition: int,
    place: str,
    kind: int,
    member: bytes,
    payload: bytes,
    bound: int,
) -> ScriptCall:
    """Return the call of `move.lua`."""
    keys = [scope.stats(queue)]
    if scope.bells:
        keys.append(scope.keys.bell(queue))
    keys.append(place)
    keys += [scope.keys.lane(each, queue, lane) for each in scope.partitions]
    keys += [*scope.line_keys(queue), *scope.gate_keys()]
    args: list[str | bytes | int] = [
        len(scope.partitions),
        int(scope.bells),
        kind,
        member,
        payload,
        int(lane),
        scope.partitions.index(partition) + 1,
        bound,
    ]
    return ScriptCall(script("move"), keys, args)
