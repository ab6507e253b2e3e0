"""Who is there and who holds which partition, for `MemoryWorkflowStore`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.workflows.protocol import Hold, Roster

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from octoqueue.primitives.clock import Clock
    from octoqueue.workflows.protocol import Agent, AgentId


@dataclass(slots=True)
class MemoryHolds:
    """Orchestrators by the end of their leases, and partitions by their holders."""

    clock: Clock
    expires_at_ms: dict[AgentId, int] = field(default_factory=dict["AgentId", int])
    holds: dict[int, Hold] = field(default_factory=dict[int, Hold])
    agents: dict[AgentId, Agent] = field(default_factory=dict["AgentId", "Agent"])

    def attend(self, agent: Agent, *, lease: timedelta) -> Roster:
        """Register or renew."""
        until = self.clock.now_ms() + lease // timedelta(milliseconds=1)
        self.expires_at_ms[agent.agent_id] = until
        self.agents[agent.agent_id] = agent
        return Roster(
            agents=tuple(sorted(each for each in self.expires_at_ms if self._is_alive(each))),
            holds={each: self._seen(hold) for each, hold in sorted(self.holds.items())},
        )

    def take(self, agent_id: AgentId, partitions: Sequence[int]) -> dict[int, int]:
        """Hold what nobody holds."""
        if not self._is_alive(agent_id):
            return {}
        got: dict[int, int] = {}
        for partition in sorted(set(partitions)):
            hold = self.holds.get(partition, Hold(owner=None, epoch=0))
            if hold.owner != agent_id:
                if self._is_alive(hold.owner):
                    continue
                hold = Hold(owner=agent_id, epoch=hold.epoch + 1)
                self.holds[partition] = hold
            got[partition] = hold.epoch
        return got

    def release(self, agent_id: AgentId, epochs: Mapping[int, int]) -> None:
        """Give partitions up."""
        for partition, epoch in epochs.items():
            if self.is_held(agent_id, partition, epoch):
                self.holds[partition] = Hold(owner=None, epoch=epoch)

    def leave(self, agent_id: AgentId) -> None:
        """End an orchestrator."""
        self.expires_at_ms.pop(agent_id, None)
        self.agents.pop(agent_id, None)
        for partition, hold in self.holds.items():
            if hold.owner == agent_id:
                self.holds[partition] = Hold(owner=None, epoch=hold.epoch)

    def lost(
        self, agent_id: AgentId, partitions: Iterable[int], epochs: Mapping[int, int]
    ) -> frozenset[int]:
        """Return those that are not held at the given epochs."""
        return frozenset(
            partition
            for partition in partitions
            if not self.is_held(agent_id, partition, epochs.get(partition))
        )

    def holder(self, partition: int) -> Agent | None:
        """Return who holds a partition."""
        hold = self.holds.get(partition)
        if hold is None or hold.owner is None or not self._is_alive(hold.owner):
            return None
        return self.agents[hold.owner]

    def is_held(self, agent_id: AgentId, partition: int, epoch: int | None) -> bool:
        """Return whether an agent holds a partition at an epoch."""
        hold = self.holds.get(partition)
        return hold is not None and hold.owner == agent_id and hold.epoch == epoch

    def _seen(self, hold: Hold) -> Hold:
        return hold if self._is_alive(hold.owner) else Hold(owner=None, epoch=hold.epoch)

    def _is_alive(self, agent_id: AgentId | None) -> bool:
        if agent_id is None:
            return False
        return self.expires_at_ms.get(agent_id, 0) > self.clock.now_ms()
