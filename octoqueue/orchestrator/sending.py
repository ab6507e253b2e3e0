"""`Sender`: ends letters and sends what follows from committed turns, one batch at a time.

While one batch travels, the next collects. A batch that failed is sent again until it succeeds:
what has taken effect is then refused by its token, and messages by their unique keys. A message
that finds its lane full is kept and tried again, and holds up no other.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import orjson

from octoqueue.errors import LaneFull, OctoqueueError
from octoqueue.lanes.answers import Duplicates
from octoqueue.orchestrator.pauses import insisted
from octoqueue.orchestrator.rounds import Rounds
from octoqueue.primitives.ids import text_from_id
from octoqueue.primitives.messages import Outcome, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.orchestrator.tasks import Tasks
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.messages import Announcement, Enqueue, Lease, SessionId

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 1_000
_MOST_MESSAGES = 2_000
"""Letters and what follows from them in one call, unless a single letter has more."""
_MOST_BYTES = 8 * 2**20
"""What the messages of one call may weigh, unless a single letter's or message weighs more."""
_FULL_SECONDS = 0.5
"""How long a message waits whose lane was full."""
_CANCELS_AT_ONCE = 50


@dataclass(slots=True)
class _Batch:
    acks: list[Lease] = field(default_factory=list["Lease"])
    settlements: list[Settlement] = field(default_factory=list[Settlement])
    messages: list[Enqueue] = field(default_factory=list["Enqueue"])
    cancels: list[tuple[MessageId, str | None]] = field(
        default_factory=list[tuple["MessageId", "str | None"]]
    )
    told: list[Announcement] = field(default_factory=list["Announcement"])

    def __bool__(self) -> bool:
        return bool(self.acks or self.settlements or self.messages or self.cancels or self.told)


class Sender:
    """Speaks to the lanes for one orchestrator."""

    def __init__(
        self,
        store: LaneStore,
        session: SessionId,
        *,
        ended: Callable[[Iterable[Lease]], None],
        tasks: Tasks,
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            store: where letters end and messages go.
            session: the name in which letters are leased.
            ended: is told of letters that are ended, whether or not they still could be.
            tasks: where it sends.
            clock: for pauses.
        """
        self._store = store
        self._session = session
        self._ended = ended
        self._tasks = tasks
        self._clock = clock
        self._next = _Batch()
        self._full: dict[MessageId, Enqueue] = {}
        """What found its lane full."""
        self._rounds = Rounds()
        self._task: asyncio.Task[None] | None = None
        self._trying: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Letters that are not ended yet."""
        return len(self._next.acks) + len(self._next.settlements)

    def end(self, acks: Iterable[Lease], settlements: Iterable[Settlement] = ()) -> None:
        """End letters, with what follows from them."""
        self._next.acks += acks
        self._next.settlements += settlements
        self._wake()

    def send(self, messages: Iterable[Enqueue]) -> None:
        """Send messages that no letter caused."""
        self._next.messages += messages
        self._wake()

    def cancel(self, message_id: MessageId, *, queue: str | None) -> None:
        """Let a message never start, or stop it, after all before it was sent."""
        self._full.pop(message_id, None)
        self._next.cancels.append((message_id, queue))
        self._wake()

    def tell(self, announcements: Iterable[Announcement]) -> None:
        """Tell callers something; when that fails, they read it in the store."""
        self._next.told += announcements
        self._wake()

    async def idle(self) -> None:
        """Return when all is sent, what finds its lane full excepted."""
        while self._task is not None:
            await asyncio.shield(self._task)

    async def caught_up(self) -> None:
        """Return when all is sent that was there when this was called."""
        for _ in range(2):
            if self._task is not None:
                await self._rounds.end()

    def _wake(self) -> None:
        if self._task is None:
            self._task = self._tasks.begin(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._next:
                batch, self._next = self._next, _Batch()
                acks = batch.acks
                for settlements in _portions(batch.settlements):
                    await self._commit(acks[:_MOST_AT_ONCE], settlements)
                    acks = acks[_MOST_AT_ONCE:]
                for start in range(0, len(acks), _MOST_AT_ONCE):
                    await self._commit(acks[start : start + _MOST_AT_ONCE], ())
                for messages in _calls(batch.messages):
                    await self.enqueue(messages)
                for start in range(0, len(batch.cancels), _CANCELS_AT_ONCE):
                    await self._cancel(batch.cancels[start : start + _CANCELS_AT_ONCE])
                for start in range(0, len(batch.told), _MOST_AT_ONCE):
                    await self._tell(batch.told[start : start + _MOST_AT_ONCE])
                self._rounds.over()
        finally:
            self._task = None
            self._rounds.over()

    # ── letters ──────────────────────────────────────────────────────────────────────────────────

    async def _commit(self, acks: Sequence[Lease], settlements: Sequence[Settlement]) -> None:
        try:
            refusals = await insisted(
                lambda: self._store.commit(self._session, acks=acks, settlements=settlements),
                what="commit",
                clock=self._clock,
            )
        except OctoqueueError as error:
            await self._commit_apart(acks, settlements, error)
            return
        self._ended(acks)
        self._ended([settlement.lease for settlement in settlements])
        if refusals.tokens:
            # Their letters are somebody else's now, or ended in a try that was not answered: either
            # way nobody but us knows what follows from them, and unique keys make two of it one.
            refused = set(refusals.tokens)
            lost = [each for each in settlements if each.lease.token in refused]
            for messages in _calls([sent for each in lost for sent in each.follow_ups]):
                await self.enqueue(messages)

    async def _commit_apart(
        self, acks: Sequence[Lease], settlements: Sequence[Settlement], error: Exception
    ) -> None:
        """End what the store refused together in halves, down to the one it cannot take."""
        if len(acks) + len(settlements) > 1:
            half_acks, half = len(acks) // 2, (len(settlements) + 1) // 2
            await self._commit(acks[:half_acks], settlements[:half])
            await self._commit(acks[half_acks:], settlements[half:])
            return
        for lease in (*acks, *(settlement.lease for settlement in settlements)):
            self._ended([lease])
            facts = {"queue": lease.queue, "message_id": text_from_id(lease.message_id)}
            log.error("letter_refused", extra=facts, exc_info=error)
            reason = orjson.dumps({"error": type(error).__name__, "message": str(error)})
            last = Settlement(lease=lease, outcome=Outcome.DEAD_LETTER, reason=reason)
            try:
                await self._store.commit(self._session, settlements=[last])
            except OctoqueueError:
                log.exception("letter_given_up", extra=facts)

    # ── messages ─────────────────────────────────────────────────────────────────────────────────

    async def enqueue(self, messages: Sequence[Enqueue]) -> int:
        """Send messages, each by itself; return how many were not there already."""
        if not messages:
            return 0
        try:
            answers = await insisted(
                lambda: self._store.enqueue([[message] for message in messages]),
                what="enqueue",
                clock=self._clock,
            )
        except OctoqueueError as error:
            return await self._enqueue_apart(messages, error)
        full = [
            message
            for message, answer in zip(messages, answers, strict=True)
            if isinstance(answer, LaneFull)
        ]
        if full:
            self._keep(full)
        return sum(not isinstance(answer, Duplicates) for answer in answers) - len(full)

    async def _enqueue_apart(self, messages: Sequence[Enqueue], error: Exception) -> int:
        if len(messages) > 1:
            half = len(messages) // 2
            return await self.enqueue(messages[:half]) + await self.enqueue(messages[half:])
        facts = {"queue": messages[0].queue, "message_id": text_from_id(messages[0].message_id)}
        log.error("message_refused", extra=facts, exc_info=error)
        return 0

    def _keep(self, full: Sequence[Enqueue]) -> None:
        """Try again later what found its lane full."""
        self._full |= {message.message_id: message for message in full}
        if self._trying is None:
            log.warning("lane_full", extra={"queue": full[0].queue, "messages": len(full)})
            self._trying = self._tasks.begin(self._try_again())

    async def _try_again(self) -> None:
        try:
            while self._full:
                await self._clock.sleep(_FULL_SECONDS)
                tried = list(islice(self._full, _MOST_AT_ONCE))
                for messages in _calls([self._full.pop(ident) for ident in tried]):
                    await self.enqueue(messages)
        finally:
            self._trying = None

    # ── the rest ─────────────────────────────────────────────────────────────────────────────────

    async def _cancel(self, cancels: Sequence[tuple[MessageId, str | None]]) -> None:
        """Cancel messages; one that cannot be cancelled runs for nothing."""
        answers = await asyncio.gather(
            *(
                self._store.cancel(ident, "its workflow has gone on without it", queue=queue)
                for ident, queue in cancels
            ),
            return_exceptions=True,
        )
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        for failure in failures:
            if not isinstance(failure, Exception):
                raise failure
        if failures:
            facts = {"messages": len(failures), "reason": str(failures[0])}
            log.warning("cancels_failed", extra=facts)

    async def _tell(self, announcements: Sequence[Announcement]) -> None:
        try:
            await self._store.announce(announcements)
        except Exception as error:  # noqa: BLE001 - who waits reads the store now and then
            log.warning("telling_failed", extra={"reason": str(error)})


def _portions(settlements: Sequence[Settlement]) -> Generator[list[Settlement]]:
    """Divide settlements into what one call can carry, at least one each."""
    portion: list[Settlement] = []
    messages = weight = 0
    for settlement in settlements:
        more, heavier = 1 + len(settlement.follow_ups), _weight(settlement.follow_ups)
        if portion and (messages + more > _MOST_MESSAGES or weight + heavier > _MOST_BYTES):
            yield portion
            portion, messages, weight = [], 0, 0
        portion.append(settlement)
        messages += more
        weight += heavier
    if portion:
        yield portion


def _calls(messages: Sequence[Enqueue]) -> Generator[Sequence[Enqueue]]:
    """Divide messages into what one call can carry, at least one each."""
    first = weight = 0
    for place, message in enumerate(messages):
        weight += len(message.payload)
        if place > first and (weight > _MOST_BYTES or place - first >= _MOST_AT_ONCE):
            yield messages[first:place]
            first, weight = place, len(message.payload)
    if first < len(messages):
        yield messages[first:]


def _weight(messages: Iterable[Enqueue]) -> int:
    return sum([len(message.payload) for message in messages])
