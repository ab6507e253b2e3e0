"""KEYS and ARGV of the scripts of upkeep: extend, expired, reclaim, retire, promote, stats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.primitives.gates import NO_AGING, Aging
from octoqueue.primitives.lane import LANES
from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from octoqueue.primitives.messages import SessionId
    from octoqueue.redis.calls.scope import Scope


def extend_call(
    scope: Scope, session: SessionId, *, lease_ms: int, presence: bytes = b"", now_ms: int = 0
) -> ScriptCall:
    """Return the call of `extend.lua`."""
    keys = [scope.workers(), scope.presences()]
    return ScriptCall(script("extend"), keys, [now_ms, session, lease_ms, presence])


def expired_call(scope: Scope, *, limit: int, lease_ms: int, now_ms: int = 0) -> ScriptCall:
    """Return the call of `expired.lua`."""
    keys = [scope.workers(), scope.locks(), scope.lock_expiries()]
    keys += [scope.tombstones(), scope.tombstone_expiries()]
    return ScriptCall(script("expired"), keys, [now_ms, limit, lease_ms])


def expiry_call(scope: Scope, *, now_ms: int = 0) -> ScriptCall:
    """Return the call of `expiry.lua`."""
    return ScriptCall(script("expiry"), [scope.workers()], [now_ms])


def retire_call(scope: Scope, session: SessionId, *, own_wish: bool, now_ms: int = 0) -> ScriptCall:
    """Return the call of `retire.lua`."""
    keys = [scope.workers(), scope.presences()]
    return ScriptCall(script("retire"), keys, [now_ms, session, int(own_wish)])


def reclaim_call(
    scope: Scope, session: SessionId, queue: str, *, places: bytes, now_ms: int = 0
) -> ScriptCall:
    """Return the call of `reclaim.lua`; `places` are those of the partition map, joined."""
    keys = [scope.workers(), scope.stats(queue)]
    if scope.bells:
        keys.append(scope.keys.bell(queue))
    for partition in scope.partitions:
        keys.append(scope.keys.leased(partition, queue, session))
        keys += [scope.keys.lane(partition, queue, lane) for lane in LANES]
    keys += [*scope.line_keys(queue), *scope.gate_keys()]
    args: list[str | bytes | int] = [now_ms, session, len(scope.partitions), int(scope.bells)]
    args.append(places)
    return ScriptCall(script("reclaim"), keys, args)


def promote_call(
    scope: Scope,
    queue: str,
    *,
    limit: int,
    aging: Aging = NO_AGING,
    first_line: bytes = bytes(8),
    now_ms: int = 0,
) -> ScriptCall:
    """Return the call of `promote.lua`."""
    keys = [scope.stats(queue)]
    if scope.bells:
        keys.append(scope.keys.bell(queue))
    for partition in scope.partitions:
        keys.append(scope.keys.delayed(partition, queue))
        keys += [scope.keys.lane(partition, queue, lane) for lane in LANES]
    keys += [*scope.line_keys(queue), *scope.gate_keys()]
    args: list[str | bytes | int] = [now_ms, len(scope.partitions), int(scope.bells), limit]
    args += (aging.normal_ms, aging.low_ms, first_line)
    return ScriptCall(script("promote"), keys, args)


def stats_call(scope: Scope, queue: str, *, now_ms: int = 0) -> ScriptCall:
    """Return the call of `stats.lua`."""
    keys: list[str] = []
    for partition in scope.partitions:
        keys += [scope.keys.lane(partition, queue, lane) for lane in LANES]
        keys.append(scope.keys.delayed(partition, queue))
        keys.append(scope.keys.dead(partition, queue))
        keys.append(scope.keys.stats(partition, queue))
    keys += scope.line_keys(queue)
    return ScriptCall(script("stats"), keys, [now_ms, len(scope.partitions)])
