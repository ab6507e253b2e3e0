"""KEYS and ARGV of `signals.lua` and `minutes.lua`."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from octoqueue.primitives.lane import LANES
from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.redis.calls.scope import Scope

MOST_KEYS = 500
"""A call names no more, when one queue has no more: some 2 ms of the server's time."""

MOST_QUEUES = 25
"""As many: each has 56 kB to copy."""


def signals_calls(
    scope: Scope, queues: Sequence[str], *, due_within_ms: int, now_ms: int = 0
) -> list[ScriptCall]:
    """Return the calls of `signals.lua` that together read some queues, at least one."""
    keys = [_keys_of(scope, queue) for queue in queues]
    step = max(1, MOST_KEYS // len(keys[0])) if keys else 1
    return [
        ScriptCall(
            script("signals"),
            [*scope.gate_keys(), *chain.from_iterable(part)],
            [now_ms, len(scope.partitions), len(part), due_within_ms],
        )
        for part in (keys[first : first + step] for first in range(0, len(keys) or 1, step))
    ]


def _keys_of(scope: Scope, queue: str) -> list[str]:
    keys = [scope.stats(queue), scope.tallies(queue)]
    for partition in scope.partitions:
        keys += [scope.keys.lane(partition, queue, lane) for lane in LANES]
        keys.append(scope.keys.delayed(partition, queue))
    return [*keys, *scope.line_keys(queue)]


def minutes_calls(scope: Scope, queues: Sequence[str], *, now_ms: int = 0) -> list[ScriptCall]:
    """Return the calls of `minutes.lua` that together read some queues."""
    keys = [(scope.stats(queue), scope.tallies(queue)) for queue in queues]
    return [
        ScriptCall(script("minutes"), [*chain.from_iterable(part)], [now_ms])
        for part in (keys[at : at + MOST_QUEUES] for at in range(0, len(keys), MOST_QUEUES))
    ]
