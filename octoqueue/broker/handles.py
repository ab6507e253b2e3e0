"""`MessageHandle`: what a sender gets back; a dramatiq `Message` that can wait for its result."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import orjson
from dramatiq.common import q_name
from dramatiq.message import Message

from octoqueue.broker.following import PATIENCE
from octoqueue.errors import (
    ActorFailed,
    EventsNotKept,
    InvalidMessage,
    ResultNotKept,
    ResultTimeout,
)
from octoqueue.primitives.ids import text_from_id

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from dramatiq.broker import Broker

    from octoqueue.lanes.answers import CancelOutcome
    from octoqueue.primitives.events import Event
    from octoqueue.primitives.ids import MessageId

R_co = TypeVar("R_co", covariant=True)

_new: Callable[[Any], Any] = object.__new__


def handle_from(message: Message[R_co]) -> MessageHandle[R_co]:
    """Return a handle with the fields of a plain message."""
    return MessageHandle(
        queue_name=message.queue_name,
        actor_name=message.actor_name,
        args=message.args,
        kwargs=message.kwargs,
        options=message.options,
        message_id=message.message_id,
        message_timestamp=message.message_timestamp,
    )


def new_handle(  # noqa: PLR0917 - one is made for every message: all by position
    queue_name: str,
    actor_name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: dict[str, Any],
    message_id: str,
    header_id: MessageId | None,
    message_timestamp: int,
    broker: Broker,
) -> MessageHandle[Any]:
    """Return the handle of a message of an actor of `broker`.

    The same as calling the class, without what a frozen dataclass does to set each field.
    """
    handle: MessageHandle[Any] = _new(MessageHandle)
    fields = handle.__dict__
    fields["queue_name"] = queue_name
    fields["actor_name"] = actor_name
    fields["args"] = args
    fields["kwargs"] = kwargs
    fields["options"] = options
    fields["message_id"] = message_id
    fields["message_timestamp"] = message_timestamp
    fields["header_id"] = header_id
    fields["_broker"] = broker
    return handle


class Follows(Protocol):
    """What a handle needs of its broker to follow events."""

    def events(
        self, message_id: str, *, timeout: timedelta | None, since: str | None
    ) -> AsyncGenerator[Event]:
        """Follow a message."""
        ...

    def tells_events(self, message: Message[Any]) -> bool:
        """Return whether a message may tell events."""
        ...


class Waits(Protocol):
    """What a handle needs of its broker to wait for its result."""

    def keeps_result(self, message: Message[Any]) -> bool:
        """Return whether somebody may ask for the result of a message."""
        ...

    async def stored_result(self, ident: MessageId, timeout: timedelta) -> bytes | None:
        """Wait for a result; None when there was none in time."""
        ...


class Cancels(Protocol):
    """What a handle needs of its broker to cancel its message."""

    async def acancel_stored(
        self, ident: MessageId, reason: str, *, queue: str | None, result_ttl: timedelta
    ) -> CancelOutcome:
        """Cancel a message."""
        ...

    def cancel_stored(
        self, ident: MessageId, reason: str, *, queue: str | None, result_ttl: timedelta
    ) -> CancelOutcome:
        """Cancel a message; blocks."""
        ...

    def result_ttl_of(self, actor_name: str) -> timedelta:
        """Return how long the results of an actor are kept."""
        ...


class MessageHandle(Message[R_co]):
    """A message that was accepted.

    It equals the plain message with its fields, such as one decoded from `encode()`, and reads in
    logs as one.
    """

    def __eq__(self, other: object) -> bool:
        """Whether the other is the same message, whatever it is held in."""
        if not isinstance(other, Message):
            return NotImplemented
        return self.asdict() == other.asdict()

    def __hash__(self) -> int:
        """Equal messages have one id."""
        return hash(self.message_id)

    def __repr__(self) -> str:
        """Return what the plain message would be written as."""
        fields = ", ".join(f"{name}={value!r}" for name, value in self.asdict().items())
        return f"{Message.__name__}({fields})"

    header_id: MessageId | None = None
    """The bytes of its id, when they are at hand: what it was made with."""
    _broker: Broker | None = None
    _ident: MessageId | None = None
    _duplicate = False

    @property
    def broker(self) -> Broker | None:
        """The broker of its actor; None when it was built without one."""
        return self._broker

    def sent_by(self, broker: Broker, ident: MessageId) -> MessageHandle[R_co]:
        """Remember who has sent it and under which id it is stored.

        `ident` is the id in the envelope's header, which is another than `message_id` when the
        program chose its own.
        """
        known = self.__dict__
        known["_broker"], known["_ident"] = broker, ident
        return self

    def events(
        self, *, timeout: timedelta | None = PATIENCE, since: str | None = None
    ) -> AsyncGenerator[Event]:
        """Follow what the message tells: what is kept first, then what comes, until it has ended.

        Args:
            timeout: how long to wait for the next event; None for ever.
            since: the `id` of the last event that is known, to go on after it.

        Raises:
            EventsNotKept: the actor was not declared with `events=True`.
            EventTimeout: nothing was told within `timeout`.
            InvalidMessage: `since` is no id of an event.
        """
        broker, ident = cast("Follows | None", self.broker), self._ident
        if broker is None or ident is None:
            raise EventsNotKept(
                f"message {self.message_id} was built here but not sent: "
                "ask the handle that sending it returned",
                message_id=self.message_id,
            )
        if not broker.tells_events(self):
            raise EventsNotKept(
                f"actor {self.actor_name!r} tells no events; declare it with events=True",
                message_id=self.message_id,
            )
        return broker.events(text_from_id(ident), timeout=timeout, since=since)

    def standing_for(self, existing: MessageId) -> MessageHandle[R_co]:
        """Return the handle of the message that holds the unique key of this one."""
        twin = replace(self, message_id=text_from_id(existing))
        twin.__dict__.update(_broker=self._broker, _ident=existing, _duplicate=True)
        return twin

    @property
    def duplicate(self) -> bool:
        """Whether another message held its unique key: then nothing was stored.

        This handle is that message's: its id, its result. Of what a running actor sends it is only
        known when the actor has ended, so there it is always False.
        """
        return self._duplicate

    async def acancel(self, reason: str = "") -> CancelOutcome:
        """Let the message never start, or stop it where it runs; say what that did.

        See `LaneBroker.acancel`.

        Raises:
            InvalidMessage: it was built, but not sent.
            StoreUnavailable: the store cannot be reached.
        """
        broker, ident, queue, ttl = self._cancellable()
        return await broker.acancel_stored(ident, reason, queue=queue, result_ttl=ttl)

    def cancel(self, reason: str = "") -> CancelOutcome:
        """Cancel the message; blocks. See `acancel`."""
        broker, ident, queue, ttl = self._cancellable()
        return broker.cancel_stored(ident, reason, queue=queue, result_ttl=ttl)

    def _cancellable(self) -> tuple[Cancels, MessageId, str, timedelta]:
        broker = cast("Cancels | None", self.broker)
        ident = self._ident
        if broker is None or ident is None:
            raise InvalidMessage(
                "message_id",
                f"message {self.message_id} was built here but not sent: "
                "cancel the handle that sending it returned",
            )
        return broker, ident, q_name(self.queue_name), broker.result_ttl_of(self.actor_name)

    async def result(self, *, timeout: timedelta = timedelta(seconds=60)) -> R_co:
        """Wait, without polling, for what the actor returned.

        Raises:
            ResultNotKept: the actor was not declared with `results=True`.
            ResultTimeout: no result within `timeout`.
            ActorFailed: the actor's last attempt raised, or the message was stopped as poison.
        """
        broker, ident = cast("Waits | None", self.broker), self._ident
        if broker is None or ident is None:
            raise ResultNotKept(
                f"message {self.message_id} was built here but not sent: "
                "ask the handle that sending it returned",
                message_id=self.message_id,
            )
        if not broker.keeps_result(self):
            raise ResultNotKept(
                f"actor {self.actor_name!r} does not keep results; declare it with results=True",
                message_id=self.message_id,
            )
        body = await broker.stored_result(ident, timeout)
        if body is None:
            raise ResultTimeout(
                f"message {self.message_id} had no result within {timeout}; "
                f"is a worker running for queue {self.queue_name!r}?",
                message_id=self.message_id,
            )
        record: dict[str, Any] = orjson.loads(body)
        if "error" in record:
            raise ActorFailed(
                message_id=self.message_id,
                error=record["error"],
                detail=record.get("message", ""),
                trace=record.get("traceback", ""),
                types=record.get("types", ()),
            )
        return cast("R_co", record["ok"])
