"""`WorkflowHandle`: a workflow that was started, by whomever: its state, result, events, signals.

What is announced in Redis wakes whoever waits; what stands in PostgreSQL decides. So an emptied or
absent Redis makes waiting slower, never wrong.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import orjson

from octoqueue.errors import (
    InvalidMessage,
    ResultTimeout,
    SignalInvalid,
    StoreError,
    WorkflowFailed,
    WorkflowUnknown,
)
from octoqueue.primitives.ids import id_from_text, new_message_id, text_from_id
from octoqueue.producer.workflow_client import WorkflowClient
from octoqueue.producer.workflow_following import AGAIN_SECONDS, followed, until_next_look
from octoqueue.workflows.announcing import Ended, ended_from
from octoqueue.workflows.executions import message_id_of, workflow_id_from
from octoqueue.workflows.finding import printable
from octoqueue.workflows.journal import Signal, SignalId
from octoqueue.workflows.signals import cancel_for
from octoqueue.workflows.states import ExecutionStatus, SignalKind
from octoqueue.workflows.values import plain_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.workflows.announcing import WorkflowEvent
    from octoqueue.workflows.definitions import Definition
    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.protocol import Loaded

O_co = TypeVar("O_co", covariant=True)

_FRESH_SECONDS: Final = 30.0
"""For how long what is known of an execution that runs need not be read again."""
_DEFAULT_TIMEOUT: Final = timedelta(seconds=60)


class WorkflowHandle(Generic[O_co]):
    """A workflow by its id. It belongs to no event loop: its methods use the client of theirs."""

    __slots__ = ("_client", "_definition", "_execution", "_known_at", "workflow_id")

    def __init__(
        self,
        workflow_id: str,
        *,
        definition: Definition | None = None,
        client: WorkflowClient | None = None,
        execution: Execution | None = None,
        known_at: float = float("-inf"),
    ) -> None:
        """Name a workflow.

        Args:
            workflow_id: its id.
            definition: for the types of its result and signals; without, the declared one of this
                process, or plain JSON.
            client: through which to speak to it; that of the running loop by default.
            execution: what is known of its newest execution.
            known_at: since when, in seconds of the monotonic clock.

        Raises:
            InvalidMessage: the id is none.
        """
        self.workflow_id = workflow_id_from(workflow_id)
        self._definition = definition
        self._execution = execution
        self._client = client
        self._known_at = known_at

    def __repr__(self) -> str:
        """Return how it is shown."""
        return f"WorkflowHandle({self.workflow_id!r})"

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    async def status(self) -> ExecutionStatus:
        """Return where the newest execution stands.

        Raises:
            WorkflowUnknown: there is none of this id (any more).
        """
        return (await self.execution()).status

    async def execution(self) -> Execution:
        """Return the newest execution as it stands; raises like `status`."""
        return await self._newest(await self._speaker())

    async def history(self) -> Loaded:
        """Return the newest execution with its whole journal; raises like `status`."""
        client = await self._speaker()
        execution = await self._newest(client)
        loaded = await client.store.history(execution.execution_id)
        if loaded is None:
            raise WorkflowUnknown(self.workflow_id)
        return loaded

    async def result(self, *, timeout: timedelta = _DEFAULT_TIMEOUT) -> O_co:
        """Wait for what the workflow returns, over all executions it continues as.

        Raises:
            WorkflowFailed: it failed or was cancelled.
            WorkflowUnknown: there is none of this id (any more).
            ResultTimeout: it has not ended within `timeout`; it goes on.
            InputInvalid: what it returned is not of the declared type.
            StoreUnavailable: nobody could be asked up to the end of `timeout`.
        """
        client = await self._speaker()
        until = client.clock.monotonic() + timeout.total_seconds()
        while True:
            left = until - client.clock.monotonic()
            try:
                execution = self._known_to_run(client) or await self._newest(client)
            except StoreError as error:
                if left <= 0 or not error.retryable:
                    raise
                await client.clock.sleep(min(left, AGAIN_SECONDS))
                continue
            if execution.is_final and execution.status is not ExecutionStatus.CONTINUED:
                ended = Ended(
                    status=execution.status, output=execution.output, error=execution.error
                )
                return self._outcome(client, execution, ended)
            if left <= 0:
                raise ResultTimeout(
                    f"workflow {self.workflow_id!r} has not ended within {timeout}: it is "
                    f"{execution.status} (execution {execution.execution_id})",
                    message_id=execution.execution_id,
                )
            heard = await self._heard_of(
                client, execution, min(left, until_next_look(client.clock))
            )
            self._execution = None
            # What did not complete may have been continued, or retried, as another execution.
            if heard is not None and heard.status is ExecutionStatus.COMPLETED:
                return self._outcome(client, execution, heard)

    def events(self, *, since: int = 0) -> AsyncGenerator[WorkflowEvent]:
        """Follow what the newest execution tells: what it has told first, then what comes.

        The last one says how it ended; one that continued ended so, and the next is another.

        Args:
            since: the `number` of the last event that is known, to go on after it.

        Raises:
            WorkflowUnknown: there is none of this id (any more).
        """
        return followed(self._opened, since=since)

    # ── telling ──────────────────────────────────────────────────────────────────────────────────

    async def signal(
        self, name: str, value: object = None, *, signal_id: str | None = None
    ) -> None:
        """Send a signal to the newest execution; it is kept until the workflow takes it.

        Args:
            name: the signal's.
            value: of the declared type; checked where the workflow is imported.
            signal_id: a UUID of your own: what is sent twice under it is one signal.

        Raises:
            InvalidMessage: the name or `signal_id` is none.
            SignalUnknown: the workflow declares its signals, and this is none of them.
            SignalInvalid: the value is not of the declared type.
            InputTooLarge: the value is over the limit.
            WorkflowUnknown: there is none of this id.
            WorkflowFinished: it has ended.
            StoreUnavailable: whether it was kept is unknown; send it again under its `signal_id`.
        """
        ident = SignalId(_new_uuid() if signal_id is None else _uuid_from(signal_id))
        printable("name", name)
        client = await self._speaker()
        definition = self._definition
        if definition is None:
            definition = client.definition_of(await self._newest(client))
        if definition is not None:
            text = definition.signal_from(name, value, workflow_id=self.workflow_id)
        else:
            try:
                text = plain_json(value)
            except ValueError as error:
                raise SignalInvalid(self.workflow_id, name, reason=str(error)) from None
        client.require_fitting_signal(text, name, self.workflow_id)
        now_ms = client.clock.now_ms()
        sent = Signal(ident, SignalKind.SENT, name, text, now_ms)
        await client.send_signal(self.workflow_id, sent)

    async def cancel(self, reason: str = "") -> None:
        """Ask the newest execution to end: its steps are stopped, its compensations run.

        It has ended when `result` raises `WorkflowFailed`, not yet when this returns.

        Raises:
            InputTooLarge: the reason is over the limit.
            WorkflowUnknown: there is none of this id.
            WorkflowFinished: it has ended.
            StoreUnavailable: whether it was kept is unknown; ask again.
        """
        client = await self._speaker()
        wish = cancel_for(reason, now_ms=client.clock.now_ms())
        client.require_fitting_signal(wish.value, "cancel", self.workflow_id)
        await client.send_signal(self.workflow_id, wish)

    async def _speaker(self) -> WorkflowClient:
        return self._client or await WorkflowClient.here()

    async def _opened(self) -> tuple[WorkflowClient, Loaded]:
        return await self._speaker(), await self.history()

    async def _newest(self, client: WorkflowClient) -> Execution:
        execution = await client.store.newest(self.workflow_id)
        if execution is None:
            raise WorkflowUnknown(self.workflow_id)
        return execution

    def _known_to_run(self, client: WorkflowClient) -> Execution | None:
        """Return the execution when it was just started: then there is nothing to read yet."""
        execution = self._execution
        if execution is None or execution.is_final:
            return None
        is_fresh = client.clock.monotonic() - self._known_at < _FRESH_SECONDS
        return execution if is_fresh else None

    async def _heard_of(
        self, client: WorkflowClient, execution: Execution, seconds: float
    ) -> Ended | None:
        """Wait for the announcement of an execution's end; None when none was heard in time."""
        try:
            lanes = await client.lanes()
            body = await lanes.wait_for_result(
                message_id_of(execution.execution_id), timeout=timedelta(seconds=seconds)
            )
        except StoreError:
            await client.clock.sleep(min(seconds, AGAIN_SECONDS))
            return None
        return None if body is None else ended_from(body)

    def _outcome(self, client: WorkflowClient, execution: Execution, ended: Ended) -> O_co:
        if ended.status is ExecutionStatus.COMPLETED:
            output = ended.output or b"null"
            definition = self._definition or client.definition_of(execution)
            if definition is None:
                return cast("O_co", orjson.loads(output))
            return cast("O_co", definition.output_of(output, workflow_id=self.workflow_id))
        told: dict[str, Any] = orjson.loads(ended.error or b"null") or {}
        raise WorkflowFailed(
            self.workflow_id,
            execution_id=execution.execution_id,
            status=ended.status,
            error=str(told.get("error", "")),
            detail=str(told.get("message", "")),
        )


def _new_uuid() -> str:
    return text_from_id(new_message_id())


def _uuid_from(text: str) -> str:
    if id_from_text(text) is None:
        raise InvalidMessage("signal_id", f"{text!r} is no UUID in canonical form")
    return text
