"""KEYS and ARGV of `commit.lua`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.closing import last_words, tells_events
from octoqueue.primitives.envelope import Flag, is_extended, is_plain, unpack_header, was_tried
from octoqueue.primitives.events import Keeping
from octoqueue.primitives.history import KEPT_FOR, MOST_KEPT, record_of
from octoqueue.primitives.messages import Enqueue, Lease, Outcome, RunTime, SessionId, Settlement
from octoqueue.redis.calls.events import told_arguments
from octoqueue.redis.calls.key_index import KeyIndex
from octoqueue.redis.scripts import ScriptCall, script

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from octoqueue.primitives.ids import MessageId
    from octoqueue.redis.calls.scope import Scope

Arguments = list[str | bytes | int]

_clock = SystemClock()
_KEEPING = Keeping()
_HISTORY_TTL_MS = KEPT_FOR // timedelta(milliseconds=1)


def commit_call(
    scope: Scope,
    *,
    session: SessionId,
    acks: Sequence[Lease],
    settlements: Sequence[Settlement],
    run_times: Mapping[str, RunTime],
    partition_of: Callable[[MessageId], int],
    keeping: Keeping = _KEEPING,
    history_ttl_ms: int = _HISTORY_TTL_MS,
    capped: Collection[str] = (),
    now_ms: int = 0,
) -> ScriptCall:
    """Return the call that ends these leases; whoever waits for a `capped` queue is rung."""
    key = KeyIndex()
    extended: list[Lease] = []
    others = [lease for lease in acks if not is_plain(lease.payload)]
    if others:  # what they took is given back, their history forgotten
        acks = [lease for lease in acks if is_plain(lease.payload)]
        extended = [lease for lease in others if _is_merely_extended(lease.payload)]
        others = [lease for lease in others if not _is_merely_extended(lease.payload)]
        more = [Settlement(lease=lease, outcome=Outcome.ACK) for lease in others]
        settlements = [*more, *settlements]
    args: Arguments = [
        now_ms,
        key(scope.tombstones()),
        key(scope.tombstone_expiries()) if settlements else 0,
        *_locks_and_gates(key, scope, settlements, has_extended=bool(extended)),
        key(scope.marks()) if settlements and scope.bells else 0,
    ]
    _add_acks(args, key, scope, session, acks, capped=capped)
    args.append(len(run_times))
    for queue, run in run_times.items():
        args += (_counters(key, scope, queue), run.count, run.total_us, run.squares_ms2)
    _add_extended_acks(args, key, scope, session, extended)
    args.append(len(settlements))

    def history(ident: MessageId) -> int:
        return key(scope.keys.history(partition_of(ident), ident))

    def stream(ident: MessageId) -> tuple[int, str]:
        name = scope.keys.events(partition_of(ident), ident)
        return key(name), scope.keys.events_channel(ident)

    for settlement in _in_order(settlements):
        _add_settlement(
            args, key, scope, session, settlement, partition_of=partition_of, capped=capped
        )
        _add_history(args, settlement, session, history, ttl_ms=history_ttl_ms)
        _add_events(args, settlement, session, stream, keeping=keeping, now_ms=now_ms)
    return ScriptCall(script("commit"), key.names, args)


def _counters(key: KeyIndex, scope: Scope, queue: str) -> int:
    """Return the number of the stats hash of a queue; its tallies stand behind it."""
    return key.together((scope.stats(queue), scope.tallies(queue)))


def _is_merely_extended(payload: bytes) -> bool:
    """Whether the end of a message has nothing to say but that what it took is given back."""
    return is_extended(payload) and not (was_tried(payload) or tells_events(payload))


def _keeps_result(lease: Lease) -> bool:
    return bool(unpack_header(lease.payload).flags & Flag.KEEP_RESULT)


def _locks_and_gates(
    key: KeyIndex, scope: Scope, settlements: Sequence[Settlement], *, has_extended: bool
) -> tuple[int, int, int]:
    """Return the locks of unique keys and what lines share, 0 when no message here has either."""
    if has_extended or any(
        is_extended(settlement.lease.payload)
        or any(is_extended(message.payload) for message in settlement.follow_ups)
        for settlement in settlements
    ):
        shared = key.together(scope.gate_keys())
        return key(scope.locks()), key(scope.lock_expiries()), shared
    return 0, 0, 0


def _in_order(settlements: Sequence[Settlement]) -> Sequence[Settlement]:
    """Return the releases last and backwards: each goes to the head, the first must end there."""
    released = [s for s in settlements if s.outcome is Outcome.RELEASE]
    if not released:
        return settlements
    others = [s for s in settlements if s.outcome is not Outcome.RELEASE]
    return others + released[::-1]


def _add_acks(
    args: Arguments,
    key: KeyIndex,
    scope: Scope,
    session: SessionId,
    acks: Sequence[Lease],
    *,
    capped: Collection[str],
) -> None:
    groups = _by_queue(acks)
    args.append(len(groups))
    for queue, tokens in groups.items():
        leased = key(scope.leased(queue, session))
        bell = key(scope.keys.bell(queue)) if queue in capped and scope.bells else 0
        args += (leased, _counters(key, scope, queue), bell, len(tokens))
        args += tokens


def _add_extended_acks(
    args: Arguments, key: KeyIndex, scope: Scope, session: SessionId, acks: Sequence[Lease]
) -> None:
    groups = _by_queue(acks)
    args.append(len(groups))
    for queue, tokens in groups.items():
        leased, bell = key(scope.leased(queue, session)), scope.keys.bell(queue)
        args += (leased, _counters(key, scope, queue), key(bell) if scope.bells else 0)
        args += (key.together(scope.line_keys(queue)), len(tokens))
        args += tokens


def _by_queue(leases: Sequence[Lease]) -> dict[str, list[bytes]]:
    """Return the tokens of leases."""
    if len({lease.queue for lease in leases}) == 1:  # as mostly
        return {leases[0].queue: [lease.token for lease in leases]}
    groups: dict[str, list[bytes]] = {}
    for queue, _, token, _ in leases:
        tokens = groups.get(queue)
        if tokens is None:
            groups[queue] = [token]
        else:
            tokens.append(token)
    return groups


def _add_settlement(
    args: Arguments,
    key: KeyIndex,
    scope: Scope,
    session: SessionId,
    settlement: Settlement,
    *,
    partition_of: Callable[[MessageId], int],
    capped: Collection[str],
) -> None:
    lease, outcome = settlement.lease, settlement.outcome
    partition, queue, keys = lease.partition, lease.queue, scope.keys
    later = outcome in (Outcome.RETRY, Outcome.SNOOZE)
    returns = later or outcome is Outcome.RELEASE
    extended = is_extended(lease.payload)
    rings = returns or extended or queue in capped
    if extended:  # leased where its line stands, but everything else of it is where its id says
        partition = partition_of(lease.message_id)
    args += (
        key(scope.leased(queue, session)),
        _counters(key, scope, queue),
        lease.token,
        int(outcome),
        key(keys.lane(partition, queue, unpack_header(lease.payload).lane)) if returns else 0,
        key(keys.delayed(partition, queue)) if later else 0,
        key(keys.dead(partition, queue)) if outcome is Outcome.DEAD_LETTER else 0,
        key(keys.dead_messages(partition, queue)) if outcome is Outcome.DEAD_LETTER else 0,
        key(keys.bell(queue)) if rings and scope.bells else 0,
        settlement.delay_ms,
        settlement.reason,
    )
    result = settlement.result
    # What would wait again may have been cancelled; then its tombstone has the result.
    may_be_cancelled = outcome not in (Outcome.ACK, Outcome.DEAD_LETTER)
    if result is None and not (may_be_cancelled and _keeps_result(lease)):
        args += (0, -1, b"", b"")
    else:
        # A result lives where its message's id says, which need not be where its lease was.
        args += (
            key(keys.result(partition_of(lease.message_id), lease.message_id)),
            -1 if result is None else result.ttl_ms,
            keys.done_channel(lease.message_id),
            b"" if result is None else result.body,
        )
    args += (key.together(scope.line_keys(queue)) if extended else 0, len(settlement.used))
    for (name, limit_key), units in settlement.used.items():
        args += (f"{name}\0{limit_key}", units)
    args.append(len(settlement.follow_ups))
    for message in settlement.follow_ups:
        _add_follow_up(args, key, scope, message, partition_of(message.message_id))


def _add_history(
    args: Arguments,
    settlement: Settlement,
    session: SessionId,
    history: Callable[[MessageId], int],
    *,
    ttl_ms: int,
) -> None:
    record, lease = record_of(settlement, session), settlement.lease
    if record or was_tried(lease.payload):
        args += (history(lease.message_id), record, MOST_KEPT, ttl_ms)
    else:
        args.append(0)


def _add_events(
    args: Arguments,
    settlement: Settlement,
    session: SessionId,
    stream: Callable[[MessageId], tuple[int, str]],
    *,
    keeping: Keeping,
    now_ms: int,
) -> None:
    if not tells_events(settlement.lease.payload):
        args.append(0)
        return
    words = last_words(settlement, session, at_ms=now_ms or _clock.now_ms())
    args += (
        *stream(settlement.lease.message_id),
        keeping.bound,
        keeping.ttl_ms,
        *told_arguments(words.told),
        words.closing,
        words.if_cancelled,
    )


def _add_follow_up(
    args: Arguments, key: KeyIndex, scope: Scope, message: Enqueue, partition: int
) -> None:
    args += (
        key(scope.keys.lane(partition, message.queue, message.lane)),
        key(scope.keys.delayed(partition, message.queue)),
        _counters(key, scope, message.queue),
        key(scope.keys.bell(message.queue)) if scope.bells else 0,
        key.together(scope.line_keys(message.queue)) if is_extended(message.payload) else 0,
        message.delay_ms,
        message.payload,
    )
