"""KEYS and ARGV of `emit.lua` and `announce.lua`, and of what `commit.lua` tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.redis.calls.key_index import KeyIndex
from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.primitives.events import Keeping, Told
    from octoqueue.primitives.messages import Announcement, Emission, SessionId
    from octoqueue.redis.calls.scope import Scope

Arguments = list[str | bytes | int]


def emit_call(
    scope: Scope,
    *,
    session: SessionId,
    emissions: Sequence[tuple[int, Emission]],
    keeping: Keeping,
    now_ms: int = 0,
) -> ScriptCall:
    """Return the call that appends these; each comes with the partition of its message's id."""
    key, keys = KeyIndex(), scope.keys
    args: Arguments = [now_ms, keeping.bound, keeping.ttl_ms, len(emissions)]
    for partition, emission in emissions:
        lease = emission.lease
        args += (
            key(scope.leased(lease.queue, session)),
            key(keys.events(partition, lease.message_id)),
            lease.token,
            keys.events_channel(lease.message_id),
            *told_arguments(emission.told),
        )
    return ScriptCall(script("emit"), key.names, args)


def announce_call(
    scope: Scope,
    *,
    announcements: Sequence[tuple[int, Announcement]],
    keeping: Keeping,
    now_ms: int = 0,
) -> ScriptCall:
    """Return the call that tells these; each comes with the partition of its id."""
    key, keys = KeyIndex(), scope.keys
    args: Arguments = [now_ms, keeping.bound, keeping.ttl_ms, len(announcements)]
    for partition, told in announcements:
        ident, result = told.message_id, told.result
        args += (key(keys.events(partition, ident)), keys.events_channel(ident))
        if result is None:
            args.append(0)
        else:
            ttl_ms = max(result.ttl_ms, 1)
            args += (key(keys.result(partition, ident)), keys.done_channel(ident))
            args += (ttl_ms, result.body)
        args.append(len(told.events))
        for number, event in told.events:
            args += (number, event)
    return ScriptCall(script("announce"), key.names, args)


def told_arguments(told: Told) -> Arguments:
    """Return sender, number of the first event, number of events, events."""
    return [told.sender, told.first, len(told.events), *told.events]
