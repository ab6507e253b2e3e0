"""`WorkflowStore`: what one can do with workflows, whatever keeps them.

Every implementation runs the suite in `tests/contract/workflow_store.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from octoqueue.workflows.executions import Execution, ExecutionId, NewExecution, WorkflowId
    from octoqueue.workflows.journal import Signal, Step, Turn
    from octoqueue.workflows.states import ExecutionStatus

AgentId = NewType("AgentId", str)
"""Names one boot of one orchestrator: a uuid7 in canonical form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A live process that holds partitions."""

    agent_id: AgentId
    type: str = "orchestrator"
    host: str = ""
    """Where it runs, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Who holds a partition."""

    owner: AgentId | None
    """None: nobody, or somebody whose lease is over."""
    epoch: int
    """The fencing token: one more each time the partition is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """All orchestrators and partitions at one moment of the store's clock."""

    agents: tuple[AgentId, ...]
    """Those alive, sorted."""
    holds: Mapping[int, Hold]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """All that is needed to go on with an execution."""

    execution: Execution
    steps: tuple[Step, ...]
    """Its journal: those that ended by their order, then those pending by their key."""
    signals: tuple[Signal, ...]
    """Those no turn has taken, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What became of a start."""

    execution: Execution
    """The newest execution of the workflow."""
    is_new: bool
    """False: the id was taken by an equal start before; nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """Something that is due."""

    partition: int
    execution_id: ExecutionId
    step: str
    """The key of a SLEEP or SIGNAL; empty for the execution's deadline."""
    due_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which executions are listed; None means any."""

    status: ExecutionStatus | None = None
    name: str | None = None
    tenant: str | None = None
    workflow_id: WorkflowId | None = None
    before: ExecutionId | None = None
    """Only those older than this one: the last of the page before."""


class WorkflowStore(Protocol):
    """Keeps workflows, their executions and journals, and who may write them.

    Every verb may raise `StoreUnavailable`; then its effect is unknown, and calling it again is
    safe. Calls made in the same tick may share one statement.
    """

    # ── for callers ──────────────────────────────────────────────────────────────────────────────

    async def start(self, new: NewExecution) -> Started:
        """Keep a new execution, queued. An equal start of the same workflow id changes nothing.

        Raises:
            WorkflowIdTaken: the id belongs to another workflow function or input.
        """
        ...

    async def withdraw(self, execution_id: ExecutionId) -> bool:
        """Forget a queued execution whose caller is told that it was not accepted.

        False when it was begun meanwhile, or is not the first execution of a start.
        """
        ...

    async def signal(self, workflow_id: WorkflowId, signal: Signal) -> Execution:
        """Keep a signal for the newest execution of a workflow; the same id twice is once.

        Also when the first one was taken by an execution that has ended since, or continued.

        Raises:
            WorkflowUnknown: there is none of that id.
            WorkflowFinished: it has ended.
            SignalUnknown: it declares its signals, and this is none of them.
        """
        ...

    async def execution(self, execution_id: ExecutionId) -> Execution | None:
        """Return an execution, None when there is none (any more)."""
        ...

    async def newest(self, workflow_id: WorkflowId) -> Execution | None:
        """Return the newest execution of a workflow, None when there is none (any more)."""
        ...

    async def executions(self, which: Filter, *, limit: int = 100) -> list[Execution]:
        """Return executions, newest first."""
        ...

    async def history(self, execution_id: ExecutionId) -> Loaded | None:
        """Return an execution with its whole journal, None when there is none (any more)."""
        ...

    async def refused_signals(self, execution_id: ExecutionId) -> list[tuple[Signal, bytes]]:
        """Return the signals that did not fit, each with the JSON of the error, oldest first."""
        ...

    async def holder(self, partition: int) -> Agent | None:
        """Return the orchestrator that holds a partition, None when nobody (alive) does."""
        ...

    async def retry_from(self, execution_id: ExecutionId, step: str) -> Execution:
        """Begin a new execution of a failed or cancelled one that has all done before `step`.

        The steps that ended before `step` did (or would have) are copied; the rest is done anew.
        The new execution is queued and has a journal already: ended steps only, in their order.

        Raises:
            WorkflowUnknown: there is no such execution.
            WorkflowNotFinished: it has not ended, or a newer execution of the workflow has not.
            WorkflowFinished: it has completed or continued, so there is nothing to retry.
            StepUnknown: it has no step of that key.
        """
        ...

    # ── for orchestrators: who holds what ────────────────────────────────────────────────────────

    async def attend(self, agent: Agent, *, lease: timedelta) -> Roster:
        """Register or renew an orchestrator for the time of `lease`; return who is there."""
        ...

    async def take(self, agent_id: AgentId, partitions: Sequence[int]) -> dict[int, int]:
        """Hold partitions that nobody (alive) holds; return those that were got, with the epochs.

        What the agent holds already it gets again, at the same epoch. An agent whose own lease is
        over gets nothing. Waits until whatever the last holder was committing is committed or gone.
        """
        ...

    async def release(self, agent_id: AgentId, epochs: Mapping[int, int]) -> None:
        """Give partitions up; those held at another epoch stay as they are."""
        ...

    async def leave(self, agent_id: AgentId) -> None:
        """End an orchestrator: it holds nothing any more. Idempotent."""
        ...

    # ── for orchestrators: running ───────────────────────────────────────────────────────────────

    async def load(self, execution_ids: Sequence[ExecutionId]) -> list[Loaded]:
        """Return executions with their journals, in the order given; unknown ones are left out."""
        ...

    async def write(
        self, agent_id: AgentId, turns: Sequence[Turn], epochs: Mapping[int, int]
    ) -> frozenset[int]:
        """Commit turns in one transaction, in order; later turns see what earlier ones wrote.

        Returns the partitions that `agent_id` does not hold at the given epoch (any more): nothing
        of their turns was written, all of the others was, with these rules:

        The turns of one execution stand or fall together. They are left out when there is no such
        execution (any more), it has ended, or one of them ends it and another one follows; also
        when it is queued and the first of them does not move it.

        A step that has ended stays as it ended, and what a step was begun with never changes. Steps
        that are due are timers until they end; so is the deadline of an execution, with no key.

        An execution that ends, other than by continuing, keeps the signal CHILD for its parent, if
        that has not ended: JSON `{"status", "output", "error"}`, its id that of the execution. One
        that continues hands on its parent, and the signals nobody has taken (not those of its
        children). Signals that nobody has taken when an execution ends are no longer told.

        A child whose workflow id has ended and had the same parent workflow is its next execution.
        When the id belongs to anybody else, the parent gets the signal CHILD with that as an error.

        A child whose step is CANCELLED is asked to end: unless it has ended, it keeps a signal
        CANCEL, wherever it has continued.
        """
        ...

    async def open_executions(
        self, partition: int, *, after: ExecutionId | None = None, limit: int = 500
    ) -> list[ExecutionId]:
        """Return executions of a partition that want attention, oldest first.

        Queued ones, and those with signals that no turn has taken.
        """
        ...

    async def pending_calls(
        self,
        partition: int,
        *,
        after: tuple[ExecutionId, str] | None = None,
        limit: int = 500,
    ) -> list[tuple[Execution, Step]]:
        """Return pending CALL and RUN steps of executions that run or are blocked.

        By execution and key. They are what a new holder may have to send or to run again.
        """
        ...

    async def timers(
        self, partitions: Sequence[int], *, until_ms: int, limit: int = 10_000
    ) -> list[Timer]:
        """Return what is due until then, soonest first."""
        ...

    async def blocked(
        self,
        partition: int,
        *,
        names: Sequence[str],
        after: ExecutionId | None = None,
        limit: int = 500,
    ) -> list[ExecutionId]:
        """Return blocked executions of these workflow functions, oldest first.

        Their code may be there now.
        """
        ...

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────

    async def prune(self, *, older_than: timedelta, now: datetime | None = None) -> int:
        """Forget executions that ended longer ago; return about how many. Makes room ahead, too."""
        ...

    async def check(self) -> None:
        """Return when the store answers.

        Raises:
            StoreUnavailable: it does not.
        """
        ...

    async def aclose(self) -> None:
        """Answer what is under way and release what it holds. Idempotent."""
        ...
