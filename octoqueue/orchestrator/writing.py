"""`Writer`: commits turns in groups, one transaction at a time, while the next group collects.

What follows from a turn is handed on only when its transaction has committed. A write whose answer
was lost is made again with the same turns, which changes nothing that was written before. A group
the store refuses is written execution by execution, so that the guilty one holds up no other.

A process that was stopped for longer than its lease may have been replaced between its write and
what follows. So when its last sign of life is that old, it asks who holds what before it sends.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from octoqueue.errors import OctoqueueError
from octoqueue.orchestrator.pauses import insisted
from octoqueue.orchestrator.rounds import Rounds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence

    from octoqueue.orchestrator.loaded import Resident
    from octoqueue.orchestrator.tasks import Tasks
    from octoqueue.orchestrator.totals import OrchestratorTotals
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.messages import Lease
    from octoqueue.workflows.journal import Turn
    from octoqueue.workflows.protocol import AgentId, WorkflowStore

log = logging.getLogger(__name__)

_MOST_TURNS = 1_000
"""Turns in one transaction: beyond some hundreds a group gains nothing and delays the others."""
_MOST_BYTES = 8 * 2**20
"""What they may weigh, unless a single turn weighs more."""
_ROW_BYTES = 200
"""What a row weighs besides its values, about."""


class Entry(NamedTuple):
    """A turn, whose it is, and the letter that is done with it."""

    resident: Resident
    turn: Turn
    lease: Lease | None


class Group(NamedTuple):
    """What one transaction writes, and the letters that are done when it has."""

    entries: list[Entry]
    done: list[tuple[Lease, int]]
    """Letters that caused no turn, with their partitions."""


class Writer:
    """Writes the turns of one database."""

    def __init__(
        self,
        store: WorkflowStore,
        agent_id: AgentId,
        *,
        epochs: Mapping[int, int],
        is_alive: Callable[[], bool],
        written: Callable[[Group], None],
        refused: Callable[[Resident, Exception, list[Lease]], Turn],
        lost: Callable[[Iterable[int]], None],
        give_back: Callable[[Lease], None],
        attend: Callable[[], Awaitable[object]],
        tasks: Tasks,
        totals: OrchestratorTotals,
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            store: where turns are written.
            agent_id: who writes.
            epochs: the partitions that are held; it is read, and others change it.
            is_alive: whether the others still leave them to us.
            written: takes what is committed.
            refused: makes the turn of an execution whose turns the store does not take, and keeps
                their letters.
            lost: is told of partitions that turned out to be held by somebody else.
            give_back: lets the others have a letter whose turn was not written, or has no effects.
            attend: asks the store who holds what.
            tasks: where it writes.
            totals: counts.
            clock: for pauses.
        """
        self._store = store
        self._agent_id = agent_id
        self._epochs = epochs
        self._is_alive = is_alive
        self._written = written
        self._refused = refused
        self._lost = lost
        self._give_back = give_back
        self._attend = attend
        self._tasks = tasks
        self._totals = totals
        self._clock = clock
        self._next = Group([], [])
        self._task: asyncio.Task[None] | None = None
        self._rounds = Rounds()

    @property
    def is_busy(self) -> bool:
        """Whether a write is under way."""
        return self._task is not None

    def add(self, entry: Entry) -> None:
        """Write a turn with the next group."""
        self._next.entries.append(entry)
        if self._task is None:
            self._task = self._tasks.begin(self._write_all())

    def done(self, lease: Lease, partition: int) -> None:
        """Let go of a letter as soon as all is written that came before it."""
        self._next.done.append((lease, partition))
        if self._task is None:
            self._task = self._tasks.begin(self._write_all())

    def drop(self, partition: int) -> list[Lease]:
        """Forget the turns of a partition; return the letters that caused them."""
        gone = [entry.lease for entry in self._next.entries if entry.turn.partition == partition]
        leases = [lease for lease in gone if lease is not None]
        leases += [lease for lease, own in self._next.done if own == partition]
        entries = [entry for entry in self._next.entries if entry.turn.partition != partition]
        done = [each for each in self._next.done if each[1] != partition]
        self._next = Group(entries, done)
        return leases

    async def round(self) -> None:
        """Return when the write under way has ended, and what follows from it is on its way."""
        if self._task is not None:
            await self._rounds.end()

    async def caught_up(self) -> None:
        """Return when all is written that was there when this was called."""
        await self.round()
        await self.round()

    async def idle(self) -> None:
        """Return when everything is written."""
        while self._task is not None:
            await asyncio.shield(self._task)

    async def _write_all(self) -> None:
        try:
            while self._next.entries or self._next.done:
                group, self._next = self._taken()
                epochs = dict(self._epochs)
                if group.entries:
                    group = await self._write(group, epochs)
                    if not self._is_alive():
                        group = await self._after_pause(group, epochs)
                self._written(group)
                self._rounds.over()
        finally:
            self._task = None
            self._rounds.over()

    def _taken(self) -> tuple[Group, Group]:
        """Return the next group, and what stays for the one behind it."""
        entries, done = self._next
        count = _fitting(entries)
        if count == len(entries):
            return self._next, Group([], [])
        return Group(entries[:count], []), Group(entries[count:], done)

    async def _write(self, group: Group, epochs: Mapping[int, int]) -> Group:
        """Commit a group; return what of it was written."""
        turns = [entry.turn for entry in group.entries]
        try:
            lost = await insisted(
                lambda: self._store.write(self._agent_id, turns, epochs),
                what="write",
                clock=self._clock,
            )
        except OctoqueueError as error:
            return await self._write_apart(group, epochs, error)
        self._count(len(turns) if not lost else 0, group.entries)
        return self._without(group, lost) if lost else group

    def _count(self, turns: int, entries: Sequence[Entry]) -> None:
        totals = self._totals
        totals.writes += 1
        totals.turns += turns
        totals.steps += sum([len(entry.turn.steps) for entry in entries])
        totals.largest_group = max(totals.largest_group, turns)

    def _without(self, group: Group, lost: frozenset[int]) -> Group:
        """Return what of a group was written; give up what belongs to somebody else."""
        kept = self._left(group.entries, lost)
        for lease, partition in group.done:
            if partition in lost:
                self._give_back(lease)
        self._lost(lost)
        return Group(kept, [each for each in group.done if each[1] not in lost])

    def _left(self, entries: list[Entry], lost: Container[int]) -> list[Entry]:
        """Return the entries that are not of lost partitions; their letters are for the others."""
        kept = [entry for entry in entries if entry.turn.partition not in lost]
        if len(kept) < len(entries):
            self._totals.lost += len(entries) - len(kept)
            log.warning("turns_left_to_others", extra={"turns": len(entries) - len(kept)})
            for entry in entries:
                if entry.lease is not None and entry.turn.partition in lost:
                    self._give_back(entry.lease)
        return kept

    async def _write_apart(
        self, group: Group, epochs: Mapping[int, int], error: Exception
    ) -> Group:
        """Write the turns of one execution after those of another; park those that are refused."""
        executions: dict[str, list[Entry]] = {}
        for entry in group.entries:
            executions.setdefault(entry.turn.execution_id, []).append(entry)
        if len(executions) > 1:
            kept: list[Entry] = []
            for entries in executions.values():
                kept += (await self._write(Group(entries, []), epochs)).entries
            return Group(kept, group.done)
        (entries,) = executions.values()
        resident = entries[0].resident
        log.error(
            "turns_refused",
            extra={"execution_id": resident.execution.execution_id, "turns": len(entries)},
            exc_info=error,
        )
        if resident.machine is None and len(entries) == 1:
            # Not even that it is parked can be written; whoever reads it next tries again.
            return Group(entries, group.done)
        leases = [entry.lease for entry in entries if entry.lease is not None]
        last = Entry(resident, self._refused(resident, error, leases), None)
        resident.unwritten -= len(entries) - 1
        return await self._write(Group([last], group.done), epochs)

    async def _after_pause(self, group: Group, epochs: Mapping[int, int]) -> Group:
        """Ask who holds what; return what may be sent."""
        await insisted(self._attend, what="attendance", clock=self._clock)
        lost = {each for each, epoch in epochs.items() if self._epochs.get(each) != epoch}
        return Group(self._left(group.entries, lost), group.done)


def _fitting(entries: Sequence[Entry]) -> int:
    """Return how many turns fit into one transaction: one at least, if there is one."""
    left = _MOST_BYTES
    for count, entry in enumerate(entries[:_MOST_TURNS]):
        left -= _weight(entry.turn)
        if left < 0 and count:
            return count
    return min(len(entries), _MOST_TURNS)


def _weight(turn: Turn) -> int:
    """Return about how many bytes a turn is."""
    weight = _ROW_BYTES + len(turn.output or b"") + len(turn.error or b"")
    for step in turn.steps:
        weight += _ROW_BYTES + len(step.input or b"")
        weight += len(step.output or b"") + len(step.error or b"")
    for child in turn.children:
        weight += _ROW_BYTES + len(child.input)
    if turn.continued is not None:
        weight += len(turn.continued.input)
    return weight
