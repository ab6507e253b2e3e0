"""`LoadedExecutions`: the executions in memory, the least recently used out first. Pure.

Everything an execution is stands in its journal, so throwing one out costs a replay and nothing
else. One that has turns which are not written, runs a function here, or is being read is *busy* and
stays; so there may be more than the bound while all are busy.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from octoqueue.workflows.executions import Execution, ExecutionId
    from octoqueue.workflows.journal import SignalId
    from octoqueue.workflows.machine import Machine

_LOOKS = 16
"""Busy ones that are passed over before one more than the bound is borne."""


@dataclass(slots=True)
class Resident:
    """One execution in memory."""

    execution: Execution
    machine: Machine | None
    """None when it is parked: it stays in memory until that is written."""
    seen: set[SignalId] = field(default_factory=set["SignalId"])
    """Signals that the machine has been given."""
    unwritten: int = 0
    """Turns that are not committed, or whose effects are not on their way."""
    functions: int = 0
    """RUN steps that run here now."""
    reads: int = 0
    """Reads of it that are under way."""
    looked_at: float = 0.0
    """When it was last read, on the monotonic clock."""

    def close(self) -> None:
        """Let go of the machine: nothing moves it any more."""
        machine, self.machine = self.machine, None
        if machine is not None:
            machine.close()

    @property
    def is_busy(self) -> bool:
        """Whether it must stay in memory."""
        return bool(self.unwritten or self.functions or self.reads)


class LoadedExecutions:
    """Executions by id, at most `bound` of them that are not busy."""

    def __init__(self, *, bound: int) -> None:
        """Hold up to `bound`."""
        self._bound = bound
        self._residents: OrderedDict[ExecutionId, Resident] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are in memory."""
        return len(self._residents)

    def __iter__(self) -> Iterator[Resident]:
        """Go through all, in no order that means anything."""
        return iter(list(self._residents.values()))

    def get(self, execution_id: ExecutionId) -> Resident | None:
        """Return one that is in memory, as used now."""
        found = self._residents.get(execution_id)
        if found is not None:
            self._residents.move_to_end(execution_id)
        return found

    def add(self, resident: Resident) -> None:
        """Keep one more; `trim` makes room for it."""
        self._residents[resident.execution.execution_id] = resident

    def remove(self, execution_id: ExecutionId) -> None:
        """Forget one, if it is there."""
        self._residents.pop(execution_id, None)

    def drop(self, partition: int) -> list[Resident]:
        """Forget those of a partition, and return them."""
        gone = [each for each in self if each.execution.partition == partition]
        for resident in gone:
            del self._residents[resident.execution.execution_id]
        return gone

    def trim(self) -> list[Resident]:
        """Throw out what is too much and not busy, and return it."""
        gone: list[Resident] = []
        looks = _LOOKS
        while len(self._residents) > self._bound and looks:
            execution_id, oldest = next(iter(self._residents.items()))
            if oldest.is_busy:
                looks -= 1
                self._residents.move_to_end(execution_id)
            else:
                del self._residents[execution_id]
                gone.append(oldest)
        return gone
