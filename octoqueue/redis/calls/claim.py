"""KEYS and ARGV of `claim.lua`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, cast

from octoqueue.primitives.envelope import ID_SLICE
from octoqueue.primitives.lane import LANES, Lane
from octoqueue.primitives.messages import Lease, SessionId
from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from octoqueue.redis.calls.scope import Scope

SESSION_UNKNOWN = -1
Answer = Sequence[Any]
"""Number of a queue, negative for what is cancelled, partition, payloads, and so on."""

_lease: Callable[[tuple[str, int, bytes, bytes]], Lease] = partial(
    cast("Any", tuple).__new__, Lease
)
"""`Lease(*fields)` without a call in Python: one is made for every message."""


def claim_keys(scope: Scope, session: SessionId, queues: Sequence[str]) -> list[str]:
    """Return the keys of a claim; the same for every claim of a session."""
    names = shared_keys(scope)
    for queue in queues:
        names += queue_keys(scope, session, queue)
    return names


def shared_keys(scope: Scope) -> list[str]:
    """Return the keys that stand before those of the queues."""
    return [
        scope.workers(),
        scope.tombstones(),
        scope.locks(),
        *scope.gate_keys(),
        scope.marks(),
    ]


def queue_keys(scope: Scope, session: SessionId, queue: str) -> list[str]:
    """Return the keys of one queue."""
    names = [scope.stats(queue)]
    if scope.bells:
        names.append(scope.keys.bell(queue))
    names += scope.line_keys(queue)
    for lane in LANES:
        names += [scope.keys.lane(partition, queue, lane) for partition in scope.partitions]
    names.append(scope.leased(queue, session))
    names += (scope.keys.dead(scope.home, queue), scope.keys.dead_messages(scope.home, queue))
    names.append(scope.tallies(queue))
    return names


def claim_call(
    scope: Scope,
    keys: list[str],
    *,
    session: SessionId,
    queues: int,
    claim_number: bytes,
    limit: int,
    rotation: int,
    lowest: Lane = Lane.LOW,
    looked_after: str = "",
    now_ms: int = 0,
) -> ScriptCall:
    """Return the call for `keys` made by `claim_keys`."""
    args: list[str | bytes | int] = [
        now_ms,
        session,
        claim_number,
        limit,
        queues,
        len(scope.partitions),
        int(scope.bells),
        rotation,
        int(lowest),
        looked_after,
    ]
    return ScriptCall(script("claim"), keys, args)


def leases_from(
    answer: Answer, scope: Scope, queues: Sequence[str], claim_number: bytes
) -> tuple[list[Lease], list[Lease]]:
    """Return the leases in the answer of `claim.lua`: to run, and of cancelled messages."""
    to_run: list[Lease] = []
    to_end: list[Lease] = []
    for at in range(0, len(answer), 3):
        number: int = answer[at]
        payloads: list[bytes] = answer[at + 2]
        queue = queues[abs(number) - 1]
        place = scope.partitions[int(answer[at + 1]) - 1]
        tokens = [payload[ID_SLICE] + claim_number for payload in payloads]
        leases = to_run if number > 0 else to_end
        leases += map(_lease, zip(repeat(queue), repeat(place), tokens, payloads, strict=False))
    return to_run, to_end
