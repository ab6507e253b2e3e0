"""The unique keys of the memory store, and its cancelled messages."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from octoqueue.errors import EnvelopeError, KeyTaken
from octoqueue.lanes.answers import Duplicates
from octoqueue.primitives.envelope import extension_of, unpack_header
from octoqueue.primitives.extension import UniqueKey, UniqueMode
from octoqueue.primitives.ids import text_from_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.messages import DeadLetter, Enqueue


class Lock(NamedTuple):
    """Who holds a key."""

    holder: MessageId
    ends_ms: int
    """0: when its holder says so."""


class MemoryUnique:
    """Who holds which unique key."""

    def __init__(self) -> None:
        self._locks: dict[bytes, Lock] = {}
        self._next_end_ms: float = inf
        """No time is over before."""

    def __len__(self) -> int:
        """Return how many locks there are, those whose time is over included."""
        return len(self._locks)

    def prune(self, now_ms: int) -> None:
        """Forget locks whose time is over."""
        if now_ms < self._next_end_ms:
            return
        over = [each for each, lock in self._locks.items() if 0 < lock.ends_ms <= now_ms]
        for digest in over:
            del self._locks[digest]
        self._next_end_ms = min(
            (lock.ends_ms for lock in self._locks.values() if lock.ends_ms), default=inf
        )

    def holder(self, payload: bytes, now_ms: int) -> MessageId | None:
        """Return who holds the key of a message, None when it is free or the message has none."""
        self.prune(now_ms)
        key = unique_key_of(payload)
        lock = None if key is None else self._locks.get(key.digest)
        return None if lock is None else lock.holder

    def divide(
        self, group: Sequence[Enqueue], now_ms: int
    ) -> tuple[list[Enqueue], Duplicates | None]:
        """Return the messages of a group to store, and what there is to say of the others."""
        wanted: list[Enqueue] = []
        existing: dict[MessageId, MessageId] = {}
        own: dict[bytes, MessageId] = {}
        is_other = False
        for message in group:
            key = unique_key_of(message.payload)
            digest = None if key is None else key.digest
            holder = (own.get(digest) if digest else None) or self.holder(message.payload, now_ms)
            if holder is None:
                wanted.append(message)
                if digest is not None:
                    own[digest] = message.message_id
            else:
                existing[message.message_id] = holder
                is_other = is_other or holder != message.message_id
        if not existing:
            return wanted, None
        is_refused = is_other and any(message.refuse_duplicates for message in group)
        return [] if is_refused else wanted, Duplicates(existing, refused=is_refused)

    def taken(self, letters: Sequence[DeadLetter], now_ms: int) -> KeyTaken | None:
        """Return why dead letters cannot wait again together, None when they can."""
        own: dict[bytes, MessageId] = {}
        for letter in letters:
            key = unique_key_of(letter.payload)
            if key is None:
                continue
            holder = own.get(key.digest) or self.holder(letter.payload, now_ms)
            if holder is not None and holder != letter.message_id:
                ident, existing = text_from_id(letter.message_id), text_from_id(holder)
                return KeyTaken(letter.queue, ident, existing=existing)
            own[key.digest] = letter.message_id
        return None

    def take(self, payload: bytes, now_ms: int) -> None:
        """Give a message the key it has, if any; it must be free."""
        key = unique_key_of(payload)
        if key is not None:
            ends_ms = now_ms + key.window_ms if key.mode is UniqueMode.WINDOW else 0
            self._locks[key.digest] = Lock(unpack_header(payload).message_id, ends_ms)
            self._next_end_ms = min(self._next_end_ms, ends_ms or inf)

    def release(self, payload: bytes, *, reached: UniqueMode) -> None:
        """Release what a message holds until here; a window ends by itself."""
        key = unique_key_of(payload)
        if key is None or key.mode > reached:
            return
        lock = self._locks.get(key.digest)
        if lock is not None and lock.holder == unpack_header(payload).message_id:
            del self._locks[key.digest]


def unique_key_of(payload: bytes) -> UniqueKey | None:
    """Return the unique key of a message, None when it has none that can be read."""
    try:
        return extension_of(payload).unique
    except EnvelopeError:
        return None


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A cancelled message that nobody has ended yet."""

    expires_at_ms: int
    result_ttl_ms: int
    result: bytes
