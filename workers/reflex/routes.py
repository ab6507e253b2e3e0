"""Handlers of a few lines each: read, ask, answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.responses import Response

from octoqueue.errors import StoreError
from octoqueue.metrics.exposition import CONTENT_TYPE, outbox_exposition, render
from octoqueue.primitives.clock import SystemClock
from octoqueue.workflows.tasks import GOAL_LIMIT_BYTES, task_id_from
from workers.reflex.bodies import body_of
from workers.reflex.paths import TASKS_PATH
from workers.reflex.refusals import NO_SUCH_TASK
from workers.reflex.schemas import Health, PartHealth, state_json, task_request_from

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.postgres.outbox import OutboxSize
    from octoqueue.workflows.task_protocol import TaskStore
    from workers.intake import Intake
    from workers.reflex.measuring import RequestMeter

BODY_LIMIT_BYTES: Final = 6 * GOAL_LIMIT_BYTES + 4096
"""Any goal fits, even when its JSON writes each of its bytes as `\\u00XX`."""
SUBMIT_TIMEOUT: Final = timedelta(seconds=10)
HEALTH_TIMEOUT: Final = timedelta(seconds=2)
METRICS_TIMEOUT: Final = timedelta(seconds=2)
_JSON: Final = "application/json"
_clock = SystemClock()


class Answer(NamedTuple):
    """What a busy route answers, `content-length` excepted."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


_JSON_TYPE: Final = (b"content-type", _JSON.encode())
_STATE_HEADERS: Final = (_JSON_TYPE, (b"cache-control", b"no-store"))
_NO_SUCH_TASK: Final = Answer(404, (_JSON_TYPE,), NO_SUCH_TASK.body())


class Routes:
    """The handlers, with what they need."""

    def __init__(
        self,
        *,
        intake: Intake,
        tasks: TaskStore,
        lanes: Callable[[], LaneStore],
        measure_outbox: Callable[[], Awaitable[OutboxSize]],
        meter: RequestMeter,
        queues: tuple[str, ...],
    ) -> None:
        self._intake = intake
        self._tasks = tasks
        self._lanes = lanes
        self._measure_outbox = measure_outbox
        self._meter = meter
        self._queues = queues

    async def submit(self, scope: Scope, receive: Receive) -> Answer:
        """Take a task in."""
        wanted = task_request_from(await body_of(scope, receive, limit_bytes=BODY_LIMIT_BYTES))
        async with asyncio.timeout(SUBMIT_TIMEOUT.total_seconds()):
            task_id = await self._intake.submit(
                wanted.goal,
                lane=wanted.priority.lane,
                complexity=wanted.complexity,
                arm=wanted.arm,
            )
        place = (b"location", f"{TASKS_PATH}/{task_id}".encode())
        return Answer(202, (_JSON_TYPE, place), b'{"task_id":"%s"}' % task_id.encode())

    async def show(self, text: str) -> Answer:
        """Tell how the task is whose id is `text`."""
        task_id = task_id_from(text)
        task = None if task_id is None else await self._tasks.get(task_id)
        if task is None:
            return _NO_SUCH_TASK
        return Answer(200, _STATE_HEADERS, state_json(task))

    async def health(self) -> Response:
        """Tell whether tasks can be taken in: 200 when all parts answer, else 503."""
        redis, postgres = await asyncio.gather(
            _part(lambda: self._lanes().stats(self._queues[0])), _part(self._tasks.check)
        )
        ok = all(part.status == "ok" for part in (redis, postgres))
        whole = Health(
            status="ok" if ok else "unavailable", parts={"redis": redis, "postgres": postgres}
        )
        return Response(
            whole.model_dump_json(exclude_none=True),
            HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE,
            headers={"cache-control": "no-store"},
            media_type=_JSON,
        )

    async def metrics(self) -> Response:
        """Return the edge's own numbers, those of all queues, and those of the outbox.

        The outbox's are missing while PostgreSQL does not answer: the others are needed then.

        Raises:
            StoreUnavailable: the queues cannot be read.
            TimeoutError: they cannot be read in time.
        """
        outbox = asyncio.create_task(self._outbox())
        try:
            async with asyncio.timeout(METRICS_TIMEOUT.total_seconds()):
                queues = await render(self._lanes(), queues=self._queues)
            parts = (self._meter.render(), queues, await outbox)
        finally:
            outbox.cancel()
        return Response(b"".join(parts), media_type=CONTENT_TYPE)

    async def _outbox(self) -> bytes:
        try:
            async with asyncio.timeout(METRICS_TIMEOUT.total_seconds()):
                return outbox_exposition(await self._measure_outbox())
        except (StoreError, TimeoutError):
            return b""


async def _part(ask: Callable[[], Awaitable[object]]) -> PartHealth:
    began = _clock.monotonic()
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT.total_seconds()):
            await ask()
    except (StoreError, TimeoutError):
        return PartHealth(status="unavailable")
    return PartHealth(status="ok", latency_seconds=round(_clock.monotonic() - began, 6))
