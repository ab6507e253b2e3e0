"""For whoever waits for the result or the events of a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors.root import OctoqueueError

if TYPE_CHECKING:
    from collections.abc import Sequence


class ResultError(OctoqueueError):
    """A result cannot be given."""

    def __init__(self, message: str, *, message_id: str) -> None:
        super().__init__(message)
        self.message_id = message_id


class ResultNotKept(ResultError):
    """The actor does not keep results; declare it with `results=True`."""


class ResultTimeout(ResultError):
    """No result arrived within the time given."""

    retryable = True


class EventsNotKept(ResultError):
    """The actor tells no events; declare it with `events=True`."""


class EventTimeout(ResultError):
    """No event arrived within the time given."""

    retryable = True


class ActorFailed(ResultError):
    """The actor raised on its last attempt."""

    def __init__(
        self,
        *,
        message_id: str,
        error: str,
        detail: str,
        trace: str = "",
        types: Sequence[str] = (),
    ) -> None:
        super().__init__(f"message {message_id} failed: {error}: {detail}", message_id=message_id)
        self.error = error
        """Class name of what the actor raised."""
        self.detail = detail
        """Its message."""
        self.trace = trace
        """Its traceback as text, empty when unknown (a poison stop has none)."""
        self.types = tuple(types)
        """Full names of its class and the classes above, empty when unknown."""

    def is_a(self, error: type[BaseException]) -> bool:
        """Whether what the actor raised was one of these, as `except` would have it."""
        if self.types:
            return f"{error.__module__}.{error.__qualname__}" in self.types
        return error.__name__ == self.error and error.__module__ == ResultError.__module__
