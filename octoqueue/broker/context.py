"""`MessageContext`: what an actor may know about the message it runs, and what it has sent."""

from __future__ import annotations

import os
import threading
from contextvars import ContextVar
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from octoqueue.broker.limiting import is_units
from octoqueue.broker.step_places import step_place
from octoqueue.broker.telling import Telling, progress_data
from octoqueue.errors import EventsNotKept, InvalidMessage, UniqueCycle
from octoqueue.primitives.envelope import Flag, extension_of, unpack_header
from octoqueue.primitives.events import EventKind
from octoqueue.primitives.extension import MOST_UNITS, UniqueMode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from octoqueue.primitives.body_json import Json
    from octoqueue.primitives.envelope import Call, Header
    from octoqueue.primitives.extension import Extension
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.messages import Enqueue, Lease


SCHEDULED_FOR = "scheduled_for"
"""The option in which the message of a schedule says its tick, in milliseconds."""

MAX_FOLLOW_UPS = 10_000
"""Messages one attempt may send: they are one script call; Redis does nothing else meanwhile."""

_moment_of_sealing = threading.Lock()
"""Held for a few instructions: an actor's threads may send while its attempt ends."""


class Ventured(NamedTuple):
    """What an attempt has told of its checkpoints and costs."""

    since: float | None
    """Its last checkpoint, in seconds on the monotonic clock; None when it had none."""
    cost: float
    """Spent since then, or since it began."""


NOTHING_VENTURED = Ventured(None, 0.0)


class MessageContext:
    """The message that is running here.

    What it sends is kept until its attempt ends and is then committed with the outcome, in one
    script: a crash before that moment leaves no follow-up behind, a crash after it loses none.
    """

    __slots__ = (
        "_call",
        "_follow_ups",
        "_header",
        "_kept",
        "_lease",
        "_sealed",
        "_started_at_ms",
        "_used",
        "telling",
        "ventured",
    )

    ventured: Ventured
    """Not set while the actor has told nothing: a message that never does costs nothing more."""

    def __init__(self, lease: Lease, call: Call, started_at_ms: int) -> None:
        self._lease = lease
        self._call = call
        self._header: Header | None = None
        self._started_at_ms = started_at_ms
        self._follow_ups: dict[MessageId, list[Enqueue]] | None = None  # most send nothing
        self._kept = 0
        self._sealed = False
        self._used: dict[tuple[str, str], int] | None = None
        self.telling: Telling | None = None
        """What the attempt tells; None when its actor was declared without `events=True`."""

    @property
    def message_id(self) -> str:
        """The id its sender knows it by."""
        return self._call.message_id(self.header)

    @property
    def actor(self) -> str:
        """The name of the running actor."""
        return self._call.actor

    @property
    def queue(self) -> str:
        """The queue it was claimed from."""
        return self._lease.queue

    @property
    def lane(self) -> str:
        """The name of its lane."""
        return self.header.lane.label

    @property
    def attempt(self) -> int:
        """How many executions of it have ended in a retry: 0 is the first."""
        return self.header.attempt

    @property
    def deliveries(self) -> int:
        """How many of its leases were lost with their worker."""
        return self.header.deliveries

    @property
    def enqueued_at(self) -> datetime:
        """When it became claimable, by the store's clock."""
        return _moment(self.header.ready_at_ms)

    @property
    def scheduled_for(self) -> datetime | None:
        """The tick of the schedule that sent it; None when it was sent otherwise."""
        tick_ms: object = self._call.options.get(SCHEDULED_FOR)
        return _moment(tick_ms) if isinstance(tick_ms, int) else None

    @property
    def workflow_id(self) -> str | None:
        """The workflow that it is a step of; None when it is none."""
        return self._as_step("workflow_id")

    @property
    def execution_id(self) -> str | None:
        """The execution that it is a step of; None when it is none."""
        return self._as_step("execution_id")

    @property
    def step(self) -> str | None:
        """Its key in the journal of that execution; None when it is no step."""
        return self._as_step("step")

    @property
    def complexity(self) -> str | None:
        """`low`, `medium` or `high`, as its workflow or the step says; None when it is no step."""
        return self._as_step("complexity")

    @property
    def model_tier(self) -> str | None:
        """`small`, `standard` or `large`: the models that its complexity asks for.

        None when it is no step, or the configuration says nothing.
        """
        return self._as_step("model_tier")

    @property
    def resource_class(self) -> str | None:
        """The resources that its complexity asks for; None like `model_tier`."""
        return self._as_step("resource_class")

    def _as_step(self, field: str) -> str | None:
        place = step_place(self._call.options)
        found: str | None = None if place is None else getattr(place, field)
        return found

    @property
    def started_at(self) -> datetime:
        """When this attempt began, by the worker's clock."""
        return _moment(self._started_at_ms)

    @property
    def header(self) -> Header:
        """The envelope's header, decoded when somebody asks: most actors do not."""
        if self._header is None:
            self._header = unpack_header(self._lease.payload)
        return self._header

    def emit(self, event: Json) -> None:
        """Tell whoever follows this message's events something: any value with a JSON form.

        It is on its way when this returns, together with all else that is told in this turn of the
        event loop; what is not stored when the actor returns is committed with its outcome.

        Raises:
            EventsNotKept: the actor was not declared with `events=True`, or the attempt has ended.
            PayloadNotSerializable: the event has no JSON form.
            EventTooLarge: it is over the limit (`events.max_bytes`).
        """
        self._tells().tell(EventKind.EMITTED, event)

    async def aemit(self, event: Json) -> None:
        """Like `emit`, and return when it is stored: this slows down who tells too fast.

        Raises:
            LeaseLost: another worker has the message now.
        """
        await self._tells().atell(EventKind.EMITTED, event)

    def progress(self, fraction: float, note: str | None = None) -> None:
        """Tell how much is done, from 0 to 1, and of what; raises like `emit`."""
        self._tells().tell(EventKind.PROGRESS, progress_data(fraction, note))

    async def aprogress(self, fraction: float, note: str | None = None) -> None:
        """Like `progress`, and return when it is stored."""
        await self._tells().atell(EventKind.PROGRESS, progress_data(fraction, note))

    def _tells(self) -> Telling:
        if self.telling is None:
            raise EventsNotKept(
                f"actor {self.actor!r} tells no events; declare it with events=True",
                message_id=self.message_id,
            )
        return self.telling

    def settle(self, limit: str, *, units: int, key: str | None = None) -> None:
        """Say how many units of a rate limit this attempt really used.

        What was reserved and not used is given back when the attempt ends, and more than that is
        taken from those who come later. It holds however the attempt ends; the last word counts.
        Without it, what was reserved counts as used by an attempt that succeeds, and as not used by
        any other.

        Args:
            limit: the limit's name.
            units: what was used.
            key: whose share, when the message uses the limit under more than one key.

        Raises:
            InvalidMessage: the message does not use that limit, or the units are impossible.
        """
        keys = [use.key for use in self._extension.limits if use.name == limit]
        if key is None and len(keys) == 1:
            key = keys[0]
        if not keys:
            raise InvalidMessage(
                "limits",
                f"the message does not use {limit!r}: its actor does not declare it, or was not "
                "imported where it was sent",
            )
        if key is None or key not in keys:
            shown = ", ".join(map(repr, keys))
            raise InvalidMessage(
                "limits", f"the message uses {limit!r} with the keys {shown}, not with {key!r}"
            )
        if not is_units(units):
            raise InvalidMessage("units", f"{units!r} is not 0 to {MOST_UNITS:,}")
        if self._used is None:
            self._used = {}
        self._used[limit, key] = units

    @property
    def used(self) -> Mapping[tuple[str, str], int]:
        """What `settle` was told."""
        return self._used or {}

    @property
    def tenant(self) -> str | None:
        """On whose behalf it was sent, None when nobody was named."""
        return self._extension.tenant or None

    @property
    def _extension(self) -> Extension:
        return extension_of(self._lease.payload)

    def refuse_cycles(self, messages: Sequence[Enqueue]) -> None:
        """Refuse to send a message with the key that this one holds until it is done.

        Raises:
            UniqueCycle: one of them has it.
        """
        own = self._extension.unique if self.header.flags & Flag.EXTENDED else None
        if own is None or own.mode is not UniqueMode.DONE or self._sealed:
            return
        for message in messages:
            key = extension_of(message.payload).unique
            if key is not None and key.digest == own.digest:
                raise UniqueCycle(self.actor, message_id=self.message_id)

    def keep(self, messages: list[Enqueue]) -> bool:
        """Keep what the actor sends for the commit; False once the attempt has ended.

        A task that outlives its actor finds the context sealed, and what it sends goes to the
        store directly.

        Raises:
            InvalidMessage: that would be too many for one commit.
        """
        with _moment_of_sealing:
            if self._sealed:
                return False
            if self._kept + len(messages) > MAX_FOLLOW_UPS:
                raise InvalidMessage(
                    "messages",
                    f"one execution may send at most {MAX_FOLLOW_UPS:,}; send them from several",
                )
            self._add(messages)
            return True

    def _add(self, messages: Sequence[Enqueue]) -> None:
        self._kept += len(messages)
        if self._follow_ups is None:
            self._follow_ups = {}
        for message in messages:
            self._follow_ups.setdefault(message.message_id, []).append(message)

    def _all(self) -> tuple[Enqueue, ...]:
        if not self._follow_ups:
            return ()
        return tuple(chain.from_iterable(self._follow_ups.values()))

    def drop(self) -> None:
        """Forget what was sent so far: the attempt failed, and its follow-ups with it."""
        with _moment_of_sealing:
            self._clear()

    def _clear(self) -> None:
        self._follow_ups = None
        self._kept = 0

    def give_up(self, message_id: MessageId) -> Enqueue | None:
        """Take one kept message back out, to be sent before the commit."""
        with _moment_of_sealing:
            if self._follow_ups is None or message_id not in self._follow_ups:
                return None
            kept = self._follow_ups[message_id]
            given = kept.pop(0)
            self._kept -= 1
            if not kept:
                del self._follow_ups[message_id]
            return given

    def take(self) -> tuple[Enqueue, ...]:
        """Take all that was sent so far out again, for another message of the batch to carry."""
        with _moment_of_sealing:
            taken = self._all()
            self._clear()
            return taken

    def carry(self, messages: Sequence[Enqueue]) -> None:
        """Have what another message of a batch has sent committed with this one."""
        with _moment_of_sealing:
            self._add(messages)

    def seal(self) -> tuple[Enqueue, ...]:
        """End the attempt and return all it sent."""
        with _moment_of_sealing:
            self._sealed = True
            return self._all()


CURRENT: ContextVar[MessageContext | None] = ContextVar("octoqueue_message", default=None)

CURRENT_BATCH: ContextVar[tuple[MessageContext, ...]] = ContextVar("octoqueue_batch", default=())


def _leave_actor() -> None:
    """Nothing commits what the child of a fork would keep: there it is sent at once."""
    CURRENT.set(None)
    CURRENT_BATCH.set(())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_actor)


def current_message() -> MessageContext | None:
    """Return the message running in this task or thread, None outside an actor.

    In a batch actor it is the first message of the batch.
    """
    return CURRENT.get()


def current_batch() -> tuple[MessageContext, ...]:
    """Return the messages of the running batch, in the order of the list; none outside of one."""
    return CURRENT_BATCH.get()


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
