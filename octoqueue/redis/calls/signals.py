"""KEYS and ARGV of `signals.lua` and `minutes.lua`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.primitives.lane import LANES
from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.redis.calls.scope import Scope

MOST_PRESENCES = 10_000
"""Live sessions that one call looks at."""


def signals_call(
    scope: Scope,
    queues: Sequence[str],
    *,
    due_within_ms: int,
    texts: Sequence[bytes],
    now_ms: int = 0,
) -> ScriptCall:
    """Return the call of `signals.lua`; of presences it tells those that hold one of `texts`."""
    keys = [scope.workers(), scope.presences(), *scope.gate_keys()]
    for queue in queues:
        keys += (scope.stats(queue), scope.tallies(queue))
        for partition in scope.partitions:
            keys += [scope.keys.lane(partition, queue, lane) for lane in LANES]
            keys.append(scope.keys.delayed(partition, queue))
        keys += scope.line_keys(queue)
    args: list[str | bytes | int] = [now_ms, len(scope.partitions), len(queues), due_within_ms]
    args += (MOST_PRESENCES, len(texts), *texts)
    return ScriptCall(script("signals"), keys, args)


def minutes_call(scope: Scope, queues: Sequence[str], *, now_ms: int = 0) -> ScriptCall:
    """Return the call of `minutes.lua`."""
    keys: list[str] = []
    for queue in queues:
        keys += (scope.stats(queue), scope.tallies(queue))
    return ScriptCall(script("minutes"), keys, [now_ms])
