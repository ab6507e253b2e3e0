"""`Reconciler`: finds what may have been lost between a write and what follows from it.

    lost                                        found
    the nudge of a start, signal, cancel        in the list of executions that want attention
    a function that was running                 among the pending steps; it runs again
    the message of a step                       among the pending steps; it is sent again
    a timer                                     in the list of timers
    code that is missing or does not fit        tried again, see `blocked`

It looks through a partition when it is taken, through all when Redis has lost its memory, for
executions every few seconds, and for steps that are older than a minute once a minute.

A message that is sent again while the first one waits or runs changes nothing: they have the same
unique key. One whose step has ended already would run for nothing, and be paid for; its letter may
still wait. So only steps are sent again that were pending before and after every letter was taken
in that was there in between, however long that takes; of those leased to who died at most half a
minute. What began after a partition was taken is left alone: the weakness is a holder that died
with a clock more than a lease ahead, whose last steps wait for the look of every minute.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError
from octoqueue.orchestrator.blocked import BlockedExecutions
from octoqueue.orchestrator.inbox import Input
from octoqueue.orchestrator.pauses import Pauses
from octoqueue.workflows.letters import queue_of
from octoqueue.workflows.states import StepKind

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.orchestrator.driving import Driver
    from octoqueue.orchestrator.effects import StepMessage
    from octoqueue.orchestrator.loaded import LoadedExecutions
    from octoqueue.orchestrator.sending import Sender
    from octoqueue.orchestrator.tasks import Tasks
    from octoqueue.orchestrator.timers import Timers
    from octoqueue.orchestrator.totals import OrchestratorTotals
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.messages import LeaseToken
    from octoqueue.workflows.executions import Execution, ExecutionId
    from octoqueue.workflows.journal import Step
    from octoqueue.workflows.protocol import WorkflowStore

log = logging.getLogger(__name__)

PAGE = 500
CALLS_PAGE = 200
"""Steps in one read: with each comes the input of its execution."""
LOOK_SECONDS = 5.0
"""How often executions are looked for that want attention."""
OLD_SECONDS = 60.0
"""How old a pending step is whose message is looked after, and how often."""
PATIENCE_SECONDS = 30.0
"""How long letters may be leased to who died: more than a lease, and the look of a reclaimer that
has much to do. Nobody waits so long for letters that are not there."""
STARTING_MS = 2_000
"""How long a start may be withdrawn that was not accepted; until then it is begun by its nudge."""
_POLL_SECONDS = 0.1
_AGAIN_SECONDS = 30.0
"""How long an execution in memory that wants attention and was read is left alone."""


class Reconciler:
    """Looks through the partitions that are held."""

    def __init__(
        self,
        store: WorkflowStore,
        lanes: LaneStore,
        *,
        epochs: Mapping[int, int],
        driver: Driver,
        loaded: LoadedExecutions,
        timers: Timers,
        sender: Sender,
        in_hand: Mapping[LeaseToken, str],
        settled: Callable[[], Awaitable[None]],
        step_message: StepMessage,
        names: Callable[[], tuple[str, ...]],
        tasks: Tasks,
        totals: OrchestratorTotals,
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            store: what is true.
            lanes: where letters wait.
            epochs: the partitions that are held.
            driver: looks at executions.
            loaded: executions in memory.
            timers: what is due.
            sender: sends messages.
            in_hand: letters that are ours and not ended.
            settled: returns when what has been taken in so far is written.
            step_message: makes the message of a step.
            names: the workflow functions that this process has.
            tasks: where it looks.
            totals: counts.
            clock: for pauses.
        """
        self._store = store
        self._lanes = lanes
        self._epochs = epochs
        self._driver = driver
        self._loaded = loaded
        self._timers = timers
        self._sender = sender
        self._in_hand = in_hand
        self._settled = settled
        self._step_message = step_message
        self._blocked = BlockedExecutions(
            store, epochs=epochs, driver=driver, settled=settled, names=names, clock=clock
        )
        self._tasks = tasks
        self._totals = totals
        self._clock = clock
        self._recovering: dict[int, asyncio.Task[None]] = {}

    # ── when something happened ──────────────────────────────────────────────────────────────────

    def recover(self, partitions: Iterable[int]) -> None:
        """Look through partitions from the beginning, beside everything else."""
        now_ms = self._clock.now_ms()
        for partition in partitions:
            self.drop(partition)
            self._recovering[partition] = self._tasks.begin(self._recover(partition, now_ms))

    def drop(self, partition: int) -> None:
        """Look through a partition no further."""
        self._blocked.drop(partition)
        task = self._recovering.pop(partition, None)
        if task is not None:
            task.cancel()

    async def recovered(self) -> None:
        """Return when all that was begun has been looked through."""
        while self._recovering:
            await asyncio.wait(self._recovering.values())

    async def _recover(self, partition: int, since_ms: int) -> None:
        pauses = Pauses("reconciliation")
        while True:
            try:
                await self._look_through(partition, since_ms)
            except StoreError as error:
                await self._clock.sleep(pauses.after(error))
            except Exception:
                log.exception("reconciliation_failed", extra={"partition": partition})
                await self._clock.sleep(_AGAIN_SECONDS)
            else:
                break
        self._totals.reconciled += 1
        if self._recovering.get(partition) is asyncio.current_task():
            del self._recovering[partition]

    async def _look_through(self, partition: int, since_ms: int) -> None:
        await self.fetch_timers([partition])
        await self._look(partition, again=True)
        await self._blocked.try_all(partition)
        await self._run_functions(partition)
        # What began since then is ours: its message has just been sent, and may just have ended.
        await self._resend(partition, began_before_ms=since_ms)

    # ── now and then ─────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Look now and then until cancelled."""
        self._tasks.leave(self._now_and_then(OLD_SECONDS, self._resend_old))
        await self._now_and_then(LOOK_SECONDS, self._look_around)

    async def _now_and_then(
        self, every_seconds: float, look: Callable[[list[int]], Awaitable[None]]
    ) -> None:
        """Have the partitions looked at that are held."""
        pauses = Pauses("reconciliation")
        while True:
            await self._clock.sleep(every_seconds)
            try:
                await look(list(self._epochs))
                pauses.over()
            except StoreError as error:
                await self._clock.sleep(pauses.after(error))
            except Exception:
                log.exception("reconciliation_failed")

    async def _look_around(self, partitions: list[int]) -> None:
        await self.fetch_timers(partitions)
        for partition in partitions:
            await self._look(partition, again=False)
        await self._blocked.try_some(partitions)

    async def _resend_old(self, partitions: list[int]) -> None:
        before_ms = self._clock.now_ms() - round(OLD_SECONDS * 1_000)
        for partition in partitions:
            if partition not in self._recovering:
                await self._resend(partition, began_before_ms=before_ms)

    async def fetch_timers(self, partitions: list[int]) -> None:
        """Keep what is due within the horizon.

        Raises:
            StoreError: the store is gone.
        """
        if not partitions:
            return
        now_ms = self._clock.now_ms()
        found = await self._store.timers(partitions, until_ms=now_ms + self._timers.horizon_ms)
        self._timers.add((each for each in found if each.partition in self._epochs), now_ms=now_ms)

    async def _look(self, partition: int, *, again: bool) -> None:
        """Look at executions that want attention; at those read just now, too, when `again`."""
        after: ExecutionId | None = None
        old = self._clock.monotonic() - _AGAIN_SECONDS
        while partition in self._epochs:
            page = await self._store.open_executions(partition, after=after, limit=PAGE)
            now_ms = self._clock.now_ms()
            self._driver.take(
                Input(ident, partition)
                for ident in page
                if not _is_just_starting(ident, now_ms) and (again or self._wants_look(ident, old))
            )
            if len(page) < PAGE:
                return
            after = page[-1]
            await self._settled()

    def _wants_look(self, ident: ExecutionId, old: float) -> bool:
        resident = self._loaded.get(ident)
        return resident is None or (resident.looked_at < old and not resident.reads)

    async def _run_functions(self, partition: int) -> None:
        """Bring executions into memory whose functions are to be run."""
        after: tuple[ExecutionId, str] | None = None
        while partition in self._epochs:
            page = await self._store.pending_calls(partition, after=after, limit=CALLS_PAGE)
            idents = {
                execution.execution_id for execution, step in page if step.kind is StepKind.RUN
            }
            self._driver.take(
                Input(ident, partition) for ident in idents if self._loaded.get(ident) is None
            )
            if len(page) < CALLS_PAGE:
                return
            after = page[-1][0].execution_id, page[-1][1].key
            await self._settled()

    # ── messages ─────────────────────────────────────────────────────────────────────────────────

    async def _resend(self, partition: int, *, began_before_ms: int) -> None:
        """Send the messages of pending steps again, unless what ends them has arrived."""
        seen = {
            (execution.execution_id, step.key)
            async for page in self._pending(partition, began_before_ms)
            for execution, step in page
        }
        if not seen:
            return
        await self._letters_are_in(partition)
        async for page in self._pending(partition, began_before_ms):
            calls = [
                (execution, step)
                for execution, step in page
                if (execution.execution_id, step.key) in seen
            ]
            await self._send(partition, calls)

    async def _pending(
        self, partition: int, began_before_ms: int
    ) -> AsyncGenerator[list[tuple[Execution, Step]]]:
        """Give the calls of a partition that are pending in the store, page by page."""
        after: tuple[ExecutionId, str] | None = None
        while partition in self._epochs:
            page = await self._store.pending_calls(partition, after=after, limit=CALLS_PAGE)
            yield [
                (execution, step)
                for execution, step in page
                if step.kind is StepKind.CALL and step.began_at_ms < began_before_ms
            ]
            if len(page) < CALLS_PAGE:
                break
            after = page[-1][0].execution_id, page[-1][1].key

    async def _letters_are_in(self, partition: int) -> None:
        """Return when every letter has been taken in that is there when this is called."""
        queue = queue_of(partition)
        began = self._clock.monotonic()
        while partition in self._epochs:
            waited = self._clock.monotonic() - began
            held = self._held_of(queue)
            stats = await self._lanes.stats(queue)
            # Held before and after: what was claimed or settled meanwhile would hide another's.
            ours = len(held & self._held_of(queue))
            are_claimed = not stats.waiting or stats.oldest_age_seconds < waited
            are_ours = stats.in_flight <= ours or waited > PATIENCE_SECONDS
            if are_claimed and are_ours:
                break
            await self._clock.sleep(_POLL_SECONDS)
        await self._settled()

    def _held_of(self, queue: str) -> set[LeaseToken]:
        return {token for token, each in self._in_hand.items() if each == queue}

    async def _send(self, partition: int, calls: list[tuple[Execution, Step]]) -> None:
        messages = [
            self._step_message(execution, step)
            for execution, step in calls
            if self._is_pending(execution.execution_id, step.key)
        ]
        if messages and partition in self._epochs:
            resent = await self._sender.enqueue(messages)
            self._totals.resent += resent
            if resent:
                log.info("steps_sent_again", extra={"partition": partition, "messages": resent})

    def _is_pending(self, ident: ExecutionId, key: str) -> bool:
        """Whether a step is pending for all we know."""
        resident = self._loaded.get(ident)
        if resident is None or resident.machine is None:
            return True
        return key in resident.machine.pending


def _is_just_starting(ident: ExecutionId, now_ms: int) -> bool:
    """Whether a start may not have been accepted yet; its id says when it was made."""
    return 0 <= now_ms - int(ident[:8] + ident[9:13], 16) < STARTING_MS
