"""KEYS and ARGV of `commit.lua`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.primitives.envelope import unpack_header
from octoqueue.primitives.messages import Enqueue, Lease, Outcome, RunTime, SessionId, Settlement
from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from octoqueue.primitives.ids import MessageId
    from octoqueue.redis.calls.scope import Scope

Arguments = list[str | bytes | int]


class _KeyIndex:
    """Keys in the order first named; a script refers to them by their number."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def __call__(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            self.names.append(name)
            number = self._numbers[name] = len(self.names)
        return number


def commit_call(
    scope: Scope,
    *,
    session: SessionId,
    acks: Sequence[Lease],
    settlements: Sequence[Settlement],
    run_times: Mapping[str, RunTime],
    partition_of: Callable[[MessageId], int],
    now_ms: int = 0,
) -> ScriptCall:
    """Return the call that ends these leases."""
    key = _KeyIndex()
    args: Arguments = [now_ms]
    _add_acks(args, key, scope, session, acks)
    args.append(len(run_times))
    for queue, run in run_times.items():
        args += (key(scope.stats(queue)), run.count, run.total_us, run.squares_ms2)
    args.append(len(settlements))
    for settlement in _in_order(settlements):
        _add_settlement(args, key, scope, session, settlement, partition_of=partition_of)
    return ScriptCall(script("commit"), key.names, args)


def _in_order(settlements: Sequence[Settlement]) -> Sequence[Settlement]:
    """Return the releases last and backwards: each goes to the head, the first must end there."""
    released = [s for s in settlements if s.outcome is Outcome.RELEASE]
    if not released:
        return settlements
    others = [s for s in settlements if s.outcome is not Outcome.RELEASE]
    return others + released[::-1]


def _add_acks(
    args: Arguments, key: _KeyIndex, scope: Scope, session: SessionId, acks: Sequence[Lease]
) -> None:
    groups: dict[tuple[int, str], list[bytes]] = {}
    for lease in acks:
        place = (lease.partition, lease.queue)
        tokens = groups.get(place)
        if tokens is None:
            groups[place] = [lease.token]
        else:
            tokens.append(lease.token)
    args.append(len(groups))
    for (partition, queue), tokens in groups.items():
        leased = key(scope.keys.leased(partition, queue, session))
        args += (leased, key(scope.stats(queue)), len(tokens))
        args += tokens


def _add_settlement(
    args: Arguments,
    key: _KeyIndex,
    scope: Scope,
    session: SessionId,
    settlement: Settlement,
    *,
    partition_of: Callable[[MessageId], int],
) -> None:
    lease, outcome = settlement.lease, settlement.outcome
    partition, queue, keys = lease.partition, lease.queue, scope.keys
    returns = outcome in (Outcome.RETRY, Outcome.RELEASE)
    args += (
        key(keys.leased(partition, queue, session)),
        key(scope.stats(queue)),
        lease.token,
        int(outcome),
        key(keys.lane(partition, queue, unpack_header(lease.payload).lane)) if returns else 0,
        key(keys.delayed(partition, queue)) if outcome is Outcome.RETRY else 0,
        key(keys.dead(partition, queue)) if outcome is Outcome.DEAD_LETTER else 0,
        key(keys.dead_messages(partition, queue)) if outcome is Outcome.DEAD_LETTER else 0,
        key(keys.bell(queue)) if returns and scope.bells else 0,
        settlement.delay_ms,
        settlement.reason,
    )
    result = settlement.result
    if result is None:
        args += (0, 0, b"", b"")
    else:
        # A result lives where its message's id says, which is where its lease was.
        args += (
            key(keys.result(partition, lease.message_id)),
            result.ttl_ms,
            keys.done_channel(lease.message_id),
            result.body,
        )
    args.append(len(settlement.follow_ups))
    for message in settlement.follow_ups:
        _add_follow_up(args, key, scope, message, partition_of(message.message_id))


def _add_follow_up(
    args: Arguments, key: _KeyIndex, scope: Scope, message: Enqueue, partition: int
) -> None:
    args += (
        key(scope.keys.lane(partition, message.queue, message.lane)),
        key(scope.keys.delayed(partition, message.queue)),
        key(scope.stats(message.queue)),
        key(scope.keys.bell(message.queue)) if scope.bells else 0,
        message.delay_ms,
        message.payload,
    )
