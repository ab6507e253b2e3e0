"""What a workflow function may know about its execution."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from octoqueue.workflows.waits import Host

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from octoqueue.primitives.lane import Lane
    from octoqueue.workflows.executions import ExecutionId, WorkflowId
    from octoqueue.workflows.states import Complexity
    from octoqueue.workflows.waits import CallWait

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Engine(Host, Protocol):
    """What the context needs of the machine it belongs to."""

    @property
    def now_ms(self) -> int:
        """The time the function is told."""
        ...

    @property
    def is_replaying(self) -> bool:
        """Whether a journal is being followed."""
        ...

    def emit(self, text: bytes) -> None:
        """Tell the caller something."""
        ...

    def patched(self, name: str) -> bool:
        """Return whether this execution has a change."""
        ...

    def on_failure(self, wait: CallWait[Any]) -> None:
        """Keep a compensation."""
        ...

    def continue_as_new(self, text: bytes) -> None:
        """Keep the input of the next execution."""
        ...

    def random_of_branch(self, make: Callable[[bytes], Random]) -> Random:
        """Return the source of the branch that runs; make one of its seed if there is none."""
        ...


class Facts:
    """Facts: equal in every replay, but for `is_replaying`."""

    __slots__ = ("_engine",)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def workflow_id(self) -> WorkflowId:
        """What the caller knows this by."""
        return self._engine.execution.workflow_id

    @property
    def execution_id(self) -> ExecutionId:
        """This execution. A retry has another, and is refused at a kept step that was given it."""
        return self._engine.execution.execution_id

    @property
    def run_number(self) -> int:
        """Which execution of its workflow, from 1. In a retry another, as `execution_id` is."""
        return self._engine.execution.run

    @property
    def name(self) -> str:
        """The workflow function's."""
        return self._engine.definition.name

    @property
    def version(self) -> int:
        """The workflow function's."""
        return self._engine.definition.version

    @property
    def lane(self) -> Lane:
        """The priority its steps have."""
        return self._engine.execution.lane

    @property
    def tenant(self) -> str | None:
        """On whose behalf it runs."""
        return self._engine.execution.tenant

    @property
    def complexity(self) -> Complexity:
        """How demanding it is."""
        return self._engine.execution.complexity

    @property
    def deadline(self) -> datetime | None:
        """When it is stopped."""
        deadline_at_ms = self._engine.execution.deadline_at_ms
        if deadline_at_ms is None:
            return None
        return EPOCH + timedelta(milliseconds=deadline_at_ms)

    @property
    def is_replaying(self) -> bool:
        """Whether this was done before: for logging once, never for deciding."""
        return self._engine.is_replaying
