"""`Once`: how a store knows that a message it is sent again is one it has had already.

A relay reads a row, enqueues its message and deletes the row. Dying in between, it leaves a row
whose message may have been enqueued, run and ended long ago; so the store remembers the id:

    enqueued  ──  in doubt: the row may still be there       remembered for `IN_DOUBT`
    settled   ──  the row is gone, nobody will read it again  remembered for `SETTLED` more

`SETTLED` is for a relay that read the row before it was deleted and was held up: its call carries
the moment after which the store refuses it (`not_after_ms`, `SEND_WITHIN` after the store's clock
was read and *before* the row was), which is long before the id is forgotten.

So one message results of a row, unless the row outlives its enqueueing by `IN_DOUBT` (a database
that is gone for a week), the store loses its memory, or its clock is set back by more than
`SETTLED` minus `SEND_WITHIN`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from octoqueue.primitives.ids import MessageId

SEND_WITHIN = timedelta(seconds=15)
SETTLED = timedelta(seconds=60)
IN_DOUBT = timedelta(days=7)

_MILLISECOND = timedelta(milliseconds=1)
_TIMES = struct.Struct(">QQQ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """What goes with messages that may have been sent before."""

    not_after_ms: int
    """By the store's clock; later it stores nothing."""
    settled: tuple[MessageId, ...] = ()
    """Messages of earlier calls that nobody will send again."""

    def packed(self, settled: tuple[MessageId, ...]) -> bytes:
        """Return what the script reads, with those of the settled that concern its call."""
        times = (self.not_after_ms, IN_DOUBT // _MILLISECOND, SETTLED // _MILLISECOND)
        return _TIMES.pack(*times) + b"".join(settled)
