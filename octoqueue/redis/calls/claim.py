"""KEYS and ARGV of `claim.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from octoqueue.primitives.envelope import ID_SLICE
from octoqueue.primitives.lane import LANES
from octoqueue.primitives.messages import Lease, LeaseToken, SessionId
from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from octoqueue.redis.calls.scope import Scope

SESSION_UNKNOWN = -1
Answer = Sequence[Sequence[int | bytes]]


def claim_keys(scope: Scope, session: SessionId, queues: Sequence[str]) -> list[str]:
    """Return the keys of a claim; the same for every claim of a session."""
    names = [scope.workers(), scope.tombstones(), scope.locks(), *scope.gate_keys()]
    for queue in queues:
        names.append(scope.stats(queue))
        if scope.bells:
            names.append(scope.keys.bell(queue))
        names += scope.line_keys(queue)
        for lane in LANES:
            names += [scope.keys.lane(partition, queue, lane) for partition in scope.partitions]
        names += [scope.keys.leased(partition, queue, session) for partition in scope.partitions]
        names += [scope.keys.dead(partition, queue) for partition in scope.partitions]
        names += [scope.keys.dead_messages(partition, queue) for partition in scope.partitions]
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
    ]
    return ScriptCall(script("claim"), keys, args)


def leases_from(
    answer: Answer, scope: Scope, queues: Sequence[str], claim_number: bytes
) -> tuple[list[Lease], list[Lease]]:
    """Return the leases in the answer of `claim.lua`: to run, and of cancelled messages."""
    to_run: list[Lease] = []
    to_end: list[Lease] = []
    for found in answer:
        number = int(found[0])
        queue, leases = queues[abs(number) - 1], to_run if number > 0 else to_end
        partition = scope.partitions[int(found[1]) - 1]
        for payload in found[2:]:
            assert isinstance(payload, bytes)  # noqa: S101 - narrows for the type checker
            token = LeaseToken(payload[ID_SLICE] + claim_number)
            leases.append(Lease(queue, partition, token, payload))
    return to_run, to_end
