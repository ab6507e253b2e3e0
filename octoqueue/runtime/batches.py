"""`Collection`: the messages of a batch, and when its call is due. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from octoqueue.broker.batch_option import Batch

T = TypeVar("T")


class Collection(Generic[T]):
    """Messages on their way into one call, in the order they were claimed."""

    def __init__(self, batch: Batch, *, now_seconds: float) -> None:
        self._max_size = batch.max_size
        self._members: dict[T, None] = {}
        self.due_at_seconds = now_seconds + batch.max_wait.total_seconds()
        """When its first message has waited long enough."""

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._members)

    @property
    def members(self) -> list[T]:
        """The messages, first claimed first."""
        return list(self._members)

    @property
    def is_full(self) -> bool:
        """Whether one more would be too many."""
        return len(self._members) >= self._max_size

    def add(self, member: T) -> None:
        """Have a message join.

        Raises:
            ValueError: it is full.
        """
        if self.is_full:
            raise ValueError("the batch is full")
        self._members[member] = None

    def remove(self, member: T) -> bool:
        """Have a message leave; False when it is not here."""
        if member not in self._members:
            return False
        del self._members[member]
        return True

    def is_due(self, now_seconds: float) -> bool:
        """Whether the call is to begin: it is full, or its first message has waited enough."""
        return bool(self._members) and (self.is_full or now_seconds >= self.due_at_seconds)
