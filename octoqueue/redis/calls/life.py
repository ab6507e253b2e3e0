"""KEYS and ARGV of the scripts that decide about single messages and whole queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.primitives.lane import LANES
from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from octoqueue.redis.calls.scope import Scope


def flush_call(scope: Scope, queue: str, *, limit: int) -> ScriptCall:
    """Return the call of `flush.lua`."""
    keys = [scope.locks()]
    for partition in scope.partitions:
        keys += [scope.keys.lane(partition, queue, lane) for lane in LANES]
        keys.append(scope.keys.delayed(partition, queue))
    keys += [scope.keys.gated(scope.home, queue, lane) for lane in LANES]
    return ScriptCall(script("flush"), keys, [len(scope.partitions), limit])


def pause_call(scope: Scope, queue: str, *, pause: bool) -> ScriptCall:
    """Return the call of `pause.lua`."""
    keys = [scope.stats(queue)]
    if scope.bells:
        keys.append(scope.keys.bell(queue))
    return ScriptCall(script("pause"), keys, [int(pause)])
