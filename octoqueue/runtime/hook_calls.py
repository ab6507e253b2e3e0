"""`HookCalls`: dramatiq's hooks around one attempt, alone or in a batch. They may block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.primitives.messages import Outcome

if TYPE_CHECKING:
    from octoqueue.runtime.attempt import Attempt
    from octoqueue.runtime.endings import Endings


class HookCalls:
    """Calls the hooks of attempts that have some."""

    def __init__(self, endings: Endings) -> None:
        self._endings = endings

    def begin(self, attempt: Attempt) -> bool:
        """Call the hooks before an actor; return whether it is to run."""
        hooks, message = attempt.hooks, attempt.message
        assert hooks is not None  # noqa: S101 - only called when there are hooks
        assert message is not None  # noqa: S101 - made with the hooks
        try:
            entered = hooks.before_process(message)
        except BaseException as refused:  # noqa: BLE001 - as if the actor had raised it
            attempt.ending = self._endings.judge(attempt, None, refused)
            self.conclude(attempt, None)
            return False
        if entered and not message.failed:
            return True
        attempt.ending = self._endings.judge(attempt, None, None)
        if entered:
            self.conclude(attempt, None)
        else:
            self._settle(attempt)
        return False

    def conclude(self, attempt: Attempt, result: object) -> None:
        """Call the hooks after an actor, whose ending is known."""
        hooks, message, ending = attempt.hooks, attempt.message, attempt.ending
        if hooks is None or message is None or ending is None:
            return
        if ending.verdict.outcome is not Outcome.RELEASE:
            hooks.after_process(message, result=result, exception=ending.error)
            self._settle(attempt)

    def _settle(self, attempt: Attempt) -> None:
        hooks, message, ending = attempt.hooks, attempt.message, attempt.ending
        if hooks is None or message is None or ending is None:
            return
        if message.failed:
            ending = attempt.ending = self._endings.rejected(attempt, ending)
        if ending.verdict.outcome is Outcome.RETRY:
            delay_ms = ending.verdict.delay_ms
            hooks.retried(message, attempt=attempt.header.attempt + 1, delay_ms=delay_ms)
        hooks.settled(message, dead=ending.verdict.outcome is Outcome.DEAD_LETTER)
