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
from octoqueue.primitives.envelope import Call, Header, decode_body, unpack_header
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
    header: Header | None = None
    call: Call | None = None
    try:
        header = unpack_header(lease.payload)
        call = decode_body(lease.payload)
        if call.encoded is not None:
            call = opened(call)
        executable = find(call.actor)
        options = executable.options_for(call.options) if call.options else executable.options
        if options.batch is not None:
            check_batch_call(call.actor, call.args, call.kwargs)
        ends = (
            ends_of(call, options.expires_ms)
            if call.options or options.expires_ms is not None
            else None
        )
    except OctoqueueError as error:
        return _unfit(lease, header, call, None, error)
    except Exception as error:
        # A broken middleware or options nobody foresaw: the others must run.
        log.exception("message_unfit")
        return _unfit(lease, header, call, None, error)
    if header.deliveries >= max_deliveries:
        return _unfit(lease, header, call, executable, PoisonMessage(header.deliveries))
    limited = ends is not None or options.max_age is not None
    if limited and (late := _too_late(call, options, ends, now_ms)) is not None:
        dropped = ends is not None and now_ms >= ends.first_ms
        return _unfit(lease, header, call, executable, late, dropped=dropped)
    context = MessageContext(lease, header, call, started_at_ms=now_ms)
    attempt = Attempt(
        lease,
        header=header,
        call=call,
        executable=executable,
        options=options,
        context=context,
        began=began,
    )
    if ends is not None:
        attempt.ends_ms, attempt.deadline_ms = ends.first_ms, ends.deadline_ms
    hooks = executable.hooks_for(call.options) if call.options else executable.hooks
    if hooks:
        attempt.hooks = hooks
        attempt.message = proxy_from(header, call)
    elif executable.shows_message:
        attempt.message = proxy_from(header, call)
    return attempt


def _unfit(
    lease: Lease,
    header: Header | None,
    call: Call | None,
    executable: Executable | None,
    error: Exception,
    *,
    dropped: bool = False,
) -> Unfit:
    said = reason_of(error)
    return Unfit(lease, header, call, executable, said["error"], said["message"], dropped)


def _too_late(
    call: Call, options: ActorOptions, ends: Ends | None, now_ms: int
) -> OctoqueueError | None:
    """Return why a message is not begun any more, None while it may be."""
    late = too_late(ends, now_ms=now_ms)
    if late is not None:
        return late
    max_age = options.max_age
    if max_age is not None and now_ms - call.created_at_ms >= max_age.total_seconds() * 1000:
        return MessageExpired(f"it is older than {max_age}")
    return None
