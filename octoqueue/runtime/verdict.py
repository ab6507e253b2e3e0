"""What becomes of a message whose attempt ended: acked, tried again, or dead. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.broker.steering import asked_delay
from octoqueue.errors import Discard, Snooze
from octoqueue.primitives.messages import Outcome

if TYPE_CHECKING:
    from octoqueue.broker.options import ActorOptions
    from octoqueue.primitives.messages import Enqueue

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an attempt is settled."""

    outcome: Outcome
    delay_ms: int = 0
    is_exhausted: bool = False
    """Dead because it has been tried often enough."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended, and what is left of it."""

    verdict: Verdict
    error: BaseException | None = None
    body: bytes | None = None
    """The record of the result, when somebody may ask for it."""
    letters: tuple[Enqueue, ...] = ()
    """What is told of a success, when the message is a step of a workflow."""


ACKED = Verdict(Outcome.ACK)
DEAD = Verdict(Outcome.DEAD_LETTER)
EXHAUSTED = Verdict(Outcome.DEAD_LETTER, is_exhausted=True)
CANCELLED = Verdict(Outcome.CANCEL)
EXPIRED = Verdict(Outcome.EXPIRE)
RELEASED = Verdict(Outcome.RELEASE)


def verdict(
    options: ActorOptions, *, attempt: int, error: BaseException | None, jitter: float
) -> Verdict:
    """Return what becomes of a message.

    Args:
        options: its actor's options.
        attempt: how many executions ended in a retry before this one.
        error: what the actor raised, None when it returned.
        jitter: a random number in [0, 1].
    """
    if error is None or isinstance(error, Discard):
        return ACKED
    if isinstance(error, Snooze):
        return Verdict(Outcome.SNOOZE, error.delay // _MILLISECOND)
    if options.throws and isinstance(error, options.throws):
        return DEAD
    if options.retry_when is not None:
        again = options.retry_when(attempt, error)
    else:
        again = options.retry.allows(attempt)
    if not again:
        return EXHAUSTED
    asked = asked_delay(error)
    if asked is not None:
        return Verdict(Outcome.RETRY, max(asked // _MILLISECOND, 0))
    return Verdict(Outcome.RETRY, options.retry.backoff_ms(attempt, jitter=jitter))
