"""`Batching`: collects the messages of batch actors and runs each batch as one call.

A message that waits for others has its lease and its slot, so a worker that dies gives it back with
what it ran. Once the call has begun its messages share its fate: one that is cancelled, or whose
lease was lost, leaves the call running for the others.

Weakness: a batch is collected by one worker. With many workers and few messages each collects a few
of them; fewer workers, or a longer `max_wait`, make fuller batches.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from octoqueue.broker.batch_option import answers_of
from octoqueue.broker.context import CURRENT, CURRENT_BATCH
from octoqueue.errors import BatchAnswerInvalid
from octoqueue.primitives.envelope import (
    Flag,
    decode_body,
    encode_body,
    extension_of,
    pack_header,
    unpack_header,
)
from octoqueue.primitives.extension import pack_extension
from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.messages import Outcome
from octoqueue.runtime.attempt import Attempt
from octoqueue.runtime.batches import Collection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.broker.batch_option import Answer
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.messages import Enqueue
    from octoqueue.runtime.deadlines import Deadlines
    from octoqueue.runtime.endings import Endings
    from octoqueue.runtime.hook_calls import HookCalls
    from octoqueue.runtime.threads import ActorThreads

log = logging.getLogger(__name__)

_Place = tuple[str, str]
"""Queue and actor: what is collected together."""


Ended = Callable[[Attempt, object, BaseException | None], None]


class BatchCall:
    """One call of a batch actor."""

    __slots__ = ("lead", "members", "task", "unwanted")

    def __init__(self, lead: Attempt, members: list[Attempt]) -> None:
        self.lead = lead
        """Stands for the call where one attempt is expected: time limit, thread."""
        self.members = members
        self.task: asyncio.Task[None] | None = None
        self.unwanted: set[Attempt] = set()
        """Members whose outcome no longer counts, or which somebody wants stopped."""


class Batching:
    """The batches of one worker."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ended: Ended,
        *,
        threads: ActorThreads,
        endings: Endings,
        hooks: HookCalls,
        deadlines: Deadlines[Attempt],
        clock: Clock,
        spans_partitions: bool,
    ) -> None:
        """Prepare.

        Args:
            loop: where async actors run, and timers.
            ended: settles a message and frees its slot, unless it was forgotten meanwhile.
            threads: where sync actors and hooks run.
            endings: judges each message.
            hooks: calls dramatiq's hooks around each message.
            deadlines: watches the calls.
            clock: for running times.
            spans_partitions: whether messages of all partitions are committed together.
        """
        self._loop = loop
        self._ended = ended
        self._threads = threads
        self._endings = endings
        self._hooks = hooks
        self._deadlines = deadlines
        self._clock = clock
        self._spans_partitions = spans_partitions
        self._collections: dict[_Place, Collection[Attempt]] = {}
        self._timers: dict[_Place, asyncio.TimerHandle] = {}
        self._calls: dict[Attempt, BatchCall] = {}

    # ── collecting ───────────────────────────────────────────────────────────────────────────────

    def add(self, attempt: Attempt) -> None:
        """Have a message wait for others of its actor and queue; run them when that is due."""
        batch = attempt.options.batch
        assert batch is not None  # noqa: S101 - the executor gives only those
        place = _place(attempt)
        collection = self._collections.get(place)
        if collection is None:
            now_seconds = self._loop.time()
            collection = Collection[Attempt](batch, now_seconds=now_seconds)
            self._collections[place] = collection
            due_at_seconds = collection.due_at_seconds
            self._timers[place] = self._loop.call_at(due_at_seconds, self._start, place)
        collection.add(attempt)
        if collection.is_full:
            self._start(place)

    def start_all(self) -> None:
        """Run what was collected without waiting any longer."""
        for place in tuple(self._collections):
            self._start(place)

    def _start(self, place: _Place) -> None:
        members = self._collections.pop(place).members
        self._timers.pop(place).cancel()
        call = BatchCall(_lead_of(members, began=self._clock.monotonic()), members)
        self._calls[call.lead] = call
        self._calls.update(dict.fromkeys(members, call))
        limit_seconds = call.lead.options.time_limit_seconds
        if limit_seconds is not None:
            self._deadlines.add(call.lead, limit_seconds)
        call.task = self._loop.create_task(self._run(call))
        call.task.add_done_callback(lambda _: self._end_unbegun(call))
        if call.lead.executable.is_async:
            for member in members:
                member.task = call.task

    def interrupt(self, attempt: Attempt) -> None:
        """Stop a message, or the whole call when the attempt is its lead.

        One that still waits leaves its batch. A call that runs is interrupted when none of its
        messages is wanted any more.
        """
        call = self._calls.get(attempt)
        if call is None:
            if self._left(attempt):
                self._ended(attempt, None, asyncio.CancelledError())
            return
        if attempt is call.lead:
            for member in call.members:
                member.expired = member.expired or attempt.expired
        else:
            call.unwanted.add(attempt)
            if not call.unwanted.issuperset(call.members):
                return
        if attempt.executable.is_async:
            if call.task is not None:
                call.task.cancel()
        else:
            _tell_why(call)
            self._threads.interrupt(call.lead)

    def call_of(self, attempt: Attempt) -> BatchCall | None:
        """Return the call that a message is part of; None while it waits for others."""
        return self._calls.get(attempt)

    def _left(self, attempt: Attempt) -> bool:
        """Take a message out of the batch it waits for; False when it waits for none."""
        place = _place(attempt)
        collection = self._collections.get(place)
        if collection is None or not collection.remove(attempt):
            return False
        if not len(collection):
            del self._collections[place]
            self._timers.pop(place).cancel()
        return True

    def close(self) -> None:
        """Stop the timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._collections.clear()

    # ── running ──────────────────────────────────────────────────────────────────────────────────

    async def _run(self, call: BatchCall) -> None:
        members = call.members
        answers: list[Answer]
        try:
            members = await self._let_in(call)
            answers = await self._answers(call, members) if members else []
        except BaseException as raised:  # noqa: BLE001 - whatever an actor raises is its outcome
            answers = [(None, raised)] * len(members)
        self._unwatch(call)
        answers = [
            (None, asyncio.CancelledError()) if _was_stopped(call, member, answer) else answer
            for member, answer in zip(members, answers, strict=True)
        ]
        try:
            await self._conclude(members, answers)
        except BaseException:  # noqa: BLE001 - stopped while hooks are told: the outcome stands
            log.warning("batch_hooks_interrupted", extra={"actor": call.lead.call.actor})
        finally:
            for member in call.members:
                self._calls.pop(member, None)
            for member, (result, error) in zip(members, answers, strict=True):
                self._ended(member, result, error)

    def _end_unbegun(self, call: BatchCall) -> None:
        """End the messages of a call that was cancelled before its first instruction."""
        self._unwatch(call)
        for member in call.members:
            if self._calls.pop(member, None) is not None:
                self._ended(member, None, asyncio.CancelledError())

    async def _let_in(self, call: BatchCall) -> list[Attempt]:
        """Call the hooks before each message; settle those they keep out, return the others."""
        for member in call.members:
            member.entered = self._clock.monotonic()
        hooked = [member for member in call.members if member.hooks is not None]
        if not hooked:
            return call.members

        def begin() -> None:
            for member in hooked:
                CURRENT.set(member.context)
                self._hooks.begin(member)

        await self._threads.call(begin)
        kept_out = [member for member in hooked if member.ending is not None]
        call.members = [member for member in call.members if member.ending is None]
        for member in kept_out:
            self._calls.pop(member, None)
            self._ended(member, None, None)
        return call.members

    async def _answers(self, call: BatchCall, members: list[Attempt]) -> list[Answer]:
        """Call the actor; return what became of each message."""
        lead = call.lead
        lead.call = lead.call._replace(args=[[member.call.args[0] for member in members]])
        CURRENT.set(members[0].context)
        CURRENT_BATCH.set(tuple(member.context for member in members))
        if lead.executable.is_async:
            lead.entered = self._clock.monotonic()
            returned = await lead.executable.function(*lead.call.args)
        else:
            returned = await self._in_thread(lead)
        try:
            return answers_of(returned, len(members), actor=lead.call.actor)
        except BatchAnswerInvalid as invalid:
            return [(None, invalid)] * len(members)

    async def _in_thread(self, lead: Attempt) -> object:
        def outcome() -> Answer:
            lead.entered = self._clock.monotonic()
            try:
                return self._threads.interruptible(lead), None
            except BaseException as raised:  # noqa: BLE001 - raised again on the loop
                return None, raised

        returned, failure = await self._threads.call(outcome)
        if failure is not None:
            raise failure
        if hasattr(type(returned), "__await__"):  # a decorated coroutine function
            waiting: Any = returned
            return await waiting
        return returned

    # ── ending ───────────────────────────────────────────────────────────────────────────────────

    async def _conclude(self, members: list[Attempt], answers: list[Answer]) -> None:
        """Judge the messages, tell the hooks, and place what the call has sent."""
        sent = members[0].context.take() if members else ()
        hooked = [
            (member, result)
            for member, (result, _) in zip(members, answers, strict=True)
            if member.hooks is not None
        ]
        if not sent and not hooked:
            return  # judged one by one where they are settled
        for member, (result, error) in zip(members, answers, strict=True):
            with contextlib.suppress(Exception):  # judged again, and logged, where it is settled
                member.ending = self._endings.judge(member, result, error)

        def conclude() -> None:
            for member, result in hooked:
                CURRENT.set(member.context)
                self._hooks.conclude(member, result)

        try:
            if hooked:
                await self._threads.call(conclude)
        finally:
            self._hand_over(sent, members)

    def _hand_over(self, sent: Sequence[Enqueue], members: list[Attempt]) -> None:
        """Give what the call has sent to the first message that is acked; if none is, drop it."""
        acked = [
            member
            for member in members
            if member.ending is not None and member.ending.verdict.outcome is Outcome.ACK
        ]
        if not sent or not acked:
            return
        if self._spans_partitions:
            acked[0].context.carry(sent)
            return
        home = members[0].lease.partition
        beside = [member for member in acked if member.lease.partition == home]
        if beside:
            beside[0].context.carry(sent)
        else:
            target = acked[0]
            target.context.carry([_moved(one, target.header.message_id) for one in sent])

    def _unwatch(self, call: BatchCall) -> None:
        self._calls.pop(call.lead, None)
        limit_seconds = call.lead.options.time_limit_seconds
        if limit_seconds is not None:
            self._deadlines.remove(call.lead, limit_seconds)


def _place(attempt: Attempt) -> _Place:
    return attempt.lease.queue, attempt.call.actor


def _lead_of(members: list[Attempt], *, began: float) -> Attempt:
    """Return what stands for the whole call: the first message, and the shortest time limit."""
    first = members[0]
    strictest = min(members, key=_limit)
    return Attempt(
        first.lease,
        first.call._replace(args=[], kwargs={}),
        first.executable,
        strictest.options,
        first.context,
        began,
    )


def _tell_why(call: BatchCall) -> None:
    """Let the thread be interrupted with what its messages are stopped for.

    A shutdown comes first: those that give way to it must not seem to have failed.
    """
    lead, members = call.lead, call.members
    lead.notified = any(member.notified for member in members)
    reasons = [member.cancelled for member in members if member.cancelled is not None]
    lead.cancelled = reasons[0] if reasons and not lead.notified else None


def _limit(attempt: Attempt) -> float:
    limit_seconds = attempt.options.time_limit_seconds
    return float("inf") if limit_seconds is None else limit_seconds


def _was_stopped(call: BatchCall, member: Attempt, answer: Answer) -> bool:
    """Whether a message was to be stopped and the call went on for the others."""
    return answer[1] is None and member in call.unwanted and not member.released


def _moved(message: Enqueue, home: MessageId) -> Enqueue:
    """Return a message with another id in its header, in the partition of `home`.

    Its sender's id goes into the body, as for ids a program chose itself.
    """
    header, call = unpack_header(message.payload), decode_body(message.payload)
    payload = pack_header(header._replace(message_id=new_message_id(beside=home)))
    if header.flags & Flag.EXTENDED:
        payload += pack_extension(extension_of(message.payload))
    payload += encode_body(call._replace(own_id=call.message_id(header)), limit_bytes=sys.maxsize)
    return message._replace(payload=payload)
