"""`DrainReport`: what ran in a drain, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from octoqueue.broker.encoding import opened
from octoqueue.errors import ActorFailed, EnvelopeError
from octoqueue.primitives.envelope import decode_body, unpack_header
from octoqueue.primitives.ids import text_from_id
from octoqueue.primitives.messages import Outcome
from octoqueue.testing.enqueued import called

if TYPE_CHECKING:
    from octoqueue.testing.kit_store import Ended

_FAILURES = frozenset({Outcome.RETRY, Outcome.DEAD_LETTER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One attempt, from its claim to its end."""

    message_id: str
    actor: str
    """Empty when the message could not be decoded."""
    queue: str
    lane: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    attempt: int
    """0 for the first."""
    outcome: Outcome
    error: BaseException | None = None
    """What ended it, when that was not a return: also a wish such as `Retry`."""
    is_failure: bool = False
    """Whether it failed; a wish is no failure."""
    due_in: timedelta = timedelta(0)
    """How long it waits before its next attempt."""

    def __str__(self) -> str:
        """Return it as a call with its outcome."""
        told = f"{called(self.actor, self.args, self.kwargs)}  {self.outcome.name.lower()}"
        return told if self.error is None else f"{told}: {self.error!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainReport:
    """What ran, in the order in which it ended."""

    ran: tuple[Ran, ...]

    def of(self, outcome: Outcome) -> list[Ran]:
        """Return the attempts that ended in one way."""
        return [one for one in self.ran if one.outcome is outcome]

    @property
    def acked(self) -> list[Ran]:
        """Those that are done."""
        return self.of(Outcome.ACK)

    @property
    def retried(self) -> list[Ran]:
        """Those that will be tried again; `advance` the clock to when they are due."""
        return self.of(Outcome.RETRY)

    @property
    def snoozed(self) -> list[Ran]:
        """Those that asked to be run later."""
        return self.of(Outcome.SNOOZE)

    @property
    def dead(self) -> list[Ran]:
        """Those that are among the dead letters now."""
        return self.of(Outcome.DEAD_LETTER)

    @property
    def cancelled(self) -> list[Ran]:
        """Those that somebody has cancelled while they ran."""
        return self.of(Outcome.CANCEL)

    @property
    def expired(self) -> list[Ran]:
        """Those that came too late to be run."""
        return self.of(Outcome.EXPIRE)

    @property
    def errors(self) -> list[BaseException]:
        """What the failures failed with."""
        return [one.error for one in self.ran if one.is_failure and one.error is not None]

    def __str__(self) -> str:
        """Return a line for each attempt."""
        return "\n".join(map(str, self.ran)) or "nothing ran"


def ran_from(ended: Ended, error: BaseException | None, *, is_wish: bool) -> Ran:
    """Return what is reported of a lease that ended, with the error of its attempt if it has one.

    A message that died without running has none: its reason becomes an `ActorFailed`.
    """
    lease, outcome = ended.lease, ended.outcome
    if error is None and outcome is Outcome.DEAD_LETTER:
        reason = orjson.loads(ended.reason)
        error = ActorFailed(
            message_id=text_from_id(lease.message_id),
            error=reason["error"],
            detail=reason["message"],
        )
    is_failure = error is not None and not is_wish and outcome in _FAILURES
    due_in = timedelta(milliseconds=ended.delay_ms)
    header = unpack_header(lease.payload)
    try:
        call = opened(decode_body(lease.payload))
    except EnvelopeError:
        message_id, actor, args, kwargs = text_from_id(header.message_id), "", (), dict[str, Any]()
    else:
        message_id, actor = call.message_id(header), call.actor
        args, kwargs = tuple(call.args), call.kwargs
    return Ran(
        message_id=message_id,
        actor=actor,
        queue=lease.queue,
        lane=header.lane.label,
        args=args,
        kwargs=kwargs,
        attempt=header.attempt,
        outcome=outcome,
        error=error,
        is_failure=is_failure,
        due_in=due_in,
    )
