"""`Orphans`: children nobody waits for any more are looked at.

The write that gave them up has asked them to end. When the process dies before they are looked at,
whoever holds their partition next finds them as it finds all that have signals.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from octoqueue.errors import OctoqueueError
from octoqueue.orchestrator.inbox import Input
from octoqueue.orchestrator.pauses import insisted

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from octoqueue.orchestrator.tasks import Tasks
    from octoqueue.primitives.clock import Clock
    from octoqueue.workflows.executions import Execution, ExecutionId
    from octoqueue.workflows.journal import Step
    from octoqueue.workflows.protocol import WorkflowStore


class Orphans:
    """Looks at executions one after the other."""

    def __init__(
        self,
        store: WorkflowStore,
        *,
        look: Callable[[Iterable[Input]], None],
        tasks: Tasks,
        clock: Clock,
    ) -> None:
        """Prepare; `look` makes an execution take what was sent to it."""
        self._store = store
        self._look = look
        self._tasks = tasks
        self._clock = clock
        self._waiting: deque[ExecutionId] = deque()
        self._task: asyncio.Task[None] | None = None

    def look_at(self, steps: Iterable[Step]) -> None:
        """Look at the children of some steps; they have been asked to end."""
        self._waiting.extend(step.child_id for step in steps if step.child_id is not None)
        if self._waiting and self._task is None:
            self._task = self._tasks.begin(self._look_at_all())

    async def _look_at_all(self) -> None:
        try:
            while self._waiting:
                await self._look_at(self._waiting.popleft())
        finally:
            self._task = None

    async def _look_at(self, child_id: ExecutionId) -> None:
        async def found() -> Execution | None:
            child = await self._store.execution(child_id)
            return None if child is None else await self._store.newest(child.workflow_id)

        try:
            child = await insisted(found, what="orphaned_child", clock=self._clock)
        except OctoqueueError:  # it is found later
            return
        if child is not None and not child.is_final:
            self._look([Input(child.execution_id, child.partition)])
