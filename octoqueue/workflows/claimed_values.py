"""`ClaimedValues`: a store of workflows whose large values are objects elsewhere.

In PostgreSQL stands a claim check then, `{"octoqueue.object": key}`. The key is a digest of the
value: the same value is the same object, so a start or a write that is made again changes nothing.
An object is put before the row that names it is committed.

Weakness: objects are not deleted with the executions that have named them, because others may name
them, too. They are below `workflows/`; a rule of the bucket may delete them by age, later than
executions are kept.
"""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol, cast

import orjson

from octoqueue.errors import ObjectMissing
from octoqueue.workflows.states import SignalKind, StepKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from octoqueue.workflows.executions import Execution, ExecutionId, NewExecution, WorkflowId
    from octoqueue.workflows.journal import Signal, Step, Turn
    from octoqueue.workflows.protocol import AgentId, Loaded, Started, WorkflowStore

log = logging.getLogger(__name__)

FOLDER = "workflows"
_SENT = frozenset({StepKind.CALL, StepKind.CANCEL})
"""Steps whose input is small, and read without a history."""
_CHECK = re.compile(rb'\{"octoqueue\.object":"(workflows/[0-9a-f]{64})"\}')
_UNREADABLE = b"an object is missing"
"""No JSON, so nothing goes on with it."""
_CHECK_BYTES = 100
"""More than a claim check has, so that none is put away itself."""


class Objects(Protocol):
    """Where large values are."""

    async def put(self, key: str, body: bytes) -> None:
        """Store an object, in place of one of that key."""
        ...

    async def get(self, key: str) -> bytes:
        """Return an object."""
        ...


class ClaimedValues:
    """Does what a store does; inputs and outputs over a limit go through objects."""

    def __init__(self, store: WorkflowStore, objects: Objects, *, max_bytes: int) -> None:
        self._store = store
        self._objects = objects
        self._max_bytes = max_bytes

    def __getattr__(self, verb: str) -> Any:  # noqa: ANN401 - what takes and gives no large value
        """Return a verb of the store."""
        found = getattr(self._store, verb)
        if verb != "start_in":
            return found

        async def start_in(connection: object, news: Sequence[NewExecution]) -> list[Started]:
            started: list[Started] = await found(connection, await self._kept_all(news))
            return [await self._started(each) for each in started]

        return start_in

    # ── for callers ──────────────────────────────────────────────────────────────────────────────

    async def start(self, new: NewExecution) -> Started:
        """See `WorkflowStore.start`."""
        (kept,) = await self._kept_all([new])
        return await self._started(await self._store.start(kept))

    async def execution(self, execution_id: ExecutionId) -> Execution | None:
        """See `WorkflowStore.execution`."""
        found = await self._store.execution(execution_id)
        return None if found is None else await self._whole(found)

    async def newest(self, workflow_id: WorkflowId) -> Execution | None:
        """See `WorkflowStore.newest`."""
        found = await self._store.newest(workflow_id)
        return None if found is None else await self._whole(found)

    async def history(self, execution_id: ExecutionId) -> Loaded | None:
        """See `WorkflowStore.history`."""
        found = await self._store.history(execution_id)
        return None if found is None else await self._loaded(found)

    async def retry_from(self, execution_id: ExecutionId, step: str) -> Execution:
        """See `WorkflowStore.retry_from`."""
        return await self._whole(await self._store.retry_from(execution_id, step))

    # ── for orchestrators ────────────────────────────────────────────────────────────────────────

    async def load(self, execution_ids: Sequence[ExecutionId]) -> list[Loaded]:
        """See `WorkflowStore.load`."""
        found: list[Loaded] = []
        for each in await self._store.load(execution_ids):
            try:
                found.append(await self._loaded(each))
            except ObjectMissing as error:
                # Its code is to fail over it, and nobody else's.
                facts = {"execution_id": each.execution.execution_id, "reason": str(error)}
                log.error("value_missing", extra=facts)  # noqa: TRY400 - it says it all
                found.append(replace(each, execution=replace(each.execution, input=_UNREADABLE)))
        return found

    async def write(
        self, agent_id: AgentId, turns: Sequence[Turn], epochs: Mapping[int, int]
    ) -> frozenset[int]:
        """See `WorkflowStore.write`."""
        kept = [await self._turn(turn) for turn in turns]
        return await self._store.write(agent_id, kept, epochs)

    async def pending_calls(
        self,
        partition: int,
        *,
        after: tuple[ExecutionId, str] | None = None,
        limit: int = 500,
    ) -> list[tuple[Execution, Step]]:
        """See `WorkflowStore.pending_calls`."""
        found = await self._store.pending_calls(partition, after=after, limit=limit)
        wholes = {
            each.execution_id: await self._whole(each)
            for each in {each.execution_id: each for each, _ in found}.values()
        }
        return [(wholes[each.execution_id], step) for each, step in found]

    # ── putting away ─────────────────────────────────────────────────────────────────────────────

    async def _kept(self, text: bytes | None) -> bytes | None:
        if text is None or len(text) <= self._max_bytes:
            return text
        key = f"{FOLDER}/{sha256(text).hexdigest()}"
        await self._objects.put(key, text)
        return orjson.dumps({"octoqueue.object": key})

    async def _kept_all(self, news: Iterable[NewExecution]) -> list[NewExecution]:
        return [
            replace(new, input=await self._kept(new.input) or b"")
            if len(new.input) > self._max_bytes
            else new
            for new in news
        ]

    async def _turn(self, turn: Turn) -> Turn:
        texts = [turn.output, *(text for step in turn.steps for text in _texts(step))]
        texts += [new.input for new in (*turn.children, turn.continued) if new is not None]
        if all(text is None or len(text) <= self._max_bytes for text in texts):
            return turn
        continued = None if turn.continued is None else (await self._kept_all([turn.continued]))[0]
        steps = [await self._kept_step(step) for step in turn.steps]
        return replace(
            turn,
            output=await self._kept(turn.output),
            steps=tuple(steps),
            children=tuple(await self._kept_all(turn.children)),
            continued=continued,
        )

    async def _kept_step(self, step: Step) -> Step:
        if step.kind in _SENT:
            given = step.input
        else:
            given = await self._kept(step.input)
        output = step.output if step.kind is StepKind.EVENT else await self._kept(step.output)
        return step._replace(input=given, output=output)

    # ── fetching ─────────────────────────────────────────────────────────────────────────────────

    async def _fetched(self, text: bytes | None) -> bytes | None:
        check = None if text is None else _CHECK.fullmatch(text)
        return text if check is None else await self._objects.get(check[1].decode())

    async def _started(self, started: Started) -> Started:
        return replace(started, execution=await self._whole(started.execution))

    async def _whole(self, execution: Execution) -> Execution:
        given, output = await asyncio.gather(
            self._fetched(execution.input), self._fetched(execution.output)
        )
        if given is execution.input and output is execution.output:
            return execution
        return replace(execution, input=given or b"", output=output)

    async def _loaded(self, loaded: Loaded) -> Loaded:
        return replace(
            loaded,
            execution=await self._whole(loaded.execution),
            steps=tuple([await self._step(step) for step in loaded.steps]),
            signals=tuple([await self._signal(signal) for signal in loaded.signals]),
        )

    async def _step(self, step: Step) -> Step:
        given, output = await self._fetched(step.input), await self._fetched(step.output)
        if given is step.input and output is step.output:
            return step
        return step._replace(input=given, output=output)

    async def _signal(self, signal: Signal) -> Signal:
        check = _CHECK.search(signal.value) if signal.kind is SignalKind.CHILD else None
        if check is None or b'"output":' + check[0] not in signal.value:
            return signal
        output = await self._objects.get(check[1].decode())
        return signal._replace(value=signal.value.replace(check[0], output, 1))


def _texts(step: Step) -> tuple[bytes | None, bytes | None]:
    return step.input, step.output


def with_claimed_values(store: WorkflowStore, objects: Objects, *, max_bytes: int) -> WorkflowStore:
    """Return a store that keeps values over a limit as objects."""
    claimed = ClaimedValues(store, objects, max_bytes=max(max_bytes, _CHECK_BYTES))
    return cast("WorkflowStore", claimed)
