"""Builds the application: parts, routes, refusals, document."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

import octoqueue
from octoqueue.errors import OctoqueueError
from octoqueue.lanes.protocol import LaneStore
from octoqueue.postgres.outbox import OutboxSize
from octoqueue.primitives.clock import SystemClock
from octoqueue.settings.root import Settings
from octoqueue.workflows.protocol import WorkflowStore
from octoqueue.workflows.task_protocol import TaskStore
from workers.bootstrap import opened_desk
from workers.intake import Accept, AcceptDirect, Intake
from workers.reflex.document import openapi_document
from workers.reflex.edge import Edge
from workers.reflex.front import Front
from workers.reflex.measuring import RequestMeter
from workers.reflex.presence import EdgePresence
from workers.reflex.refusals import INTERNAL, refusal_from
from workers.reflex.routes import Routes
from workers.reflex.schemas import Health
from workers.reflex.workflow_routes import WorkflowDesk, workflow_router

QUEUES: Final = ("planner", "executor", "coder", "judge", "guardian", "retriever", "admin")
"""Shown in the metrics from the start, also while nothing was ever sent to them."""
_DESCRIPTION: Final = (
    "Takes tasks in, in bounded priority lanes, and tells how they are; shows and steers workflows."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the edge stands on."""

    tasks: TaskStore
    accept: Accept
    accept_direct: AcceptDirect
    lanes: Callable[[], LaneStore]
    measure_outbox: Callable[[], Awaitable[OutboxSize]]
    workflows: WorkflowStore
    max_value_bytes: int = 2**20
    """Of a signal to a workflow."""


OpensParts = Callable[[], AbstractAsyncContextManager[Parts]]


def create_app(settings: Settings | None = None) -> Edge:
    """Return the application of a configuration; the one of the process when None.

    Servers are connected when the application starts, not before.
    """

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Parts]:
        chosen = settings or Settings.load()
        async with (
            octoqueue.get_broker().connected(chosen) as broker,
            opened_desk(chosen, broker, application_name="octoqueue reflex") as desk,
        ):
            yield Parts(
                tasks=desk.tasks,
                accept=desk.accept,
                accept_direct=desk.accept_direct,
                lanes=broker.store,
                measure_outbox=desk.outbox.size,
                workflows=desk.workflows,
                max_value_bytes=chosen.workflows.max_value_bytes,
            )

    return app_on(opened)


def app_on(opened: OpensParts) -> Edge:
    """Return the application on whatever `opened` lends."""
    meter = RequestMeter()
    routes: list[Routes] = []
    desks: list[WorkflowDesk] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        async with opened() as parts:
            routes.append(
                Routes(
                    intake=Intake(parts.accept, parts.accept_direct),
                    tasks=parts.tasks,
                    lanes=parts.lanes,
                    measure_outbox=parts.measure_outbox,
                    meter=meter,
                    queues=QUEUES,
                )
            )
            desks.append(
                WorkflowDesk(
                    store=parts.workflows,
                    lanes=parts.lanes,
                    max_value_bytes=parts.max_value_bytes,
                )
            )
            presence = EdgePresence(parts.lanes, lambda: meter.answered, clock=SystemClock())
            saying = asyncio.create_task(presence.run())
            try:
                yield
            finally:
                saying.cancel()
                await asyncio.gather(saying, return_exceptions=True)
                routes.clear()
                desks.clear()

    app = FastAPI(
        title="octoqueue reflex",
        version=octoqueue.__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # the page would load its scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            HTTPException: _refuse,
            OctoqueueError: _refuse,
            TimeoutError: _refuse,
            ClientDisconnect: _refuse,
            RequestValidationError: _refuse,
            Exception: _refuse,
        },
    )

    @app.get(
        "/health",
        tags=["operations"],
        response_model=Health,
        responses={503: {"model": Health, "description": "A part does not answer."}},
    )
    async def health() -> Response:
        """Whether Redis and PostgreSQL answer."""
        return await routes[0].health()

    @app.get("/metrics", tags=["operations"], response_class=Response)
    async def metrics() -> Response:
        """Prometheus metrics of the edge, of all queues, and of the outbox."""
        return await routes[0].metrics()

    app.include_router(workflow_router(lambda: desks[0]))

    def document() -> dict[str, object]:
        return openapi_document(app)

    app.openapi = document  # type: ignore[method-assign]
    return Edge(Front(lambda: routes[0], app), meter=meter, clock=SystemClock())


async def _refuse(_request: Request, exc: Exception) -> Response:
    """Answer what went wrong; Starlette raises a bug of ours again, and the edge logs it."""
    return (refusal_from(exc) or INTERNAL).response()
