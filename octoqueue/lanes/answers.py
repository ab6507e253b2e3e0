"""What a lane store answers, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octoqueue.errors import LaneFull
    from octoqueue.primitives.ids import MessageId


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Messages of a group that were not stored, because other messages hold their unique keys."""

    existing: Mapping[MessageId, MessageId]
    """The message that holds the key, by the id of the one that was not stored. They are equal when
    a message was sent again that is still there."""
    refused: bool = False
    """Whether nothing of the group was stored, because it wants no duplicates."""

    def joined(self, other: Duplicates) -> Duplicates:
        """Return what both say of one group."""
        existing = {**self.existing, **other.existing}
        return replace(self, existing=existing, refused=self.refused or other.refused)


EnqueueAnswer: TypeAlias = "LaneFull | Duplicates | None"
"""What became of a group: None when all of it was stored."""


class CancelOutcome(StrEnum):
    """What cancelling a message did."""

    REMOVED = "removed"
    """It had not been started, and it never will be."""
    STOPPING = "stopping"
    """A worker runs it and was told; it does not run again, whatever that worker does."""
    DEAD = "dead"
    """It is a dead letter; nothing was done."""
    FINISHED = "finished"
    """It has ended; nothing was done."""
    UNKNOWN = "unknown"
    """Nobody knows it: it never was, or it ended and left no result. Nothing was done."""
