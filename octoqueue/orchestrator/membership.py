"""`Membership`: shows that an orchestrator is alive, and takes and gives up partitions.

Several times a lease it renews itself, is told who is there and who holds what, and does its part
of the assignment. What it holds it knows with an epoch, which is part of every write: so what it
believes between two looks may be wrong and does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError
from octoqueue.orchestrator.assignment import wanted
from octoqueue.orchestrator.pauses import Pauses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import timedelta

    from octoqueue.orchestrator.totals import OrchestratorTotals
    from octoqueue.primitives.clock import Clock
    from octoqueue.workflows.protocol import Agent, Roster, WorkflowStore

log = logging.getLogger(__name__)

_LOOKS_A_LEASE = 8


class Membership:
    """One orchestrator among others."""

    def __init__(
        self,
        store: WorkflowStore,
        agent: Agent,
        *,
        partitions: int,
        lease: timedelta,
        taken: Callable[[Sequence[int]], None],
        lost: Callable[[Iterable[int]], None],
        giving_up: Callable[[Sequence[int]], Awaitable[None]],
        totals: OrchestratorTotals,
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            store: who holds what.
            agent: who we are.
            partitions: how many there are.
            lease: how long we are taken for alive after each look.
            taken: is told of partitions that are ours now.
            lost: is told of partitions that are not ours any more.
            giving_up: brings what is under way in some partitions to an end.
            totals: counts.
            clock: for the wait between two looks.
        """
        self.epochs: dict[int, int] = {}
        """The partitions we hold, with the epochs."""
        self._store = store
        self._agent = agent
        self._partitions = partitions
        self._lease = lease
        self._taken = taken
        self._lost = lost
        self._giving_up = giving_up
        self._totals = totals
        self._clock = clock
        self._alive_until = 0.0
        self._has_told_of_strangers = False
        self.attended = asyncio.Event()
        """Set by the first look that was answered."""

    async def run(self) -> None:
        """Look until cancelled."""
        pauses = Pauses("attendance")
        every_seconds = self._lease.total_seconds() / _LOOKS_A_LEASE
        while True:
            try:
                await self.settle()
            except StoreError as error:
                await self._clock.sleep(min(pauses.after(error), every_seconds))
            else:
                pauses.over()
                await self._clock.sleep(every_seconds)

    async def settle(self) -> None:
        """Renew ourselves and do our part of the assignment.

        Raises:
            StoreError: the store is gone; nothing is known to have changed.
        """
        roster = await self.attend()
        self._tell_of_strangers(roster)
        mine = wanted(self._agent.agent_id, roster, partitions=self._partitions)
        # An answer may have been lost: the store says that we hold what we know nothing of.
        strange = {p: roster.holds[p].epoch for p in mine.release if p not in self.epochs}
        if strange:
            await self._store.release(self._agent.agent_id, strange)
        if mine.release:
            await self.give_up(mine.release)
        unknown = [each for each in mine.keep if each not in self.epochs]
        if mine.take or unknown:
            await self._take([*mine.take, *unknown])
        self.attended.set()

    async def attend(self) -> Roster:
        """Renew ourselves; learn what we have lost.

        Raises:
            StoreError: the store is gone.
        """
        began = self._clock.monotonic()
        roster = await self._store.attend(self._agent, lease=self._lease)
        self._alive_until = began + self._lease.total_seconds()
        self.forget(
            each
            for each, epoch in tuple(self.epochs.items())
            if (hold := roster.holds.get(each)) is None
            or hold.owner != self._agent.agent_id
            or hold.epoch != epoch
        )
        return roster

    def forget(self, partitions: Iterable[int]) -> None:
        """Be told that partitions are not ours any more."""
        lost = [each for each in partitions if self.epochs.pop(each, None) is not None]
        if lost:
            log.warning("partitions_lost", extra={"partitions": _listed(lost)})
            self._lost(lost)

    def _tell_of_strangers(self, roster: Roster) -> None:
        """Say once that there are partitions which nobody of this configuration holds."""
        strange = [each for each in roster.holds if each >= self._partitions]
        if strange and not self._has_told_of_strangers:
            self._has_told_of_strangers = True
            hint = "workflows.partitions was larger: what has not ended in them is not run"
            log.warning("partitions_unknown", extra={"partitions": _listed(strange), "hint": hint})

    @property
    def is_alive(self) -> bool:
        """Whether the others still take us for alive, by our own clock."""
        return self._clock.monotonic() < self._alive_until

    async def _take(self, partitions: Sequence[int]) -> None:
        got = await self._store.take(self._agent.agent_id, partitions)
        new = {each: epoch for each, epoch in got.items() if self.epochs.get(each) != epoch}
        if new:
            self.epochs |= new
            self._totals.taken += len(new)
            log.info("partitions_taken", extra={"partitions": _listed(new)})
            self._taken(sorted(new))

    async def give_up(self, partitions: Sequence[int]) -> None:
        """Bring partitions to rest and give them to the others.

        Raises:
            StoreError: the store is gone; the others wait until we count as dead.
        """
        await self._giving_up(partitions)
        epochs = {each: self.epochs.pop(each) for each in partitions if each in self.epochs}
        if not epochs:
            return
        self._lost(sorted(epochs))
        log.info("partitions_released", extra={"partitions": _listed(epochs)})
        await self._store.release(self._agent.agent_id, epochs)

    async def leave(self) -> None:
        """Hold nothing any more; the others see it with their next look."""
        self.epochs.clear()
        with contextlib.suppress(StoreError):
            await self._store.leave(self._agent.agent_id)


def _listed(partitions: Iterable[int]) -> str:
    return ",".join(map(str, sorted(partitions)))
