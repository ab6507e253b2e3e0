"""From a lease to an attempt, or to the dead letters when it cannot be one. Pure."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from octoqueue.broker.batch_option import check_batch_call
from octoqueue.broker.context import MessageContext
from octoqueue.broker.encoding import opened
from octoqueue.broker.executables import proxy_from
from octoqueue.broker.expiring import Ends, ends_of, too_late
from octoqueue.broker.records import reason_of
from octoqueue.errors import (
    MessageExpired,
    OctoqueueError,
    PoisonMessage,
)
from octoqueue.primitives.envelope import (
    Call,
    Header,
    decode_body,
    has_good_header,
    unpack_header,
    was_lost,
)
from octoqueue.runtime.attempt import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.broker.executables import Executable
    from octoqueue.broker.options import ActorOptions
    from octoqueue.primitives.messages import Lease


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unfit:
    """A message that is not run."""

    lease: Lease
    header: Header | None
    call: Call | None
    executable: Executable | None
    error: str
    message: str
    dropped: bool = False
    """It came too late: it is no dead letter, just gone."""


def attempt_from(
    lease: Lease,
    *,
    find: Callable[[str], Executable],
    max_deliveries: int,
    now_ms: int,
    began: float,
) -> Attempt | Unfit:
    """Return the attempt for a lease, or why there is none.

    A message that cannot be decoded, names an unknown actor, is older than its actor allows, or has
    taken down `max_deliveries` workers is unfit, and so is one whose own options are impossible.
    """
    payload = lease.payload
    call: Call | None = None
    try:
        if not has_good_header(payload):
            unpack_header(payload)  # says what is wrong
        call = decode_body(payload)
        if call.encoded is not None:
            call = opened(call)
        executable = find(call.actor)
        if executable.is_simple and not call.options and not was_lost(payload):
            context = MessageContext(lease, call, now_ms)
            return Attempt(lease, call, executable, executable.options, context, began)
        return _attempt_with(
            lease, call, executable, max_deliveries=max_deliveries, now_ms=now_ms, began=began
        )
    except OctoqueueError as error:
        return _unfit(lease, call, None, error)
    except Exception as error:
        # A broken middleware or options nobody foresaw: the others must run.
        log.exception("message_unfit")
        return _unfit(lease, call, None, error)


def _attempt_with(
    lease: Lease,
    call: Call,
    executable: Executable,
    *,
    max_deliveries: int,
    now_ms: int,
    began: float,
) -> Attempt | Unfit:
    """Return the attempt of a message at which there is something to look."""
    own = call.options
    options = executable.options_for(own) if own else executable.options
    if options.batch is not None:
        check_batch_call(call.actor, call.args, call.kwargs)
    ends = ends_of(call, options.expires_ms) if own or options.expires_ms is not None else None
    deliveries = unpack_header(lease.payload).deliveries
    if deliveries >= max_deliveries:
        return _unfit(lease, call, executable, PoisonMessage(deliveries))
    late = _too_late(call, options, ends, now_ms)
    if late is not None:
        dropped = ends is not None and now_ms >= ends.first_ms
        return _unfit(lease, call, executable, late, dropped=dropped)
    context = MessageContext(lease, call, now_ms)
    attempt = Attempt(lease, call, executable, options, context, began)
    if ends is not None:
        attempt.ends_ms, attempt.deadline_ms = ends.first_ms, ends.deadline_ms
    attempt.hooks = executable.hooks_for(own) or None
    if attempt.hooks is not None or executable.shows_message:
        attempt.message = proxy_from(attempt.header, call)
    return attempt


def _unfit(
    lease: Lease,
    call: Call | None,
    executable: Executable | None,
    error: Exception,
    *,
    dropped: bool = False,
) -> Unfit:
    said = reason_of(error)
    header = unpack_header(lease.payload) if has_good_header(lease.payload) else None
    return Unfit(lease, header, call, executable, said["error"], said["message"], dropped)


def _too_late(
    call: Call, options: ActorOptions, ends: Ends | None, now_ms: int
) -> OctoqueueError | None:
    """Return why a message is not begun any more, None while it may be."""
    late = None if ends is None else too_late(ends, now_ms=now_ms)
    max_age = options.max_age
    if late is not None or max_age is None:
        return late
    is_old = now_ms - call.created_at_ms >= max_age.total_seconds() * 1000
    return MessageExpired(f"it is older than {max_age}") if is_old else None
