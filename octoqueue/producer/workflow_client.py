"""`WorkflowClient`: starts workflows and speaks to them; what `Workflow` and its handles use.

    async with octoqueue.WorkflowClient.connected():
        handle = await order.start(Order(17), id="order-17")

PostgreSQL is written first, then the orchestrator is nudged through Redis. A caller that dies in
between has started a workflow; whoever holds its partition finds it within seconds.

Weakness: where a lane of nudges is full, the row is taken back and the caller is refused. If its
orchestrator has begun it meanwhile, it stays started, and the caller is told so.
Whoever starts the same at that moment, or signals it, may have been told that it is kept.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from octoqueue.broker.default import default_broker
from octoqueue.broker.workflow_objects import largest_value_bytes, with_large_values
from octoqueue.errors import (
    InputTooLarge,
    InvalidMessage,
    LaneFull,
    OctoqueueError,
    StoreError,
    WorkflowNotDeclared,
)
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.primitives.lane import lane_from
from octoqueue.producer.nudging import letter_about
from octoqueue.routing.partitions import PartitionMap
from octoqueue.settings.root import Settings
from octoqueue.workflows.definitions import DEFINITIONS
from octoqueue.workflows.executions import (
    CHILD_MARK,
    NewExecution,
    WorkflowId,
    new_execution_id,
    partition_of,
    workflow_id_from,
)
from octoqueue.workflows.finding import printable
from octoqueue.workflows.states import Complexity, ExecutionStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.lane import Lane
    from octoqueue.workflows.definitions import Definition, Registry
    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.journal import Signal
    from octoqueue.workflows.protocol import Started, WorkflowStore

_MILLISECOND = timedelta(milliseconds=1)
_LAST_MS = datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000
_NAME = "octoqueue workflows"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWish:
    """What a caller says about one start; None where the workflow's declaration holds."""

    id: str | None = None
    lane: Lane | str | None = None
    tenant: str | None = None
    complexity: Complexity | str | None = None
    deadline: timedelta | datetime | None = None


class WorkflowClient:
    """Callers' side of workflows, for one event loop."""

    def __init__(
        self,
        store: WorkflowStore,
        broker: LaneBroker,
        *,
        settings: Settings | None = None,
        definitions: Registry = DEFINITIONS,
        clock: Clock | None = None,
    ) -> None:
        """Speak to these.

        Args:
            store: where workflows are kept; it stays its opener's.
            broker: whose lanes carry nudges and announcements.
            settings: `workflows.partitions` and limits; the defaults without.
            definitions: what this process has imported.
            clock: for tests.
        """
        rules = (settings or Settings()).workflows
        self.store = store
        self.clock = clock or SystemClock()
        self._broker = broker
        self._partitions = PartitionMap(rules.partitions)
        self._limit_bytes = rules.max_value_bytes
        self._largest_bytes = largest_value_bytes(settings or Settings())
        self._definitions = definitions

    # ── which one ────────────────────────────────────────────────────────────────────────────────

    @classmethod
    @asynccontextmanager
    async def connected(
        cls, settings: Settings | None = None, *, broker: LaneBroker | None = None
    ) -> AsyncGenerator[WorkflowClient]:
        """Open the client of the running loop for the time of the block.

        Raises:
            ConfigError: the configuration is wrong.
            EmbeddedError: no database is configured, and the private one cannot be started.
            StoreUnavailable: PostgreSQL was not there in time.
        """
        async with AsyncExitStack() as stack:
            client = await cls._opened(stack, settings, broker)
            stack.enter_context(client.in_use())
            yield client

    @classmethod
    async def _opened(
        cls, stack: AsyncExitStack, settings: Settings | None, broker: LaneBroker | None
    ) -> WorkflowClient:
        # asyncpg is loaded by those who start workflows, not by those who only declare them.
        from octoqueue.workflows.database import workflow_store_in  # noqa: PLC0415

        if settings is None:
            settings = await asyncio.to_thread(Settings.load)
        kept = await workflow_store_in(stack, settings, application_name=_NAME)
        store = with_large_values(kept, settings)
        return cls(store, broker or default_broker(), settings=settings)

    @contextmanager
    def in_use(self) -> Generator[WorkflowClient]:
        """Make this the client of the running loop for the time of the block."""
        loop = asyncio.get_running_loop()
        _clients.setdefault(loop, []).append(self)
        try:
            yield self
        finally:
            _let_go(loop, self)

    @classmethod
    async def here(cls) -> WorkflowClient:
        """Return the client of the running loop, opening one that stays.

        It is closed by `close_here`, or when `asyncio.run` ends the loop.
        """
        loop = asyncio.get_running_loop()
        if found := _clients.get(loop):
            return found[-1]
        async with _opening.setdefault(loop, asyncio.Lock()):
            if found := _clients.get(loop):
                return found[-1]
            _forget_closed_loops()
            keeping = cls._kept()
            client = await anext(keeping)
            _keeping[loop] = keeping
            return client

    @classmethod
    async def _kept(cls) -> AsyncGenerator[WorkflowClient]:
        """Give a client, and keep it until this is closed: a loop that ends does so."""
        async with AsyncExitStack() as stack:
            client = await cls._opened(stack, None, None)
            loop = asyncio.get_running_loop()
            _clients.setdefault(loop, []).append(client)
            stack.callback(_let_go, loop, client)
            yield client

    @staticmethod
    async def close_here() -> None:
        """Close what `here` has opened on the running loop. Idempotent."""
        keeping = _keeping.pop(asyncio.get_running_loop(), None)
        if keeping is not None:
            await keeping.aclose()

    async def lanes(self) -> LaneStore:
        """Return the broker's lanes."""
        return await self._broker.opened_store()

    # ── starting ─────────────────────────────────────────────────────────────────────────────────

    def new_execution(
        self, definition: Definition, input_: object, wish: StartWish
    ) -> NewExecution:
        """Return what a start writes.

        Raises:
            InputInvalid: the input is not of the declared type.
            InputTooLarge: it is over the limit.
            InvalidMessage: the id or an option is impossible; names it.
        """
        workflow_id = _id_from(wish.id)
        text = definition.input_from(input_, workflow_id=workflow_id)
        largest = self._largest_bytes
        self._require_fitting(text, definition.name, "input", workflow_id, limit_bytes=largest)
        deadline: timedelta | datetime | None = wish.deadline
        if deadline is None:
            deadline = definition.deadline
        return NewExecution(
            workflow_id=workflow_id,
            execution_id=new_execution_id(workflow_id),
            partition=partition_of(workflow_id, self._partitions),
            name=definition.name,
            version=definition.version,
            input=text,
            lane=definition.lane if wish.lane is None else lane_from(wish.lane),
            tenant=_tenant_from(wish.tenant),
            complexity=_complexity_from(wish.complexity, definition.complexity),
            signals=None if definition.signals is None else tuple(definition.signals),
            deadline_at_ms=_deadline_ms(deadline, now_ms=self.clock.now_ms()),
        )

    async def start(
        self, definition: Definition, input_: object = None, wish: StartWish | None = None
    ) -> Started:
        """Start a workflow; the same start again changes nothing.

        Raises:
            InputInvalid: the input is not of the declared type.
            InputTooLarge: it is over the limit.
            InvalidMessage: the id or an option is impossible; names it.
            WorkflowIdTaken: the id belongs to another start.
            LaneFull: its orchestrator has too much to do; nothing was started.
            StoreUnavailable: whether it was started is unknown; start it again with its id.
        """
        new = self.new_execution(definition, input_, wish or StartWish())
        await self.lanes()  # what cannot be opened is told before anything is written
        started = await self.store.start(new)
        execution = started.execution
        if execution.status is ExecutionStatus.QUEUED:
            refused = await self._nudge(execution)
            if started.is_new and isinstance(refused, LaneFull):
                is_gone = await self.store.withdraw(execution.execution_id)
                if is_gone:
                    raise refused
        return started

    async def send_signal(self, workflow_id: WorkflowId, signal: Signal) -> Execution:
        """Write a signal for the newest execution of a workflow, then nudge.

        Raises:
            WorkflowUnknown: there is none of that id.
            WorkflowFinished: it has ended.
            SignalUnknown: it declares its signals, and this is none of them.
            StoreUnavailable: whether it was written is unknown; send it again with its id.
        """
        await self.lanes()
        execution = await self.store.signal(workflow_id, signal)
        await self._nudge(execution)
        return execution

    async def _nudge(self, execution: Execution) -> OctoqueueError | None:
        """Send a letter with all else that is sent in this tick; return why it was not sent."""
        try:
            await self._broker.hand_in((letter_about(execution, now_ms=self.clock.now_ms()),))
        except (StoreError, LaneFull) as error:
            return error
        return None

    # ── checking ─────────────────────────────────────────────────────────────────────────────────

    def definition_of(self, execution: Execution) -> Definition | None:
        """Return the definition of an execution when this process has imported it."""
        try:
            return self._definitions.get(execution.name, execution.version)
        except WorkflowNotDeclared:
            return None

    def require_fitting_signal(self, text: bytes, name: str, workflow_id: WorkflowId) -> None:
        """Refuse a signal's value that is too large.

        Raises:
            InputTooLarge: it is.
        """
        limit_bytes = self._limit_bytes
        self._require_fitting(text, name, "signal", workflow_id, limit_bytes=limit_bytes)

    @staticmethod
    def _require_fitting(
        text: bytes, name: str, field: str, workflow_id: WorkflowId, *, limit_bytes: int
    ) -> None:
        if len(text) > limit_bytes:
            raise InputTooLarge(
                name,
                field,
                value_bytes=len(text),
                limit_bytes=limit_bytes,
                workflow_id=workflow_id,
            )


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, list[WorkflowClient]] = WeakKeyDictionary()
"""Those in use, the one that was taken last at the end."""
_keeping: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[WorkflowClient]]
_keeping = WeakKeyDictionary()
"""What keeps those that `here` has opened."""
_opening: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
_inherited: list[object] = []
"""What belongs to the parent of a forked child: never used, and never let go of."""


def _let_go(loop: asyncio.AbstractEventLoop, client: WorkflowClient) -> None:
    """Use a client no more."""
    known = _clients.get(loop, [])
    if client in known:
        known.remove(client)
    if not known:
        _clients.pop(loop, None)


def _forget_closed_loops() -> None:
    """A loop that was closed by hand has left its client behind, and the client holds the loop."""
    for place in (_clients, _keeping, _opening):
        for loop in [loop for loop in place if loop.is_closed()]:
            del place[loop]


def _leave_clients() -> None:
    """A child of a fork must not use the connections of its parent."""
    global _clients, _keeping, _opening  # clearing them would close what they hold
    _inherited.extend((_clients, _keeping, _opening))
    _clients, _keeping, _opening = WeakKeyDictionary(), WeakKeyDictionary(), WeakKeyDictionary()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_clients)


def _id_from(text: str | None) -> WorkflowId:
    if text is None:
        return WorkflowId(text_from_id(new_message_id()))
    if not isinstance(cast("object", text), str):
        raise InvalidMessage("workflow_id", f"{text!r} is no text")
    if CHILD_MARK in text:
        raise InvalidMessage(
            "workflow_id", f"{text!r} holds {CHILD_MARK!r}, which only ids of children do"
        )
    return workflow_id_from(text)


def _tenant_from(tenant: str | None) -> str | None:
    from octoqueue.broker.admission import tenant_of  # noqa: PLC0415 - with the broker's modules

    if tenant is None:
        return None
    named = cast("object", tenant)
    return tenant_of({"tenant": printable("tenant", named) if isinstance(named, str) else named})


def _complexity_from(wanted: Complexity | str | None, declared: Complexity) -> Complexity:
    if wanted is None:
        return declared
    try:
        return Complexity(wanted)
    except ValueError:
        known = ", ".join(Complexity)
        raise InvalidMessage("complexity", f"{wanted!r} is none of {known}") from None


def _deadline_ms(deadline: timedelta | datetime | None, *, now_ms: int) -> int | None:
    if deadline is None:
        return None
    if isinstance(deadline, datetime):
        if deadline.tzinfo is None:
            raise InvalidMessage("deadline", f"{deadline} has no time zone")
        ends_ms = round(deadline.timestamp() * 1000)
    elif isinstance(cast("object", deadline), timedelta):
        ends_ms = now_ms + deadline // _MILLISECOND
    else:
        raise InvalidMessage("deadline", f"{deadline!r} is neither a length nor a moment")
    if ends_ms <= now_ms:
        raise InvalidMessage("deadline", f"{deadline} is over already")
    if ends_ms > _LAST_MS:
        raise InvalidMessage("deadline", f"{deadline} ends after the year 9999")
    return ends_ms
