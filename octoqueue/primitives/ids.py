"""Ids: time-ordered, opaque, and carrying the slot that places them in a partition.

A message id is a uuid7 (RFC 9562) of 16 bytes, written outside as the usual 36 characters. The
last two bytes of every id are its *affinity*: two ids with equal affinity belong to the same
partition for any number of partitions, so a follow-up message takes its parent's affinity and can
be committed together with the parent's ack in one slot. 58 random bits a millisecond remain.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, NewType

from uuid_utils import uuid7

MessageId = NewType("MessageId", bytes)
"""The 16 raw bytes of a message's id."""

ID_BYTES = 16
AFFINITY_BYTES = 2


def new_message_id(*, beside: bytes | None = None) -> MessageId:
    """Return a new time-ordered id; with `beside`, one of the same affinity.

    `beside` is another id, or a digest of whatever is to decide the partition: its end counts.
    """
    fresh = uuid7().bytes
    if beside is not None:
        fresh = fresh[:-AFFINITY_BYTES] + beside[-AFFINITY_BYTES:]
    return MessageId(fresh)


def new_id_and_text(beside: bytes | None = None) -> tuple[MessageId, str]:
    """Return a new id, as `new_message_id` makes it, and its canonical form."""
    if beside is not None:
        ident = new_message_id(beside=beside)
        return ident, text_from_id(ident)
    fresh = uuid7()
    raw: Any = fresh.bytes  # typed so, as a `NewType` is a call
    return raw, str(fresh)


def affinity_of_name(name: str) -> bytes:
    """Return what stands at the end of the ids of messages that belong to a name."""
    return blake2b(name.encode(), digest_size=AFFINITY_BYTES).digest()


def text_from_id(message_id: MessageId) -> str:
    """Return the canonical 36-character form."""
    h = message_id.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


def id_from_text(text: str) -> MessageId | None:
    """Return the id written by `text`, or None when it is not a UUID in canonical form."""
    try:
        found = MessageId(bytes.fromhex(text.replace("-", "")))
    except (ValueError, AttributeError, TypeError):
        return None
    # Only one spelling may name a message: lower case, dashes in their places.
    return found if len(found) == ID_BYTES and text_from_id(found) == text else None


def affinity(message_id: MessageId) -> int:
    """Return the 16-bit affinity of an id."""
    return (message_id[-2] << 8) | message_id[-1]
