"""`Orphans`: children nobody waits for any more are asked to end.

The turn that gave them up is committed before they are asked. When the process dies in between,
they go on for nothing: nobody is told how they end.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import orjson

from octoqueue.errors import NotThere, WorkflowError
from octoqueue.orchestrator.inbox import Input
from octoqueue.orchestrator.pauses import insisted
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.workflows.journal import Signal, SignalId
from octoqueue.workflows.states import SignalKind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from octoqueue.orchestrator.tasks import Tasks
    from octoqueue.primitives.clock import Clock
    from octoqueue.workflows.executions import Execution, ExecutionId
    from octoqueue.workflows.journal import Step
    from octoqueue.workflows.protocol import WorkflowStore

_REASON = orjson.dumps("its parent has gone on without it")


class Orphans:
    """Cancels executions one after the other."""

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

    def cancel(self, steps: Iterable[Step]) -> None:
        """Ask the children of some steps to end."""
        self._waiting.extend(step.child_id for step in steps if step.child_id is not None)
        if self._waiting and self._task is None:
            self._task = self._tasks.begin(self._cancel_all())

    async def _cancel_all(self) -> None:
        try:
            while self._waiting:
                await self._cancel(self._waiting.popleft())
        finally:
            self._task = None

    async def _cancel(self, child_id: ExecutionId) -> None:
        signal_id = SignalId(text_from_id(new_message_id()))
        signal = Signal(signal_id, SignalKind.CANCEL, "", _REASON, self._clock.now_ms())

        async def tell() -> Execution | None:
            child = await self._store.execution(child_id)
            return None if child is None else await self._store.signal(child.workflow_id, signal)

        try:
            told = await insisted(tell, what="cancel_of_child", clock=self._clock)
        except (WorkflowError, NotThere):  # it has ended, or is not kept any more
            return
        if told is not None:
            self._look([Input(told.execution_id, told.partition)])
