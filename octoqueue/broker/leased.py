"""`LeasedMessage`: a message in dramatiq's own worker, with all that is committed at its end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import orjson
from dramatiq.broker import MessageProxy

from octoqueue.broker.completions import completed, ended, is_step
from octoqueue.broker.encoding import sealed
from octoqueue.broker.records import reason_of, types_of
from octoqueue.broker.sending_clock import SENDING_CLOCK
from octoqueue.broker.translate import message_from
from octoqueue.errors import MessageExpired, MessageRejected
from octoqueue.primitives.envelope import (
    MAX_ATTEMPT,
    Flag,
    encode_body,
    extension_block,
    pack_header,
)
from octoqueue.primitives.messages import Enqueue, Outcome, ResultRecord, Settlement

if TYPE_CHECKING:
    from octoqueue.primitives.envelope import Call, Header
    from octoqueue.primitives.messages import Lease


class LeasedMessage(MessageProxy):
    """A message with the lease it is settled by.

    dramatiq's `Retries` enqueues the message again before it acks it. Here both are one commit: a
    crash in between can neither lose nor double it, and a full lane cannot refuse the retry.
    """

    def __init__(self, lease: Lease, header: Header, call: Call) -> None:
        super().__init__(message_from(header, call))  # pyright: ignore[reportUnknownMemberType] - dramatiq's
        self.lease = lease
        self.header = header
        self.call = call
        self.follow_ups: list[Enqueue] = []
        self.last_words: Enqueue | None = None
        """For the actor named by `on_dead_letter`."""
        self.result: ResultRecord | None = None
        self.letters: tuple[Enqueue, ...] | None = None
        """What is told of its success when it is a step of a workflow; None: it gave nothing."""
        self._retry_reason = b""

    @property
    def keeps_result(self) -> bool:
        """Whether somebody may ask for the result."""
        return bool(self.header.flags & Flag.KEEP_RESULT)

    @property
    def error(self) -> BaseException | None:
        """What dramatiq's worker has stuffed into it."""
        found: BaseException | None = getattr(self, "_exception", None)
        return found

    def again(self, delay_ms: int) -> Enqueue:
        """Have the message run once more, decided with its ack; return what will be enqueued."""
        options = {name: value for name, value in self.options.items() if name != "traceback"}
        attempt = min(int(options.get("retries", self.header.attempt + 1)), MAX_ATTEMPT)
        header = self.header._replace(deliveries=0, attempt=attempt)
        call = sealed(self.call._replace(options=options), self.message_id)
        body = encode_body(call, limit_bytes=sys.maxsize)
        retry = Enqueue(
            queue=self.lease.queue,
            lane=header.lane,
            payload=pack_header(header) + extension_block(self.lease.payload) + body,
            delay_ms=delay_ms,
        )
        self.follow_ups.append(retry)
        self._retry_reason = b"{}" if self.error is None else orjson.dumps(reason_of(self.error))
        return retry

    def settlement(self, outcome: Outcome, *, reason: bytes = b"") -> Settlement:
        """Return how its lease ends."""
        if outcome is Outcome.RELEASE:
            return Settlement(lease=self.lease, outcome=outcome)
        last_words = () if self.last_words is None else (self.last_words,)
        letters = self._letters(outcome) if is_step(self.call) else ()
        return Settlement(
            lease=self.lease,
            outcome=outcome,
            reason=reason or self._retry_reason,
            result=self.result,
            follow_ups=(*self.follow_ups, *last_words, *letters),
        )

    def _letters(self, outcome: Outcome) -> tuple[Enqueue, ...]:
        """Return what is told of its end; nothing when it is to run once more."""
        now_ms = SENDING_CLOCK.now_ms()
        if outcome is not Outcome.ACK:
            error = self.error or (
                MessageExpired() if outcome is Outcome.EXPIRE else MessageRejected()
            )
            record: dict[str, Any] = {**reason_of(error), "types": types_of(error)}
            return ended(self.call, self.lease.payload, outcome, record, now_ms=now_ms)
        if any(again.message_id == self.header.message_id for again in self.follow_ups):
            return ()
        if self.letters is not None:
            return self.letters
        return completed(
            self.call, self.lease.payload, None, now_ms=now_ms, limit_bytes=sys.maxsize
        )
