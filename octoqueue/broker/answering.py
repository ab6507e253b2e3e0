"""`AnsweringBroker`: sends, and what senders get back: handles, results, events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from octoqueue.broker.administration import AdministeredBroker
from octoqueue.broker.context import current_message
from octoqueue.broker.following import PATIENCE, following
from octoqueue.broker.handles import MessageHandle, handle_from
from octoqueue.broker.unique import refusal_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from datetime import timedelta

    from dramatiq.message import Message

    from octoqueue.broker.claim_checks import ClaimChecks
    from octoqueue.broker.enveloping import Enveloper
    from octoqueue.lanes.answers import Duplicates
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.events import Event
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.messages import Enqueue, ResultRecord


class AnsweringBroker(AdministeredBroker):
    """Binds handles to what was stored, and waits for what comes of it."""

    claim_checks: ClaimChecks
    _enveloper: Enveloper

    async def _send(self, group: Sequence[Enqueue]) -> Duplicates | None:
        if not group:
            return None
        place = self._stores.found() or await self._stores.here()
        duplicates = await place[1].enqueue(group)
        if duplicates is not None and duplicates.refused:
            raise refusal_of(duplicates, group)
        return duplicates

    async def hand_in(self, group: Sequence[Enqueue]) -> None:
        """Enqueue envelopes, all or none: now, also inside an actor, and no middleware is asked.

        Raises:
            LaneFull: there is no room; nothing was stored.
            StoreUnavailable: whether they were stored is unknown.
        """
        await self._send(group)

    def _handles(
        self,
        messages: Sequence[Message[Any]],
        group: Sequence[Enqueue],
        duplicates: Duplicates | None,
    ) -> list[MessageHandle[Any]]:
        if duplicates is None and all(type(message) is MessageHandle for message in messages):
            handles = cast("list[MessageHandle[Any]]", messages)
            return [
                handle.sent_by(self, sent.message_id)
                for handle, sent in zip(handles, group, strict=True)
            ]
        return [
            self._handle(message, sent, duplicates)
            for message, sent in zip(messages, group, strict=True)
        ]

    def _handle(
        self, message: Message[Any], sent: Enqueue, duplicates: Duplicates | None
    ) -> MessageHandle[Any]:
        handle = message if isinstance(message, MessageHandle) else handle_from(message)
        ident = sent.message_id
        handle.sent_by(self, ident)
        if duplicates is not None and ident in duplicates.existing:
            return handle.standing_for(duplicates.existing[ident])
        return handle

    def keeps_result(self, message: Message[Any]) -> bool:
        """Return whether somebody may ask for the result of a message."""
        return self._enveloper.keeps_result(message)

    async def stored_result(self, ident: MessageId, timeout: timedelta) -> bytes | None:
        """Wait for a result; None when there was none in time."""
        store, ident = await self._found(ident)
        body = await store.wait_for_result(ident, timeout=timeout)
        return None if body is None else await self.claim_checks.redeemed(body)

    def kept_result(self, actor_name: str, record: ResultRecord, ident: MessageId) -> ResultRecord:
        """Return what is kept of a result in dramatiq's worker; blocks when it is large.

        Raises:
            ResultTooLarge: it can be kept nowhere.
            StoreError: the object store does not take it.
        """
        self.claim_checks.require_fitting(actor_name, record.body)
        if not self.claim_checks.is_too_large(record):
            return record
        return self._portal.run(self.claim_checks.deposited(record, ident))

    def events(
        self, message_id: str, *, timeout: timedelta | None = PATIENCE, since: str | None = None
    ) -> AsyncGenerator[Event]:
        """Follow what a message tells: what is kept first, then what comes, until it has ended.

        Args:
            message_id: the message's id.
            timeout: how long to wait for the next event; None for ever.
            since: the id of the last event that is known, to go on after it.

        Raises:
            InvalidMessage: `message_id` or `since` is none.
            EventTimeout: nothing was told within `timeout`.
        """
        return following(self._found, message_id, timeout=timeout, since=since)

    def tells_events(self, message: Message[Any]) -> bool:
        """Return whether a message may tell events."""
        return self._enveloper.tells_events(message)

    async def _found(self, ident: MessageId) -> tuple[LaneStore, MessageId]:
        """Return the store of a message that somebody waits for, and the id to ask for there.

        Waiting inside an actor for a message that would leave with this actor's ack sends it now;
        it is another's id then, when that one holds its unique key.
        """
        context = current_message()
        kept = None if context is None else context.give_up(ident)
        if context is not None and kept is not None:
            try:
                duplicates = await self._send([kept])
            except BaseException:
                context.carry([kept])
                raise
            if duplicates is not None:
                ident = duplicates.existing.get(ident, ident)
        return await self.opened_store(), ident
