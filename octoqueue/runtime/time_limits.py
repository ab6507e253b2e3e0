"""`TimeLimits`: the time limits and deadlines of what runs in one process."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from octoqueue.runtime.attempt import Attempt
from octoqueue.runtime.deadlines import ASK_AGAIN_SECONDS, Deadlines

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from octoqueue.primitives.clock import Clock

log = logging.getLogger(__name__)

_LATE_SECONDS = 0.1
"""An actor that began this much later than it was claimed has waited for its turn."""


class TimeLimits:
    """Has attempts interrupted whose time is over."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_over: Callable[[Attempt], None],
        *,
        clock: Clock,
    ) -> None:
        self._loop = loop
        self._on_over = on_over
        self._clock = clock
        self.deadlines = Deadlines[Attempt](loop, self._expire)

    def watch(self, attempt: Attempt) -> None:
        """Expect an attempt to end in time. The calls of batches have limits of their own.

        One that has run to where it first waits has spent some of it, and nothing began meanwhile.
        """
        if attempt.deadline_ms is not None:
            self._watch_deadline(attempt, attempt.deadline_ms)
        limit_seconds = attempt.options.time_limit_seconds
        if limit_seconds is not None and attempt.options.batch is None:
            entered = attempt.entered
            spent = 0.0 if entered is None else self._clock.monotonic() - entered
            self.deadlines.add(attempt, limit_seconds, spent_seconds=spent)

    def unwatch(self, attempt: Attempt) -> None:
        """Forget an attempt: it is over."""
        limit_seconds = attempt.options.time_limit_seconds
        if limit_seconds is not None:
            self.deadlines.remove(attempt, limit_seconds)
        if attempt.timer is not None:
            attempt.timer.cancel()

    def clear(self) -> None:
        """Stop all timers."""
        self.deadlines.clear()

    def _expire(self, attempt: Attempt) -> None:
        limit_seconds = attempt.options.time_limit_seconds
        if limit_seconds is None or self._has_waited(attempt, limit_seconds):
            return
        if not attempt.expired:
            log.warning(
                "time_limit_exceeded",
                extra={
                    "actor": attempt.call.actor,
                    "message_id": attempt.context.message_id,
                    "limit_seconds": limit_seconds,
                },
            )
        attempt.expired = True
        self._on_over(attempt)

    def _has_waited(self, attempt: Attempt, limit_seconds: float) -> bool:
        """Whether its limit is not over because it had to wait for its turn: it is asked again."""
        if attempt.entered is None:
            return True
        late = attempt.entered - attempt.began > _LATE_SECONDS
        return late and self._clock.monotonic() - attempt.entered < limit_seconds

    def _watch_deadline(self, attempt: Attempt, deadline_ms: int) -> None:
        left_seconds = (deadline_ms - self._clock.now_ms()) / 1000
        attempt.timer = self._loop.call_later(
            max(left_seconds, 0.001), self._pass_deadline, attempt
        )

    def _pass_deadline(self, attempt: Attempt) -> None:
        """Stop an attempt whose deadline is over, and tell it again until it ends."""
        if not attempt.overdue:
            facts = {"actor": attempt.call.actor, "message_id": attempt.context.message_id}
            log.warning("deadline_exceeded", extra=facts)
        attempt.overdue = True
        self._on_over(attempt)
        attempt.timer = self._loop.call_later(ASK_AGAIN_SECONDS, self._pass_deadline, attempt)
