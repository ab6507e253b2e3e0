"""Who is there and who holds what, in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.postgres.statements import load_statements
from octoqueue.workflows.postgres_callers import by_itself
from octoqueue.workflows.protocol import Agent, Hold, Roster

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from octoqueue.postgres.pool import PostgresPool
    from octoqueue.workflows.protocol import AgentId


class PostgresHolds:
    """Statements of membership."""

    def __init__(self, pool: PostgresPool) -> None:
        self._sql = load_statements("workflows_holds")
        self._fetch = by_itself(pool)

    async def attend(self, agent: Agent, lease: timedelta) -> Roster:
        """Register or renew."""
        statement = self._sql["attend_agents"]
        (row,) = await self._fetch(statement, agent.agent_id, agent.type, agent.host, lease)
        agents, partitions, owners, epochs = row
        return Roster(
            agents=tuple(agents),
            holds={
                partition: Hold(owner=owner, epoch=epoch)
                for partition, owner, epoch in zip(partitions, owners, epochs, strict=True)
            },
        )

    async def holder(self, partition: int) -> Agent | None:
        """Return who holds a partition."""
        for row in await self._fetch(self._sql["get_holder"], partition):
            return Agent(agent_id=row[0], type=row[1], host=row[2])
        return None

    async def take(self, agent_id: AgentId, partitions: Sequence[int]) -> dict[int, int]:
        """Hold what nobody holds."""
        wanted = sorted(set(partitions))
        rows = await self._fetch(self._sql["take_partitions"], agent_id, wanted)
        return {row[0]: row[1] for row in sorted(rows, key=tuple)}

    async def release(self, agent_id: AgentId, epochs: Mapping[int, int]) -> None:
        """Give partitions up."""
        statement = self._sql["release_partitions"]
        await self._fetch(statement, agent_id, list(epochs), list(epochs.values()))

    async def leave(self, agent_id: AgentId) -> None:
        """End an orchestrator."""
        await self._fetch(self._sql["leave_agents"], agent_id)
