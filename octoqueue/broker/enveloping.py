"""`Enveloper`: from a dramatiq message to the envelope a store takes. Pure but for the registry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from octoqueue.broker.admission import affinity_from, extension_from
from octoqueue.broker.batch_option import check_batch_call
from octoqueue.broker.context import current_message
from octoqueue.broker.executables import flags_of
from octoqueue.broker.expiring import MOMENTS, moment_in, with_moments
from octoqueue.broker.sending_clock import SENDING_CLOCK
from octoqueue.broker.translate import delay_of, enqueue_from
from octoqueue.errors import InvalidMessage
from octoqueue.primitives.extension import Extension, pack_extension
from octoqueue.primitives.lane import Lane, lane_from
from octoqueue.primitives.queue_names import require_queue_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dramatiq.message import Message

    from octoqueue.broker.executables import Executable
    from octoqueue.broker.limiting import RateLimit
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.extension import UniqueKey
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.messages import Enqueue

_ADMITTED = frozenset({"tenant", "unique", *MOMENTS, *MOMENTS.values()})
"""Options of a message that need a closer look."""


class Enveloper:
    """Knows in which lane a message belongs, what it must pass, and whether its result is kept."""

    def __init__(
        self,
        find: Callable[[str], Executable | None],
        limit_bytes: Callable[[], int],
        burst_of: Callable[[RateLimit], int] = lambda limit: limit.most,
        clock: Clock | None = None,
    ) -> None:
        """Prepare.

        Args:
            find: an actor by name: None when this process does not declare it.
            limit_bytes: how long a body may be.
            burst_of: how many units a limit gives at once.
            clock: for tests.
        """
        self._find = find
        self._limit_bytes = limit_bytes
        self._burst_of = burst_of
        self._clock = clock or SENDING_CLOCK

    def prepared(self, messages: Iterable[Message[Any]], delay_ms: int) -> list[Enqueue]:
        """Return the envelopes of messages that are sent here and now.

        Raises:
            EnqueueError: one of them cannot be sent.
        """
        beside, limit_bytes = _place_of_sender(), self._limit_bytes()
        name, actor = "", None
        found: list[Enqueue] = []
        for message in messages:
            if message.actor_name != name:  # most groups are for one actor
                name = message.actor_name
                actor = self._find(name)
            if actor is not None and actor.is_plain and not message.options:
                found.append(
                    enqueue_from(
                        message, actor.options.lane, actor.flags, delay_ms, limit_bytes, beside
                    )
                )
            else:
                found.append(self.envelope(message, delay_of(message, delay_ms), beside))
        return found

    def prepared_one(self, message: Message[Any], delay_ms: int) -> Enqueue:
        """Return the envelope of one message that is sent here and now; raises like `prepared`."""
        return self.envelope(message, delay_of(message, delay_ms), _place_of_sender())

    def envelope(self, message: Message[Any], delay_ms: int, beside: MessageId | None) -> Enqueue:
        """Return the envelope of a message, in the partition of `beside` when it is given.

        Raises:
            EnqueueError: it cannot be sent.
        """
        actor = self._find(message.actor_name)
        if actor is not None and actor.is_plain and not message.options:
            lane, limit_bytes = actor.options.lane, self._limit_bytes()
            return enqueue_from(message, lane, actor.flags, delay_ms, limit_bytes, beside)
        if actor is not None and actor.options.batch is not None:
            check_batch_call(message.actor_name, message.args, message.kwargs)
        if actor is None:  # it is for a program that declares the actor elsewhere
            require_queue_name(message.queue_name)
        options = message.options
        lane = Lane.NORMAL if actor is None else actor.options.lane
        keeps = actor is not None and actor.options.results
        tells = actor is not None and actor.options.events
        place: bytes | None = beside
        extension = b""
        if options:
            if (wanted := options.get("lane")) is not None:
                lane = lane_from(wanted)
            if (wish := options.get("results")) is not None:
                keeps = _yes_or_no("results", wish)
        if (options and not _ADMITTED.isdisjoint(options)) or (
            actor is not None and (actor.admission or actor.options.expires_ms is not None)
        ):
            message, extension, affinity = self._admitted(message, actor, delay_ms)
            place = beside or affinity
        return enqueue_from(
            message,
            lane,
            flags_of(results=keeps, events=tells),
            delay_ms,
            self._limit_bytes(),
            place,
            extension=extension,
            refuse_duplicates=bool(extension) and _refuses_duplicates(actor),
        )

    def step(
        self, message: Message[Any], *, lane: Lane, tenant: str, unique: UniqueKey, delay_ms: int
    ) -> Enqueue:
        """Return the envelope of a workflow's step, with this unique key and no other.

        Raises:
            EnqueueError: it cannot be sent.
        """
        actor = self._find(message.actor_name)
        options, extension = message.options, Extension(unique, tenant)
        keeps = tells = False
        if actor is None:
            require_queue_name(message.queue_name)
        else:
            keeps, tells = actor.options.results, actor.options.events
            if actor.options.batch is not None:
                check_batch_call(message.actor_name, message.args, message.kwargs)
            if actor.admission is not None:
                uses = actor.admission.uses(message, burst_of=self._burst_of)
                extension = Extension(unique, tenant, actor.admission.caps, uses)
        if (wish := options.get("results")) is not None:
            keeps = _yes_or_no("results", wish)
        return enqueue_from(
            message,
            lane,
            flags_of(results=keeps, events=tells),
            delay_ms,
            self._limit_bytes(),
            extension=pack_extension(extension),
        )

    def _admitted(
        self, message: Message[Any], actor: Executable | None, delay_ms: int
    ) -> tuple[Message[Any], bytes, bytes | None]:
        """Return the message with its moments, its extension, and what decides its partition."""
        now_ms = self._clock.now_ms()
        if not MOMENTS.keys().isdisjoint(message.options):
            message = replace(message, options=with_moments(message.options, now_ms=now_ms))
        if delay_ms:
            _require_time_to_start(message, actor, now_ms + delay_ms)
        admission = None if actor is None else actor.admission
        extension = extension_from(message, admission, burst_of=self._burst_of)
        if extension is None:
            return message, b"", None
        affinity = affinity_from(extension.unique, extension.tenant)
        return message, pack_extension(extension), affinity

    def keeps_result(self, message: Message[Any]) -> bool:
        """Return whether somebody may ask for the result."""
        wanted = message.options.get("results")
        if wanted is None:
            actor = self._find(message.actor_name)
            wanted = actor is not None and actor.options.results
        return bool(wanted)

    def tells_events(self, message: Message[Any]) -> bool:
        """Return whether a message may tell events; of an actor elsewhere nobody knows here."""
        actor = self._find(message.actor_name)
        return actor is None or actor.options.events


def _place_of_sender() -> MessageId | None:
    """What decides the partition of all that a running message sends."""
    context = current_message()
    return None if context is None else context.header.message_id


def _yes_or_no(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidMessage(field, f"{value!r} is neither True nor False")
    return value


def _refuses_duplicates(actor: Executable | None) -> bool:
    return actor is not None and actor.admission is not None and actor.admission.refuses_duplicates


def _require_time_to_start(message: Message[Any], actor: Executable | None, due_ms: int) -> None:
    """Refuse a delay that is longer than the message lives.

    Raises:
        InvalidMessage: it is; names what ends it.
    """
    ends = {given: moment_in(message.options, kept) for given, kept in MOMENTS.items()}
    if ends["expires"] is None and actor is not None and actor.options.expires_ms is not None:
        ends["expires"] = message.message_timestamp + actor.options.expires_ms
    for name, end_ms in ends.items():
        if end_ms is not None and end_ms <= due_ms:
            raise InvalidMessage(name, "the message would end before its delay is over")
