"""The record of a dead letter: four bytes of length, the payload, the reason. Pure."""

from __future__ import annotations

import struct

from octoqueue.primitives.ids import MessageId
from octoqueue.primitives.messages import DeadLetter

_LENGTH = struct.Struct(">I")


def dead_letter_from(queue: str, ident: bytes, died_at_ms: int, record: bytes) -> DeadLetter:
    """Return the dead letter in a record written by `commit.lua` or `claim.lua`."""
    (length,) = _LENGTH.unpack_from(record)
    end = _LENGTH.size + length
    return DeadLetter(
        message_id=MessageId(ident),
        queue=queue,
        payload=record[_LENGTH.size : end],
        reason=record[end:],
        died_at_ms=died_at_ms,
    )
