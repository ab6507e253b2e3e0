"""For whoever looks for messages, moves or replays them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors.root import OctoqueueError
from octoqueue.errors.sending import EnqueueError

if TYPE_CHECKING:
    from collections.abc import Sequence


class EnvelopeError(OctoqueueError):
    """These bytes are no envelope of ours."""


class NotReplayable(EnvelopeError):
    """A dead letter is no envelope, so it cannot run again."""

    def __init__(self, queue: str, message_id: str) -> None:
        super().__init__(
            f"dead letter {message_id} of queue {queue!r} cannot be decoded, so it cannot be "
            "replayed; it can be purged"
        )
        self.queue = queue
        self.message_id = message_id


class KeyTaken(EnqueueError):
    """A dead letter cannot be replayed: another message holds its unique key."""

    retryable = True

    def __init__(self, queue: str, message_id: str, *, existing: str) -> None:
        super().__init__(
            f"dead letter {message_id} of queue {queue!r} cannot be replayed while message "
            f"{existing} holds its unique key"
        )
        self.queue = queue
        self.message_id = message_id
        self.existing = existing
        """The id of the message that holds the key."""


class NotThere(OctoqueueError):
    """What was named does not exist (any more)."""


class QueueUnknown(NotThere):
    """Nothing was ever put into a queue of that name."""

    def __init__(self, queue: str, *, known: Sequence[str] = ()) -> None:
        listed = ", ".join(known) or "none"
        super().__init__(
            f"nothing was ever put into a queue called {queue!r} (there are: {listed})"
        )
        self.queue = queue


class MessageUnknown(NotThere):
    """No message of that id is kept anywhere."""

    def __init__(self, message_id: str) -> None:
        super().__init__(
            f"no message {message_id} waits, runs or is dead: it has ended, or never was, "
            "or is in another namespace"
        )
        self.message_id = message_id


class DeadLetterUnknown(NotThere):
    """A queue has no dead letter of that id (any more)."""

    def __init__(self, queue: str, message_id: str) -> None:
        super().__init__(f"queue {queue!r} has no dead letter {message_id}")
        self.queue = queue
        self.message_id = message_id


class ScheduleUnknown(NotThere):
    """No schedule of that name is declared."""

    def __init__(self, schedule: str, *, known: Sequence[str] = ()) -> None:
        listed = ", ".join(known) or "none"
        super().__init__(f"no schedule named {schedule!r} is declared here (declared: {listed})")
        self.schedule = schedule


class NotWaiting(OctoqueueError):
    """A message does not wait and is not delayed, so it cannot be moved."""

    def __init__(self, message_id: str, *, state: str) -> None:
        super().__init__(f"message {message_id} cannot be moved: it is {state}")
        self.message_id = message_id
        self.state = state
        """Where it is instead: running, dead, finished or unknown."""
