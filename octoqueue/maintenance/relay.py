"""`Relay`: outbox rows become messages.

    store's clock ─► claim rows ─► enqueue, known by id ─► delete the rows ─► (next call) settled
                     └──────────── one transaction ───────────────────┘

What a death leaves at each arrow: before the enqueueing, rows that another relay takes; after it,
rows whose messages the store knows again, also when they have run and ended; after the commit, ids
that the store remembers for a week instead of a minute. Any number of relays may run; the row locks
keep them from doing the same work, not from doing harm, which `primitives/once.py` does.

A lane that is full holds up its own line of rows, with growing pauses, and no other. A row that can
never be enqueued is set aside with its error (`octoqueue outbox list --failed`). A message whose
own unique key is taken when the relay comes is dropped, as a follow-up would be.

An idle relay costs one look every two seconds; it is notified when a transaction with rows commits.
Once a minute it logs how much it relayed, and warns of rows that are old or have failed.
The weakness: a notification lost with its connection costs those two seconds. Order is kept within
a line as far as one relay goes; several relays, and rows put off, may overtake.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import DelayedFull, LaneFull, OctoqueueError, StoreError
from octoqueue.lanes.answers import Duplicates
from octoqueue.maintenance.relay_drafts import draft_from
from octoqueue.maintenance.relay_pauses import LinePauses
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.primitives.ids import text_from_id
from octoqueue.primitives.once import SEND_WITHIN, Once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.lanes.answers import EnqueueAnswer
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.postgres.outbox import ClaimedRows, Outbox, OutboxRow, OutboxSize
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.messages import Enqueue

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=2)
MEASURE_EVERY = timedelta(minutes=1)
BATCH = 200
PER_LINE = 100
PUT_OFF = timedelta(seconds=5)
"""How long a row waits that the store did not take for another reason than a full lane."""
OLD = timedelta(seconds=30)
"""Rows that wait longer than this are told of."""
_STOP_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_MILLISECOND = timedelta(milliseconds=1)

Drafts = list[tuple["OutboxRow", "Enqueue"]]


@dataclass(slots=True, kw_only=True)
class RelayTotals:
    """What one relay did since it began."""

    relayed: int = 0
    failed: int = 0
    refused: int = 0
    """Times that a row found its lane full."""


class Relay:
    """A service that relays; any number may run."""

    def __init__(
        self,
        outbox: Outbox,
        store: LaneStore,
        broker: LaneBroker,
        *,
        look_every: timedelta = LOOK_EVERY,
        clock: Clock | None = None,
    ) -> None:
        self.totals = RelayTotals()
        self.size: OutboxSize | None = None
        """How much waited when it was last measured."""
        self._outbox = outbox
        self._store = store
        self._broker = broker
        self._look_every_seconds = look_every.total_seconds()
        self._clock = clock or SystemClock()
        self._pauses = LinePauses(self._clock)
        self._settled: tuple[MessageId, ...] = ()
        self._measured_at = self._clock.monotonic()
        self._told = 0
        self._nudged = asyncio.Event()
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._is_stopping = False
        self._task = asyncio.create_task(self._run())

    def nudge(self) -> None:
        """Look now: rows have been committed."""
        self._nudged.set()

    async def stop(self) -> None:
        """End after the batch under way. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        self._is_stopping = True
        self._nudged.set()
        _, late = await asyncio.wait([task], timeout=_STOP_SECONDS)
        for each in late:
            each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _run(self) -> None:
        failures = 0
        while not self._is_stopping:
            self._nudged.clear()
            wait = self._look_every_seconds
            try:
                if await self.relay():
                    wait = 0.0
                elif (soonest := self._pauses.soonest()) is not None:
                    wait = min(wait, soonest)
                await self._measure()
                failures = 0
            except StoreError as error:
                log.debug("relay_failed", extra={"reason": str(error)})
                failures += 1
            except Exception:
                log.exception("relay_failed")
                failures += 1
            if failures:
                self._nudged.clear()  # a nudge does not bring a server back
                wait = min(_FIRST_PAUSE_SECONDS * 2 ** min(failures, 10), _LONGEST_PAUSE_SECONDS)
            if wait > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._nudged.wait()
        with contextlib.suppress(StoreError):
            await self._settle()

    async def relay(self) -> bool:
        """Relay one batch; return whether there may be more to do at once.

        Raises:
            StoreError: a server is gone; what was not written down will be done again.
        """
        # The clock is read before the rows are: see `primitives/once.py`.
        once = await self._once()
        async with self._outbox.claimed(
            limit=BATCH, per_line=PER_LINE, without=self._pauses.paused()
        ) as claimed:
            sent = await self._send(claimed, once) if claimed.rows else []
        if claimed.rows:
            self._settled = tuple(message.message_id for _, message in sent)
            self.totals.relayed += len(sent)
            return bool(sent)
        await self._settle()
        return False

    async def _once(self) -> Once:
        not_after_ms = await self._store.now_ms() + SEND_WITHIN // _MILLISECOND
        return Once(not_after_ms=not_after_ms, settled=self._settled)

    async def _settle(self) -> None:
        """Tell the store what is settled when no further batch does."""
        if self._settled:
            await self._store.enqueue_once([], await self._once())
            self._settled = ()

    async def _send(self, claimed: ClaimedRows, once: Once) -> Drafts:
        """Enqueue what can be and write down what became of each; return what was enqueued."""
        drafts, failed = self._drafts(claimed.rows)
        sent: Drafts = []
        put_off: dict[MessageId, str] = {}
        endings = await self._enqueue(drafts, once)
        for (row, message), ending in zip(drafts, endings, strict=True):
            if ending is None or isinstance(ending, Duplicates):
                sent.append((row, message))
                self._pauses.accepted(row.line)
            elif isinstance(ending, LaneFull) and not isinstance(ending, DelayedFull):
                self._pauses.refused(row.line)
            else:
                put_off[row.message_id] = _reason_from(ending)
        self.totals.refused += len(drafts) - len(sent)
        self.totals.failed += len(failed)
        for message_id, reason in failed.items():
            fields = {"message_id": text_from_id(message_id), "reason": reason}
            log.error("outbox_row_failed", extra=fields)
        await claimed.delete([row.message_id for row, _ in sent])
        await claimed.fail(failed)
        await claimed.put_off(put_off, wait=PUT_OFF)
        return sent

    def _drafts(self, rows: Sequence[OutboxRow]) -> tuple[Drafts, dict[MessageId, str]]:
        drafts: Drafts = []
        failed: dict[MessageId, str] = {}
        for row in rows:
            try:
                drafts.append((row, draft_from(row, self._broker)))
            except Exception as error:  # noqa: BLE001 - whatever a row holds is its own fault
                failed[row.message_id] = _reason_from(error)
        return drafts, failed

    async def _enqueue(
        self, drafts: Drafts, once: Once
    ) -> Sequence[EnqueueAnswer | OctoqueueError]:
        """Enqueue all; when the store does not want one of them, each by itself to find it."""
        messages = [message for _, message in drafts]
        try:
            return await self._store.enqueue_once(messages, once)
        except OctoqueueError as error:
            if error.retryable:
                raise
        endings: list[EnqueueAnswer | OctoqueueError] = []
        for message in messages:
            try:
                endings += await self._store.enqueue_once([message], once)
            except OctoqueueError as error:
                if error.retryable:
                    raise
                endings.append(error)
        return endings

    async def _measure(self) -> None:
        if self._clock.monotonic() - self._measured_at < MEASURE_EVERY.total_seconds():
            return
        self._measured_at = self._clock.monotonic()
        relayed, self._told = self.totals.relayed - self._told, self.totals.relayed
        if relayed:
            log.info("outbox_relayed", extra={"messages": relayed})
        size = self.size = await self._outbox.size()
        if size.failed or size.oldest_seconds > OLD.total_seconds():
            log.warning(
                "outbox_waits",
                extra={
                    "pending": size.pending,
                    "oldest_seconds": round(size.oldest_seconds, 1),
                    "failed": size.failed,
                    "full": ",".join(self._pauses.paused()),
                },
            )


def _reason_from(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:2_000]
